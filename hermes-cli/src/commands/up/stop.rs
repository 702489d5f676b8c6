//! `hermes down`: stops the tree of a running `hermes up`.

use std::time::Instant;

use hermes_core::driver::During;
use hermes_core::home::env as names;
use hermes_core::process::{self, Process};
use hermes_core::wait::Poll;
use hermes_s6::Tree;
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
    // Now that the process is open, its number can't be reused.
    let svscan = svscan.filter(|_| tree.svscan().is_ok_and(|now| now == Some(holder)));
    let Some(svscan) = svscan else {
        return refused("its s6-svscan has just ended");
    };
    let Some(recorded) = tree.proc.variable(svscan.pid, names::UP).map_err(failed)? else {
        return refused("it was not started by `hermes up`");
    };
    match starter(&tree, &svscan, &recorded.to_string_lossy())? {
        Starter::Up(up) => end_with(&tree, &up)?,
        Starter::Ended { adopter } => {
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
pub(super) fn end_abandoned(app: &App) -> Result<(), CliError> {
    // A tree that has been ended starts nothing any more.
    let tree = &super::tree(app)?;
    let Some(holder) = tree.svscan().map_err(failed)? else { return Ok(()) };
    let svscan = holder.pid.map(Process::open).transpose().map_err(failed)?.flatten();
    // Now that the process is open, its number can't be reused.
    let svscan = svscan.filter(|_| tree.svscan().is_ok_and(|now| now == Some(holder)));
    let Some(svscan) = svscan else { return Ok(()) };
    let Ok(Some(recorded)) = tree.proc.variable(svscan.pid, names::UP) else { return Ok(()) };
    let Starter::Ended { .. } = starter(tree, &svscan, &recorded.to_string_lossy())? else {
        return Ok(());
    };
    if tree.require_same_home(holder).is_err() {
        return Ok(());
    }
    let pid = svscan.pid;
    output::message(format_args!(
        "the `hermes up` of s6-svscan {pid} was killed; ending what is left of its tree"
    ));
    end_tree(tree, &svscan)
}

fn failed(error: std::io::Error) -> CliError {
    CliError::new("failed to stop the tree").because(error)
}

/// Finds the `hermes up` that started `svscan` and recorded itself there ([`this_up`]).
fn starter(tree: &Tree, svscan: &Process, recorded: &str) -> Result<Starter, CliError> {
    let parent = tree.proc.parent(svscan.pid).map_err(failed)?;
    let process = Process::open(parent).map_err(failed)?;
    // Now that the process is open, its number can't be reused. An adopter is another process than the recorded one.
    let is_up = identity(tree, parent).is_some_and(|identity| identity == recorded)
        && tree.proc.is_child(svscan.pid, parent);
    match process {
        Some(process) if is_up => Ok(Starter::Up(process)),
        _ => Ok(Starter::Ended { adopter: tree.proc.title(parent) }),
    }
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
