//! Streams a gateway's log to one listener, as events.

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

/// The most lines in one event.
const LINES: usize = 500;

/// A followed log and its listener.
struct Followed {
    name: ProfileName,
    log: Box<dyn Follow>,
    zone: TimeZone,
    /// Whether anything was sent. The stream starts at once with a comment if there is no line yet.
    begun: bool,
    /// Whether the profile was deleted or renamed, which ends the stream.
    ended: bool,
    shutdown: Arc<OwnedFd>,
    _place: OwnedSemaphorePermit,
}

/// The events of `log`, the log of `name`, until the profile is deleted or renamed. `shutdown` ends the stream, too.
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
        // On a thread that may block. The next heartbeat detects that a listener has gone.
        let next = tokio::task::spawn_blocking(move || (followed.next(), followed));
        let (event, followed) = next.await.map_err(io::Error::other)?;
        event.map(|event| event.map(|event| (event, followed)))
    }))
}

impl Followed {
    /// The next bytes to send; `None` at the end. Blocks until there are some, at most until the heartbeat.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let event = self.new_lines()?;
            if !event.is_empty() {
                self.begun = true;
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            let remaining = heartbeat.saturating_duration_since(Instant::now());
            if remaining.is_zero() || !std::mem::replace(&mut self.begun, true) {
                return Ok(Some(ALIVE));
            }
            let pause = self.log.max_wait().map_or(remaining, |wait| wait.min(remaining));
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

    /// The new lines as an event; empty if there are none.
    fn new_lines(&mut self) -> io::Result<Bytes> {
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
