//! A gateway's log as a stream of events, for one listener.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use futures_util::stream;
use hermes_core::ProfileName;
use hermes_core::log::{Event, Follow, line};
use jiff::tz::TimeZone;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::sse::{self, ALIVE, HEARTBEAT};

/// How many lines are sent at once.
const LINES: usize = 500;

/// A log that is followed, for as long as somebody listens.
struct Followed {
    name: ProfileName,
    log: Box<dyn Follow>,
    zone: TimeZone,
    /// Whether anything was sent. The beginning is worth an event, be it without a line.
    begun: bool,
    /// Whether the profile is gone, and the stream ends.
    ended: bool,
    shutdown: Arc<OwnedFd>,
    _place: OwnedSemaphorePermit,
}

/// The events of `log`, the log of `name`, until the profile is deleted or renamed. `shutdown` ends it, too.
pub(crate) fn body(
    name: ProfileName,
    log: Box<dyn Follow>,
    shutdown: Arc<OwnedFd>,
    place: OwnedSemaphorePermit,
) -> Body {
    let zone = TimeZone::system();
    let (begun, ended) = (false, false);
    let followed = Followed { name, log, zone, begun, ended, shutdown, _place: place };
    Body::from_stream(stream::try_unfold(followed, |mut followed| async {
        // Where one may block. A listener that goes away is noticed at the next heartbeat.
        let next = tokio::task::spawn_blocking(move || (followed.next(), followed));
        let (news, followed) = next.await.map_err(io::Error::other)?;
        news.map(|news| news.map(|news| (news, followed)))
    }))
}

impl Followed {
    /// The next piece to send; `None` at the end. Blocks until there is one, or for a heartbeat.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let news = self.news()?;
            if !news.is_empty() {
                self.begun = true;
                return Ok(Some(news));
            }
            if self.ended {
                return Ok(None);
            }
            let left = heartbeat.saturating_duration_since(Instant::now());
            if left.is_zero() || !std::mem::replace(&mut self.begun, true) {
                return Ok(Some(ALIVE));
            }
            let pause = self.log.max_wait().map_or(left, |wait| wait.min(left));
            let pause = Timespec::try_from(pause).ok();
            let mut fds = vec![PollFd::new(&self.shutdown, PollFlags::IN)];
            let log = self.log.fds().into_iter();
            fds.extend(log.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            match rustix::event::poll(&mut fds, pause.as_ref()) {
                Ok(_) if !fds[0].revents().is_empty() => return Err(ErrorKind::Interrupted.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The new lines, as an event of the stream; empty if there are none.
    fn news(&mut self) -> io::Result<Bytes> {
        let mut lines = Vec::new();
        while lines.len() < LINES && !self.ended {
            let Some((_, event)) = self.log.next().map_err(io::Error::other)? else { break };
            match event {
                Event::Line(line) => lines.push(line::to_json(&self.name, &line, &self.zone)),
                Event::Removed(removed) => {
                    let missing = removed.warning(&self.name);
                    lines.push(json!({ "profile": self.name, "missing": missing }));
                }
                Event::Ended => self.ended = true,
            }
        }
        Ok(match lines.is_empty() {
            true => Bytes::new(),
            false => sse::event("lines", &lines),
        })
    }
}
