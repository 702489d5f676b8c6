//! Follows logs from container to container, in a thread of its own.
//!
//! A stream ends with its container. A follower then waits for the next one, which another Pod may have. A stream that broke
//! goes on after the last stamp.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::io::AsyncBufReadExt;
use hermes_core::log::{Event, Filter, Follow, Line, Profiles, Selection, Watch};
use hermes_core::manager::{During, ManagerError};
use hermes_core::{DriverError, ProfileName};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use tokio::sync::{mpsc, oneshot};

use super::{FOLLOW, Run, Stored, is_about_no_log, line_of, merged, parameters, reading, run_of};
use crate::api_error::ApiError;
use crate::client::Client;
use crate::driver::{Kubernetes, set_name};
use crate::names::pod_name;

/// How often a follower looks whether there is another container.
const LOOK: Duration = Duration::from_secs(1);
/// How many lines wait for their reader before the streams do.
const WAITING_LINES: usize = 1024;

/// The logs of some profiles that a thread follows.
#[derive(Debug)]
pub(super) struct FollowedLogs {
    /// Lines that were there at the beginning.
    stored: VecDeque<(usize, Line)>,
    filters: Vec<Filter>,
    lines: mpsc::Receiver<Result<(usize, Line), ApiError>>,
    /// Readable when there may be a line.
    wake: PipeReader,
    profiles: Profiles,
    /// Reports changes of the profiles.
    watch: Watch,
    /// By profile, whether its log has ended.
    over: Vec<bool>,
    /// Dropped, it ends the thread.
    _end: oneshot::Sender<()>,
}

impl FollowedLogs {
    pub(super) fn begin(
        driver: &Kubernetes,
        profiles: &[ProfileName],
        selection: &Selection,
        stored: Vec<Stored>,
    ) -> io::Result<Self> {
        let (wake, waker) = io::pipe()?;
        rustix::io::ioctl_fionbio(&wake, true)?;
        rustix::io::ioctl_fionbio(&waker, true)?;
        let (sender, lines) = mpsc::channel(WAITING_LINES);
        let (end, ended) = oneshot::channel();
        let out = Out { sender, waker: Arc::new(waker) };
        let (mut logs, mut followers) = (Vec::new(), Vec::new());
        for (index, (profile, stored)) in profiles.iter().zip(stored).enumerate() {
            logs.push(stored.lines);
            followers.push(Follower {
                client: Arc::clone(&driver.client),
                index,
                pod: pod_name(&set_name(profile)),
                run: stored.run,
                last: stored.last,
                out: out.clone(),
            });
        }
        let client = Arc::clone(&driver.client);
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || {
            client.block_on(async {
                tokio::select! {
                    _ = join_all(followers.into_iter().map(Follower::run)) => {}
                    _ = ended => {}
                }
            });
        })?;
        Ok(Self {
            stored: merged(logs),
            filters: profiles.iter().map(|_| selection.filter()).collect(),
            lines,
            wake,
            profiles: Profiles::new(driver.store.clone(), profiles),
            watch: Watch::new(),
            over: vec![false; profiles.len()],
            _end: end,
        })
    }

    /// The next line that has arrived and is selected.
    fn next_line(&mut self) -> Result<Option<(usize, Line)>, DriverError> {
        if let Some(line) = self.stored.pop_front() {
            return Ok(Some(line));
        }
        // The bytes first: a line that comes after that writes another one.
        drain(&mut self.wake)?;
        while let Ok(arrived) = self.lines.try_recv() {
            let (index, line) = arrived?;
            if self.filters[index].selects(&line) && !self.over[index] {
                return Ok(Some((index, line)));
            }
        }
        Ok(None)
    }
}

impl Follow for FollowedLogs {
    fn next(&mut self) -> Result<Option<(usize, Event)>, ManagerError> {
        self.profiles.look(&mut self.watch)?;
        if let Some((index, line)) = self.next_line().during(FOLLOW)? {
            return Ok(Some((index, Event::Line(line))));
        }
        let Some(index) = self.profiles.next_ended() else { return Ok(None) };
        self.over[index] = true;
        Ok(Some((index, Event::Ended)))
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.watch.fd().into_iter().chain([self.wake.as_fd()]).collect()
    }

    fn max_wait(&mut self) -> Option<Duration> {
        // Bytes were taken for lines that have not been.
        if self.lines.is_empty() { self.watch.max_wait() } else { Some(Duration::ZERO) }
    }
}

/// Where followers put their lines.
#[derive(Debug, Clone)]
struct Out {
    sender: mpsc::Sender<Result<(usize, Line), ApiError>>,
    waker: Arc<PipeWriter>,
}

impl Out {
    /// Blocks while too many lines wait. Whether somebody reads them.
    async fn put(&self, line: Result<(usize, Line), ApiError>) -> bool {
        let is_read = self.sender.send(line).await.is_ok();
        // A full pipe wakes the reader as well.
        let _ = (&*self.waker).write(&[0]);
        is_read
    }
}

/// Follows the log of one profile's gateway from container to container.
#[derive(Debug)]
struct Follower {
    client: Arc<Client>,
    index: usize,
    pod: String,
    /// The container whose lines were read last.
    run: Option<Run>,
    /// The stamp of the last one of them.
    last: Option<Timestamp>,
    out: Out,
}

impl Follower {
    async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            match self.follow_container().await {
                Ok(true) => {}
                // Nobody reads on.
                Ok(false) => return,
                Err(error) if error.is_passing() || is_about_no_log(&error) => {
                    log::debug!("following goes on: {error}");
                }
                Err(error) => {
                    self.out.put(Err(error)).await;
                    return;
                }
            }
        }
    }

    /// Follows the container that there is now to its end. Whether somebody reads on.
    async fn follow_container(&mut self) -> Result<bool, ApiError> {
        let operation = reading(&self.pod);
        let api = self.client.api::<Pod>();
        let failed = |error| self.client.error(error, &operation);
        let found = self.client.in_time(&operation, api.get_opt(&self.pod)).await?;
        let Some(run) = found.as_ref().and_then(run_of) else { return Ok(true) };
        if self.run.as_ref() != Some(&run) {
            // Another node's clock may be behind.
            self.last = None;
        }
        let parameters = LogParams { follow: true, since_time: self.last, ..parameters() };
        let stream = api.log_stream(&self.pod, &parameters);
        let mut stream = Box::pin(self.client.in_time(&operation, stream).await?);
        self.run = Some(run);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = stream.read_until(b'\n', &mut bytes).await;
            if read.map_err(|error| failed(kube::Error::ReadEvents(error)))? == 0 {
                return Ok(true);
            }
            let Some(line) = line_of(&bytes) else { continue };
            // A stream begins with the whole second.
            if line.time <= self.last {
                continue;
            }
            self.last = line.time;
            if !self.out.put(Ok((self.index, line))).await {
                return Ok(false);
            }
        }
    }
}

/// Reads what a pipe has.
fn drain(pipe: &mut PipeReader) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
