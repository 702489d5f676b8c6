//! Asks gateways for their health: HTTP requests of many addresses at the same time, in one thread.
//!
//! A request is `GET` over plain HTTP, since a gateway is on this machine. It succeeds with a status of 200 to
//! 299. All addresses of a name are asked at once, and the first that succeeds decides.

mod exchange;
mod target;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use thiserror::Error;

use exchange::Exchange;
pub use target::Target;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The name of the host has no address.
    #[error("the host has no address: {0}")]
    NoAddress(String),
    /// The connection failed.
    #[error("{0}")]
    Connection(String),
    /// The answer had this status.
    #[error("answered {0}")]
    Status(u16),
    /// The answer was not HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// Another process than one of the gateway's listens there.
    #[error("{0} listens there, which is not the gateway's")]
    NotOwn(String),
    /// No answer came in time.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    TimedOut(Duration),
}

/// The requests in progress, each known by a key.
#[derive(Debug)]
pub struct Requests<K> {
    pending: Vec<Pending<K>>,
}

#[derive(Debug)]
struct Pending<K> {
    key: K,
    exchanges: Vec<Exchange>,
    failed: Option<Failure>,
    begun: Instant,
    deadline: Instant,
}

impl<K> Default for Requests<K> {
    fn default() -> Self {
        Self { pending: Vec::new() }
    }
}

impl<K> Requests<K> {
    /// Begins to ask `target`, at most for `timeout`. Blocks only while a name is looked up, which neither an
    /// address nor `localhost` needs.
    pub fn begin(&mut self, key: K, target: &Target, timeout: Duration) {
        let begun = Instant::now();
        let mut failed = None;
        let mut exchanges = Vec::new();
        match target.addresses() {
            Ok(addresses) => {
                for address in addresses {
                    match Exchange::begin(address, target) {
                        Ok(exchange) => exchanges.push(exchange),
                        Err(error) => failed = Some(Failure::Connection(exchange::words(&error))),
                    }
                }
                failed = failed.or(Some(Failure::NoAddress("it names none".to_owned())));
            }
            Err(error) => failed = Some(Failure::NoAddress(error.to_string())),
        }
        let deadline = begun + timeout;
        self.pending.push(Pending { key, exchanges, failed, begun, deadline });
    }

    /// Whether a request in progress has a key that `is` accepts.
    pub fn any(&self, is: impl Fn(&K) -> bool) -> bool {
        self.pending.iter().any(|pending| is(&pending.key))
    }

    /// Whether no request is in progress.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Blocks until a request has ended or one of `wake` is readable, at most until `until`. Returns the requests
    /// that have ended, each with the address that answered. `accept` decides whether an answer counts.
    pub fn wait(
        &mut self,
        until: Option<Instant>,
        wake: &[BorrowedFd<'_>],
        mut accept: impl FnMut(&K, SocketAddr) -> Result<(), Failure>,
    ) -> Vec<(K, Result<SocketAddr, Failure>)> {
        loop {
            let (woken, limit) = (self.poll(until, wake), Instant::now());
            let ended = self.advance(limit, &mut accept);
            if woken || !ended.is_empty() || until.is_some_and(|until| limit >= until) {
                return ended;
            }
        }
    }

    /// Blocks until one exchange can go on or one of `wake` is readable, which it returns.
    fn poll(&self, until: Option<Instant>, wake: &[BorrowedFd<'_>]) -> bool {
        let next = self.pending.iter().map(Pending::next).chain(until).min();
        let pause = next.map(|next| next.saturating_duration_since(Instant::now()));
        let pause = pause.map(|pause| Timespec::try_from(pause).unwrap_or_default());
        let mut fds: Vec<_> =
            wake.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let exchanges = self.pending.iter().flat_map(|pending| &pending.exchanges);
        fds.extend(exchanges.filter_map(Exchange::awaited));
        // An interrupted wait only ends earlier.
        let _ = rustix::event::poll(&mut fds, pause.as_ref());
        fds.iter().take(wake.len()).any(|fd| !fd.revents().is_empty())
    }

    fn advance(
        &mut self,
        now: Instant,
        accept: &mut impl FnMut(&K, SocketAddr) -> Result<(), Failure>,
    ) -> Vec<(K, Result<SocketAddr, Failure>)> {
        let mut ended = Vec::new();
        for mut pending in std::mem::take(&mut self.pending) {
            match pending.advance(now, accept) {
                Some(result) => ended.push((pending.key, result)),
                None => self.pending.push(pending),
            }
        }
        ended
    }
}

impl<K> Pending<K> {
    /// When to look again, without an event.
    fn next(&self) -> Instant {
        let pauses = self.exchanges.iter().filter_map(Exchange::until);
        pauses.chain([self.deadline]).min().unwrap_or(self.deadline)
    }

    fn advance(
        &mut self,
        now: Instant,
        accept: &mut impl FnMut(&K, SocketAddr) -> Result<(), Failure>,
    ) -> Option<Result<SocketAddr, Failure>> {
        for mut exchange in std::mem::take(&mut self.exchanges) {
            let answered = match exchange.advance(now, now >= self.deadline) {
                None => {
                    self.exchanges.push(exchange);
                    continue;
                }
                Some(answered) => answered,
            };
            let address = exchange.address();
            let accepted = answered.and_then(|status| match status {
                200..=299 => accept(&self.key, address),
                other => Err(Failure::Status(other)),
            });
            match accepted {
                Ok(()) => return Some(Ok(address)),
                Err(failure) => self.note(failure),
            }
        }
        if now >= self.deadline && !self.exchanges.is_empty() {
            self.exchanges.clear();
            self.note(Failure::TimedOut(self.deadline - self.begun));
        }
        self.exchanges.is_empty().then(|| Err(self.failed.take().unwrap_or(Failure::NotHttp)))
    }

    /// Keeps the failure that says most: an answer says more than a refused connection.
    fn note(&mut self, failure: Failure) {
        let is_weak =
            |failure: &Failure| matches!(failure, Failure::NoAddress(_) | Failure::Connection(_));
        if self.failed.as_ref().is_none_or(is_weak) {
            self.failed = Some(failure);
        }
    }
}

/// Asks all of `targets` at the same time, each at most for the time beside it. `accept` decides whether an answer of
/// the target at this index counts.
pub fn ask_all(
    targets: &[(Target, Duration)],
    mut accept: impl FnMut(usize, SocketAddr) -> Result<(), Failure>,
) -> Vec<Result<SocketAddr, Failure>> {
    let mut requests = Requests::default();
    let mut answers = Vec::new();
    for (index, (target, timeout)) in targets.iter().enumerate() {
        requests.begin(index, target, *timeout);
        answers.push(Err(Failure::TimedOut(*timeout)));
    }
    while !requests.is_empty() {
        let ended = requests.wait(None, &[], |index, address| accept(*index, address));
        ended.into_iter().for_each(|(index, answer)| answers[index] = answer);
    }
    answers
}

#[cfg(test)]
mod tests;
