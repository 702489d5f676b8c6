//! `hermes down`: stops the tree of a running `hermes up`.

use std::time::Instant;

use hermes_core::driver::During;
use hermes_core::home::env as names;
use hermes_core::process::{self, Process};
use hermes_core::process_lock::Holder;
use hermes_core::wait::Poll;
use hermes_s6::Tree;
use hermes_s6::tree::shutdown::Shutdown;
use hermes_s6::tree::svscan;
use rustix::process::Signal;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// The process that started an s6-svscan.
enum Starter {
    /// The `hermes up` that the s6-svscan names, which still is its parent.
    Up(Process),
    /// It has ended; `adopter` is the parent now.
    Ended { adopter: String },
}

/// Sends SIGTERM to the `hermes up` that runs the tree, and blocks until it has ended. If that has been killed, ends
/// the tree itself: no other process gets a signal.
pub(crate) fn stop(app: &App) -> Result<u8, CliError> {
    let tree = super::tree(app)?;
    let Some(holder) = tree.svscan().map_err(failed)? else {
        let why = format!("no tree runs on `{}`", tree.scandir.path().display());
        let error = CliError::new("failed to stop the tree").because(why);
        let hint = "`--scandir DIR` names the scan directory of another tree";
        return Err(error.with_hint(hint).with_code(exit::OUT_OF_REACH));
    };
    let refused = |why: &str| {
        Err(CliError::new("failed to stop the tree").because(why).with_code(exit::OUT_OF_REACH))
    };
    let svscan = holder.pid.map(Process::open).transpose().map_err(failed)?;
    let Some(svscan) = svscan else {
        return refused("its s6-svscan runs in another container");
    };
    let Some(svscan) = still_holding(&tree, holder, svscan) else {
        return refused("its s6-svscan has just ended");
    };
    match starter(&tree, &svscan)? {
        None => return refused("it was not started by `hermes up`"),
        Some(Starter::Up(up)) => end_with(&tree, &up)?,
        Some(Starter::Ended { adopter }) => {
            tree.require_same_home(holder).during("stop the tree")?;
            output::message(format_args!(
                "the `hermes up` of s6-svscan {} was killed, and its parent now is {adopter}; stopping the tree",
                svscan.pid
            ));
            end_tree(&tree, &svscan)?;
        }
    }
    output::message("the tree is down");
    Ok(exit::SUCCESS)
}

/// Ends the tree of a `hermes up` that was killed, if there is one on this scan directory for this home: its s6-svscan is
/// to end then, and waits for a logger as long as an orphan holds its pipe open. Does nothing to any other tree.
pub(super) fn end_abandoned(tree: &Tree) -> Result<(), CliError> {
    let Some(holder) = tree.svscan().map_err(failed)? else { return Ok(()) };
    let svscan = holder.pid.map(Process::open).transpose().map_err(failed)?.flatten();
    let Some(svscan) = still_holding(tree, holder, svscan) else { return Ok(()) };
    // Who started another user's tree can't be seen.
    let is_abandoned = matches!(starter(tree, &svscan), Ok(Some(Starter::Ended { .. })));
    if !is_abandoned || tree.require_same_home(holder).is_err() {
        return Ok(());
    }
    // A tree that has been ended starts nothing any more, and this process goes on to start one.
    let mut former = tree.clone();
    former.shutdown = Shutdown::default();
    let pid = svscan.pid;
    output::message(format_args!(
        "the `hermes up` of s6-svscan {pid} was killed; ending what is left of its tree"
    ));
    end_tree(&former, &svscan)
}

/// The open process `svscan`, if it still holds the scan directory: its number can't be reused now.
fn still_holding(tree: &Tree, holder: Holder, svscan: Option<Process>) -> Option<Process> {
    svscan.filter(|_| tree.svscan().is_ok_and(|now| now == Some(holder)))
}

fn failed(error: std::io::Error) -> CliError {
    CliError::new("failed to stop the tree").because(error)
}

/// Finds the `hermes up` that started `svscan` and recorded itself there ([`this_up`]); `None` if none did.
fn starter(tree: &Tree, svscan: &Process) -> Result<Option<Starter>, CliError> {
    let recorded = tree.proc.variable(svscan.pid, names::UP).map_err(failed)?;
    let Some(recorded) = recorded else { return Ok(None) };
    let parent = tree.proc.parent(svscan.pid).map_err(failed)?;
    let process = Process::open(parent).map_err(failed)?;
    // Now that the process is open, its number can't be reused. An adopter is another process than the recorded one.
    let is_up = identity(tree, parent).is_some_and(|identity| *identity == *recorded)
        && tree.proc.is_child(svscan.pid, parent);
    Ok(Some(match process {
        Some(process) if is_up => Starter::Up(process),
        _ => Starter::Ended { adopter: tree.proc.title(parent) },
    }))
}

/// The value of `HERMES_UP` by which an s6-svscan names the `hermes up` that starts it.
pub(super) fn this_up(tree: &Tree) -> String {
    identity(tree, std::process::id()).unwrap_or_else(|| "unknown".to_owned())
}

/// Identifies a process by its own process ID and its start time. This process may see it under another ID, from
/// outside of its PID namespace.
fn identity(tree: &Tree, pid: u32) -> Option<String> {
    let (own, start) = (tree.proc.own_pid(pid).ok()?, tree.proc.start_time(pid).ok()?);
    Some(format!("{own}:{start}"))
}

/// Has `up` end its tree.
fn end_with(tree: &Tree, up: &Process) -> Result<(), CliError> {
    up.signal(Signal::TERM).map_err(failed)?;
    let deadline = Instant::now() + svscan::shutdown_timeout(tree);
    let ended = process::wait_until(std::slice::from_ref(up), deadline, || {
        Ok::<_, CliError>(if up.has_ended() { Poll::Done(()) } else { Poll::Wait })
    })?;
    ended.ok_or_else(|| {
        CliError::new(format!("process {} did not stop the tree in time", up.pid))
            .with_hint("--timeout waits longer")
            .with_code(exit::OUT_OF_TIME)
    })
}

/// Ends a tree as its `hermes up` would.
fn end_tree(tree: &Tree, svscan: &Process) -> Result<(), CliError> {
    let scandir = tree.scandir.path().display();
    svscan::stop(tree, svscan).during(&format!("stop the tree on `{scandir}`"))?;
    match super::clear(tree)? {
        true => Ok(()),
        false => Err(CliError::new(format!("failed to clear the scan directory `{scandir}`"))),
    }
}
