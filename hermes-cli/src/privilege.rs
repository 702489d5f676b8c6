//! What root gives up: a command run by root for a home that is somebody else's becomes that owner.
//!
//! `docker exec` is root's where nobody says otherwise. Files that it made would be root's in a home
//! that `hermes` works in, and every later command would fail on them. So the program starts itself
//! once more as the owner, before anything but the home's own metadata was looked at.
//!
//! A home that looks like root's may be one that somebody else has put there: a link to a directory of
//! root's. Root stays root only where nobody else decides what the way to the home leads to.

use std::env;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use hermes_core::RootHome;
use hermes_core::home::env as names;

use crate::error::{CliError, exit};
use hermes_core::trusted_path::{self, UntrustedOwner};

/// Returns where this process may go on as it is; elsewhere it becomes the home's owner, from its
/// beginning.
pub(crate) fn become_owner(root: &RootHome) -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() || hermes::variable(names::AS_ROOT).is_some() {
        return Ok(());
    }
    // A home that is not there yet will be its maker's, and one that can't be seen is told later.
    let Ok(metadata) = fs::metadata(root.path()) else { return Ok(()) };
    let (uid, gid) = match (metadata.uid(), trusted_path::untrusted_owner(root.path())) {
        (0, Ok(None)) => return Ok(()),
        // Whoever can make it fail could let it lead elsewhere a moment later.
        (0, Err(error)) => return Err(unseen(root, error)),
        (0, Ok(Some(UntrustedOwner { owner: Some(owner), .. }))) => owner,
        (0, Ok(Some(UntrustedOwner { at, owner: None }))) => return Err(open_to_all(root, &at)),
        (uid, _) => (uid, metadata.gid()),
    };
    let program = env::current_exe()
        .map_err(|error| CliError::new("failed to find the `hermes` program").because(error))?;
    // The uid takes root's supplementary groups along (std drops them with it).
    let error = Command::new(program)
        .args(env::args_os().skip(1))
        .uid(uid)
        .gid(gid)
        .env("HOME", root.path())
        .exec();
    let home = root.path().display();
    Err(CliError::new(format!("failed to become uid {uid}, whose `{home}` is"))
        .because(error)
        .with_hint(format!("{}=1 stays root", names::AS_ROOT))
        .with_code(exit::OUT_OF_REACH))
}

fn unseen(root: &RootHome, error: io::Error) -> CliError {
    CliError::new(format!("failed to see who decides about `{}`", root.path().display()))
        .because(error)
        .with_hint(format!("{}=1 stays root all the same", names::AS_ROOT))
        .with_code(exit::OUT_OF_REACH)
}

fn open_to_all(root: &RootHome, at: &Path) -> CliError {
    let (home, at) = (root.path().display(), at.display());
    CliError::new(format!("root does not work in `{home}`: everybody may write in `{at}`"))
        .because("whoever does decides what a command of root's would read, remove and run")
        .with_hint(format!(
            "`chmod o-w {at}` closes it; {}=1 stays root all the same",
            names::AS_ROOT
        ))
        .with_code(exit::OUT_OF_REACH)
}

/// For a command about the system's service manager, which root alone may change: acts as the home's
/// owner but for what that manager is told. A home that is not there yet is refused: whose would it be?
pub(crate) fn act_as_owner(root: &RootHome) -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() || hermes::variable(names::AS_ROOT).is_some() {
        return Ok(());
    }
    let home = root.path().display();
    let metadata = fs::metadata(root.path()).map_err(|error| {
        CliError::new(format!("failed to find the owner of `{home}`")).because(error).with_hint(
            format!("{} names the home; make it as the user whose it is to be", names::HOME),
        )
    })?;
    hermes_host::privilege::lower(metadata.uid(), metadata.gid()).map_err(|error| {
        CliError::new(format!("failed to act as uid {}, who owns `{home}`", metadata.uid()))
            .because(error)
            .with_hint(format!("{}=1 stays root", names::AS_ROOT))
    })
}
