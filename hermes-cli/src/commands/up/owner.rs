//! One tree per home: waits for another owner, and becomes the owner.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use hermes_core::driver::During;
use hermes_core::home::env;
use hermes_core::manager::ManagerError;
use hermes_core::wait::{self, Poll};
use hermes_s6::Tree;
use hermes_s6::tree::owner as s6_owner;

use crate::error::{CliError, exit};
use crate::output;

/// How long `up` waits for another owner of its home, unless `HERMES_OWNER_WAIT` is set.
const OWNER_WAIT: Duration = Duration::from_secs(60);
/// How long s6-svscan's process waits for the owner's lock after `up` has found none: another tree may have
/// taken it in between.
const CLAIM_WAIT: Duration = Duration::from_secs(2);

/// Makes this process the owner of the tree's home until it ends, also across exec, unless
/// `HERMES_OWNER_LOCK=off`.
pub(super) fn claim(tree: &Tree) -> Result<(), ManagerError> {
    match locks() {
        true => s6_owner::claim(tree, CLAIM_WAIT)
            .during(&format!("become the owner of `{}`", tree.root.path().display())),
        false => Ok(()),
    }
}

/// Whether a tree locks its home.
fn locks() -> bool {
    hermes::variable(env::OWNER_LOCK).is_none_or(|value| value != "off")
}

/// How long a tree waits for another owner of its home.
fn wait_time() -> Result<Duration, CliError> {
    let Some(value) = hermes::text(env::OWNER_WAIT) else { return Ok(OWNER_WAIT) };
    value.parse().map(Duration::from_secs).map_err(|_| {
        CliError::new(format!("invalid value `{value}` for {}", env::OWNER_WAIT))
            .with_hint("set a number of seconds")
            .with_code(exit::USAGE)
    })
}

#[derive(PartialEq, Eq)]
pub(super) enum Awaited {
    Free,
    Interrupted,
}

/// Blocks while another tree runs the gateways of this home, until a signal to end arrives. A timeout is an
/// error that names the owner. `refuse` fails at once if the other tree is on the same scan directory.
pub(super) fn await_turn(
    tree: &Tree,
    signals: &OwnedFd,
    refuse: impl Fn() -> Result<(), CliError>,
) -> Result<Awaited, CliError> {
    refuse()?;
    if !locks() {
        return Ok(Awaited::Free);
    }
    let timeout = wait_time()?;
    let home = tree.root.path().display();
    let failed =
        |error| CliError::new(format!("failed to find the owner of `{home}`")).because(error);
    let mut seen = None;
    let done = wait::until(Instant::now() + timeout, || {
        let Some(owner) = s6_owner::owner(&tree.root).map_err(failed)? else {
            return Ok::<_, CliError>(Poll::Done(Awaited::Free));
        };
        refuse()?;
        if seen.is_none() {
            let seconds = timeout.as_secs();
            output::message(format_args!(
                "waiting up to {seconds} s for the owner of `{home}`, {owner}"
            ));
        }
        seen = Some(owner);
        Ok(if is_signalled(signals) { Poll::Done(Awaited::Interrupted) } else { Poll::Wait })
    })?;
    match (done, seen) {
        (None, Some(owner)) => {
            Err(ManagerError::of("start the tree", s6_owner::taken(&owner)).into())
        }
        (done, _) => Ok(done.unwrap_or(Awaited::Free)),
    }
}

/// Whether a signal to end has arrived.
pub(super) fn is_signalled(signals: &OwnedFd) -> bool {
    wait::readable(&[signals.as_fd()], Some(Instant::now())).is_ok_and(|ready| ready[0])
}
