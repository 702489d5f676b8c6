//! A gateway's log as it goes on, for one who listens.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use futures_util::stream;
use hermes_core::ProfileName;
use hermes_core::log::{Follower, Next, Watch};
use jiff::tz::TimeZone;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tokio::sync::OwnedSemaphorePermit;

use super::server::{ALIVE, HEARTBEAT};
use crate::commands::logs::{missing, object};

/// How many lines are told at once.
const JOBS: usize = 500;

/// A log that is followed, for as long as somebody listens.
struct Followed {
    name: ProfileName,
    watch: Watch,
    follower: Follower,
    zone: TimeZone,
    /// Whether anything was sent. That it has begun is worth an event, be it without a line.
    begun: bool,
    shutdown: Arc<OwnedFd>,
    _place: OwnedSemaphorePermit,
}

/// The last `last` lines of the log of `name` in the directory at `path`, and then what comes.
pub(super) fn body(
    name: ProfileName,
    path: &Path,
    last: usize,
    shutdown: Arc<OwnedFd>,
    place: OwnedSemaphorePermit,
) -> io::Result<Body> {
    let mut watch = Watch::new();
    let follower = Follower::begin(path, last, &mut watch)?;
    let zone = TimeZone::system();
    let followed = Followed { name, watch, follower, zone, begun: false, shutdown, _place: place };
    Ok(Body::from_stream(stream::try_unfold(followed, |mut followed| async {
        // Where one may block. A listener that goes away is noticed at the next heartbeat.
        let next = tokio::task::spawn_blocking(move || (followed.next(), followed));
        let (news, followed) = next.await.map_err(io::Error::other)?;
        news.map(|news| Some((news, followed)))
    })))
}

impl Followed {
    /// What is to be sent next. Blocks until there is something, or for a heartbeat.
    fn next(&mut self) -> io::Result<Bytes> {
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            let news = self.news()?;
            if !news.is_empty() {
                self.begun = true;
                return Ok(news);
            }
            let left = heartbeat.saturating_duration_since(Instant::now());
            if left.is_zero() || !std::mem::replace(&mut self.begun, true) {
                return Ok(ALIVE);
            }
            if self.watch.was_told() {
                continue;
            }
            let pause = self.watch.timeout().map_or(left, |timeout| timeout.min(left));
            let pause = Timespec::try_from(pause).ok();
            let fd = self.watch.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let mut fds = vec![PollFd::new(&self.shutdown, PollFlags::IN)];
            fds.extend(fd);
            match rustix::event::poll(&mut fds, pause.as_ref()) {
                Ok(_) if !fds[0].revents().is_empty() => return Err(ErrorKind::Interrupted.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// What is new, as an event; nothing if nothing is.
    fn news(&mut self) -> io::Result<Bytes> {
        let mut lines = Vec::new();
        while lines.len() < JOBS {
            lines.push(match self.follower.next(&mut self.watch)? {
                Next::Line(line) => object(&self.name, &line, &self.zone),
                Next::Removed(removed) => {
                    let missing = missing(&self.name, removed);
                    serde_json::json!({ "profile": self.name, "missing": missing }).to_string()
                }
                Next::Wait => break,
            });
        }
        Ok(match lines.as_slice() {
            [] => Bytes::new(),
            lines => format!("event: lines\ndata: [{}]\n\n", lines.join(",")).into(),
        })
    }
}
