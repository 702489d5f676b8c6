//! Streams a gateway's log, or the journal of events, to one listener.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures_util::stream;
use hermes_core::log::{Event, Follow};
use hermes_core::{ProfileName, events};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::shared::Shared;
use crate::sse::{self, ALIVE, HEARTBEAT};

/// The most items in one event.
const ITEMS: usize = 500;
/// The interval of looking for items while no thread can be started that waits for them.
const WITHOUT_THREAD: Duration = Duration::from_secs(1);

/// What a listener follows.
pub(crate) trait Source: Send + 'static {
    /// The name of the events that are sent.
    const NAME: &'static str;
    /// The next item. Does not block.
    fn take(&mut self) -> io::Result<Next>;
    /// Descriptors to wait for after [`Next::Later`].
    fn fds(&self) -> Vec<BorrowedFd<'_>>;
    /// How long to wait for them at most.
    fn max_wait(&mut self) -> Option<Duration>;
}

/// The next item of a source.
pub(crate) enum Next {
    /// It is there.
    Item(Value),
    /// It may come later.
    Later,
    /// There is none, and this ends the stream.
    End,
}

/// The log of a gateway. It ends when the profile is deleted or renamed.
pub(crate) struct Log {
    pub(crate) name: ProfileName,
    pub(crate) log: Box<dyn Follow>,
}

impl Source for Log {
    const NAME: &'static str = "lines";

    fn take(&mut self) -> io::Result<Next> {
        Ok(match self.log.next().map_err(io::Error::other)? {
            None => Next::Later,
            Some((_, Event::Line(line))) => Next::Item(line.to_json(&self.name)),
            Some((_, Event::Removed(removed))) => {
                let missing = removed.warning(&self.name);
                Next::Item(json!({ "profile": self.name, "missing": missing }))
            }
            Some((_, Event::Ended)) => Next::End,
        })
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.log.fds()
    }

    fn max_wait(&mut self) -> Option<Duration> {
        self.log.max_wait()
    }
}

/// The journal of events. It has no end.
pub(crate) struct Journal {
    /// The events before the request.
    pub(crate) former: VecDeque<events::Event>,
    pub(crate) follow: events::Follow,
}

impl Source for Journal {
    const NAME: &'static str = "events";

    fn take(&mut self) -> io::Result<Next> {
        let former = self.former.pop_front();
        let event = former.map_or_else(|| self.follow.take(), |event| Ok(Some(event)))?;
        Ok(event.map_or(Next::Later, |event| Next::Item(json!(event))))
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.follow.fd().into_iter().collect()
    }

    fn max_wait(&mut self) -> Option<Duration> {
        self.follow.max_wait()
    }
}

/// A source and its listener.
struct Followed<S> {
    source: S,
    /// Whether anything was sent. The stream starts at once with a comment if there is no item yet.
    begun: bool,
    /// Whether the source has ended, which ends the stream.
    ended: bool,
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

/// The items of `source` as events, until its end. The server's shutdown ends the stream, too.
pub(crate) fn body<S: Source>(source: S, shared: Arc<Shared>, place: OwnedSemaphorePermit) -> Body {
    let followed = Followed { source, begun: false, ended: false, shared, _place: place };
    Body::from_stream(stream::try_unfold(followed, |mut followed| async {
        // On a thread that may block. The next heartbeat detects that a listener has gone.
        let worker = followed.shared.threads.worker().await;
        let (event, followed) = match worker {
            Ok(worker) => worker.run(move || (followed.next(HEARTBEAT), followed)).await?,
            Err(_) => {
                let pause = std::future::pending::<()>();
                let _ = tokio::time::timeout(WITHOUT_THREAD, pause).await;
                (followed.next(Duration::ZERO), followed)
            }
        };
        event.map(|event| event.map(|event| (event, followed)))
    }))
}

impl<S: Source> Followed<S> {
    /// The next bytes to send; `None` at the end. Blocks until there are some, at most until the heartbeat in `wait`.
    fn next(&mut self, wait: Duration) -> io::Result<Option<Bytes>> {
        let heartbeat = Instant::now() + wait;
        loop {
            let event = self.new_items()?;
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
            let pause = self.source.max_wait().map_or(remaining, |wait| wait.min(remaining));
            let pause = Timespec::try_from(pause).ok();
            let mut fds = vec![PollFd::new(&self.shared.shutdown, PollFlags::IN)];
            let source = self.source.fds().into_iter();
            fds.extend(source.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            match rustix::event::poll(&mut fds, pause.as_ref()) {
                Ok(_) if !fds[0].revents().is_empty() => return Err(ErrorKind::Interrupted.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The new items as an event; empty if there are none.
    fn new_items(&mut self) -> io::Result<Bytes> {
        let mut items = Vec::new();
        while items.len() < ITEMS && !self.ended {
            match self.source.take()? {
                Next::Item(item) => items.push(item),
                Next::Later => break,
                Next::End => self.ended = true,
            }
        }
        Ok(match items.is_empty() {
            true => Bytes::new(),
            false => sse::event(S::NAME, &items),
        })
    }
}
