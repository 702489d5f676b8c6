//! `hermes down`: stops the tree of a running `hermes up`.

use std::time::Instant;

use hermes_core::driver::During;
use hermes_core::home::env as names;
use hermes_core::process::{self, Process};
use hermes_core::wait::Poll;
use hermes_s6::tree::svscan;
use rustix::process::Signal;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Sends SIGTERM to the `hermes up` that runs the tree, and blocks until it has ended.
pub(crate) fn stop(app: &App) -> Result<u8, CliError> {
    let tree = super::tree(app)?;
    let holder = tree.require_svscan().during("stop the tree")?;
    let failed = |error: std::io::Error| CliError::new("failed to stop the tree").because(error);
    let refused = |why: &str| {
        Err(CliError::new("failed to stop the tree").because(why).with_code(exit::OUT_OF_REACH))
    };
    let Some(pid) = holder.pid else {
        return refused("its s6-svscan runs in another container");
    };
    if tree.proc.variable(pid, names::UP).map_err(failed)?.is_none() {
        return refused("it was not started by `hermes up`");
    }
    // `up` starts s6-svscan itself, and s6-svscan ends when `up` does.
    let parent = tree.proc.parent(pid).map_err(failed)?;
    let Some(process) = Process::open(parent).map_err(failed)? else {
        return refused("its `hermes up` has just ended");
    };
    process.signal(Signal::TERM).map_err(failed)?;
    let deadline = Instant::now() + svscan::shutdown_timeout(&tree);
    let ended = process::wait_until(std::slice::from_ref(&process), deadline, || {
        Ok::<_, CliError>(if process.has_ended() { Poll::Done(()) } else { Poll::Wait })
    })?;
    ended.ok_or_else(|| {
        CliError::new(format!("process {} did not stop the tree in time", process.pid))
            .with_hint("--timeout waits longer")
            .with_code(exit::OUT_OF_TIME)
    })?;
    output::message("the tree is down");
    Ok(exit::SUCCESS)
}
