//! Drops root: a command that root runs for another user's home switches to that user.
//!
//! `docker exec` runs commands as root by default. Their files would belong to root in a home that `hermes`
//! uses, and later commands would fail on them. So the program executes itself again as the owner, before it
//! reads anything but the home's metadata.
//!
//! A path that leads to a directory of root's may be a link that another user created. Root stays root only
//! if no other user can change where the home's path leads.

use std::env;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use hermes_core::RootHome;
use hermes_core::home::env as names;
use hermes_core::trusted_path::{self, UntrustedOwner};

use crate::error::{CliError, exit};

/// Returns if this process may continue as its user; otherwise it executes itself again as the home's owner,
/// and returns only on failure.
pub(crate) fn become_owner(root: &RootHome) -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() || hermes::variable(names::AS_ROOT).is_some() {
        return Ok(());
    }
    // A home that does not exist will belong to the user who creates it. Other errors are reported later.
    let Ok(metadata) = fs::metadata(root.path()) else { return Ok(()) };
    let (uid, gid) = match (metadata.uid(), trusted_path::untrusted_owner(root.path())) {
        (0, Ok(None)) => return Ok(()),
        // A user who can cause this error could also redirect the path a moment later.
        (0, Err(error)) => return Err(unchecked(root, error)),
        (0, Ok(Some(UntrustedOwner { owner: Some(owner), .. }))) => owner,
        (0, Ok(Some(UntrustedOwner { at, owner: None }))) => {
            return Err(writable_by_all(root, &at));
        }
        (uid, _) => (uid, metadata.gid()),
    };
    let program = hermes_core::program::path()
        .map_err(|error| CliError::new("failed to find the `hermes` program").because(error))?;
    // std also drops root's supplementary groups when it sets the uid.
    let error = Command::new(program)
        .arg0(env::args_os().next().unwrap_or_default())
        .args(env::args_os().skip(1))
        .uid(uid)
        .gid(gid)
        .env("HOME", root.path())
        .exec();
    let home = root.path().display();
    Err(CliError::new(format!("failed to become uid {uid}, the owner of `{home}`"))
        .because(error)
        .with_hint(format!("{}=1 stays root", names::AS_ROOT))
        .with_code(exit::OUT_OF_REACH))
}

fn unchecked(root: &RootHome, error: io::Error) -> CliError {
    CliError::new(format!("failed to check the ownership of `{}`", root.path().display()))
        .because(error)
        .with_hint(format!("{}=1 stays root without this check", names::AS_ROOT))
        .with_code(exit::OUT_OF_REACH)
}

fn writable_by_all(root: &RootHome, at: &Path) -> CliError {
    let (home, at) = (root.path().display(), at.display());
    CliError::new(format!("root does not work in `{home}`: every user may write in `{at}`"))
        .because("any user could choose what a command of root reads, removes and runs")
        .with_hint(format!(
            "`chmod o-w {at}` forbids that; {}=1 stays root without this check",
            names::AS_ROOT
        ))
        .with_code(exit::OUT_OF_REACH)
}

/// For a command that changes the system's service manager, which only root may: acts as the home's owner
/// except when it calls that manager. A home that does not exist is refused, since its owner is unknown.
pub(crate) fn act_as_owner(root: &RootHome) -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() || hermes::variable(names::AS_ROOT).is_some() {
        return Ok(());
    }
    let home = root.path().display();
    let metadata = fs::metadata(root.path()).map_err(|error| {
        CliError::new(format!("failed to find the owner of `{home}`")).because(error).with_hint(
            format!("create the home as the user who will own it; {} sets its path", names::HOME),
        )
    })?;
    hermes_host::privilege::lower(metadata.uid(), metadata.gid()).map_err(|error| {
        CliError::new(format!("failed to act as uid {}, who owns `{home}`", metadata.uid()))
            .because(error)
            .with_hint(format!("{}=1 stays root", names::AS_ROOT))
    })
}
