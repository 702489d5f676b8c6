//! How `pods/log` reads what containers print.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use jiff::Timestamp;
use tokio::sync::watch::Receiver;

use super::call::Call;
use super::failure::Failure;
use super::output::Log;
use super::resource::Resource;
use super::shared::Shared;
use super::time;

/// A log that is read.
struct Reader {
    log: Arc<Log>,
    state: Receiver<(usize, bool)>,
    closed: Receiver<u64>,
    seen: usize,
    due: VecDeque<String>,
    with_times: bool,
    follows: bool,
}

/// The lines that a request is about.
pub(super) async fn read(
    shared: &Shared,
    call: &Call,
) -> Result<impl Stream<Item = io::Result<String>> + Send + use<>, Failure> {
    let name = call.name.as_str();
    let pod = shared.store.get(Resource::Pods, name);
    let pod = pod.ok_or_else(|| Failure::not_found(call.resource, name))?;
    if shared.is_lost(&pod) {
        // Nobody answers there.
        return std::future::pending().await;
    }
    let container = pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
    if call.option("container").is_some_and(|asked| asked != container) {
        let message = format!("container {} is not valid for pod {name}", call.query["container"]);
        return Err(Failure::bad_request(message));
    }
    let logs = shared.logs(pod["metadata"]["uid"].as_str().unwrap_or_default());
    let log = match call.is("previous") {
        true => logs.previous.ok_or_else(|| {
            Failure::bad_request(format!(
                "previous terminated container \"{container}\" in pod \"{name}\" not found"
            ))
        })?,
        false => logs.current.ok_or_else(|| {
            Failure::bad_request(format!(
                "container \"{container}\" in pod \"{name}\" is waiting to start: ContainerCreating"
            ))
        })?,
    };
    let since = since(call)?;
    let state = log.subscribe();
    let lines = log.since(0);
    let seen = lines.len();
    let mut lines: Vec<_> =
        lines.into_iter().filter(|(time, _)| since.is_none_or(|since| *time >= since)).collect();
    if let Some(tail) = call.number("tailLines")? {
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        lines.drain(..lines.len().saturating_sub(tail));
    }
    let (with_times, follows) = (call.is("timestamps"), call.is("follow"));
    let closed = shared.connections();
    let mut reader = Reader { log, state, closed, seen, due: VecDeque::new(), with_times, follows };
    reader.take(lines);
    Ok(unfold(reader, |mut reader| async move { Some((reader.next().await?, reader)) }))
}

fn since(call: &Call) -> Result<Option<Timestamp>, Failure> {
    if let Some(seconds) = call.number("sinceSeconds")? {
        return Ok(Some(Timestamp::now() - std::time::Duration::from_secs(seconds)));
    }
    let Some(text) = call.option("sinceTime") else { return Ok(None) };
    let invalid = |error| Failure::bad_request(format!("sinceTime: {error}"));
    text.parse().map(Some).map_err(invalid)
}

impl Reader {
    fn take(&mut self, lines: Vec<(Timestamp, String)>) {
        self.due.extend(lines.into_iter().map(|(time, line)| match self.with_times {
            true => format!("{} {line}\n", time::nanoseconds(time)),
            false => format!("{line}\n"),
        }));
    }

    async fn next(&mut self) -> Option<io::Result<String>> {
        loop {
            if let Some(line) = self.due.pop_front() {
                return Some(Ok(line));
            }
            if !self.follows {
                return None;
            }
            let (count, is_over) = *self.state.borrow_and_update();
            if count > self.seen {
                let new = self.log.since(self.seen);
                self.seen += new.len();
                self.take(new);
                continue;
            }
            if is_over {
                return None;
            }
            tokio::select! {
                changed = self.state.changed() => changed.ok()?,
                _ = self.closed.changed() => {
                    return Some(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
        }
    }
}
