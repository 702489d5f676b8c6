//! What root gives up: a command run by root for a home that is somebody else's becomes that owner.
//!
//! `docker exec` is root's where nobody says otherwise. Files that it made would be root's in a home
//! that `hermes` works in, and every later command would fail on them. So the program starts itself
//! once more as the owner, before anything but the home's own metadata was looked at.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use fs_err as fs;
use hermes_core::RootHome;
use hermes_core::home::env as names;

use crate::app;
use crate::error::{CliError, exit};

/// Returns where this process may go on as it is; elsewhere it becomes the home's owner, from its
/// beginning.
pub(crate) fn become_owner(root: &RootHome) -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() || app::variable(names::AS_ROOT).is_some() {
        return Ok(());
    }
    // A home that is not there yet will be its maker's, and one that can't be seen is told later.
    let Ok(metadata) = fs::metadata(root.path()) else { return Ok(()) };
    if metadata.uid() == 0 {
        return Ok(());
    }
    let program = env::current_exe()
        .map_err(|error| CliError::new("failed to find the `hermes` program").because(error))?;
    // The uid takes root's supplementary groups along (std drops them with it).
    let error = Command::new(program)
        .args(env::args_os().skip(1))
        .uid(metadata.uid())
        .gid(metadata.gid())
        .env("HOME", root.path())
        .exec();
    let home = root.path().display();
    let owner = metadata.uid();
    Err(CliError::new(format!("failed to become uid {owner}, who owns `{home}`"))
        .because(error)
        .hint(format!("{}=1 stays root", names::AS_ROOT))
        .with_code(exit::OUT_OF_REACH))
}
