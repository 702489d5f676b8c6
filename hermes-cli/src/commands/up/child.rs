//! Starts the process that becomes s6-svscan.
//!
//! `up` starts `hermes up --become-svscan`, which executes s6-svscan. Only that process itself can ask the
//! kernel for a signal when `up` dies, and raise its own descriptor limit.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use hermes_core::home::env as names;
use hermes_core::process::Process;
use hermes_s6::Tree;
use hermes_s6::tree::svscan;
use rustix::process::{Resource, Signal};

use super::reaper;
use crate::app::App;
use crate::error::CliError;

pub(super) fn spawn(tree: &Tree, service: bool) -> Result<Child, CliError> {
    let failed = |error| CliError::new("failed to start s6-svscan").because(error);
    let nofile = rustix::process::getrlimit(Resource::Nofile).current;
    let mut command = Command::new(hermes_core::program::path().map_err(failed)?);
    // Without HERMES_UP the slots' scripts treat the tree as the machine's: HOME is then the root home.
    match service {
        true => command.env_remove(names::UP),
        false => command.env(names::UP, super::stop::this_up(tree)),
    };
    command
        .args(["up", "--become-svscan"])
        .arg(std::process::id().to_string())
        .arg("--scandir")
        .arg(tree.scandir.path())
        .env(names::HOME, tree.root.path())
        .env(names::SCANDIR, tree.scandir.path())
        // An agent may run `up`; its tree does not belong to its gateway.
        .env_remove(names::SUPERVISED_CHILD)
        .env_remove(names::PROFILE)
        .env(names::UP_NOFILE, nofile.map_or_else(String::new, |n| n.to_string()))
        .stdin(Stdio::null())
        // Only `up` gets the terminal's SIGINT on Ctrl-C; it then stops the tree in order.
        .process_group(0);
    reaper::spawn(&mut command).map_err(failed)
}

/// Runs in the process that `up` starts: becomes s6-svscan, which gets SIGTERM when `parent` dies. Returns
/// only on failure.
pub(crate) fn become_svscan(app: &App, parent: u32) -> Result<u8, CliError> {
    let failed = |error: std::io::Error| CliError::new("failed to become s6-svscan").because(error);
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|errno| failed(errno.into()))?;
    if std::os::unix::process::parent_id() != parent {
        return Err(CliError::new("`hermes up` died before it started s6-svscan"));
    }
    raise_descriptor_limit();
    let tree = super::tree(app)?;
    super::owner::claim(&tree)?;
    let mut command = svscan::command(&tree.programs.s6, tree.scandir.path()).map_err(failed)?;
    Err(failed(command.exec()))
}

/// Raises the limit as far as allowed. `register` checks the resulting capacity.
fn raise_descriptor_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    let needed = svscan::DESCRIPTORS;
    let allowed = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    }
}

pub(super) fn process_of(child: &Child) -> Result<Process, CliError> {
    Process::open(child.id())
        .map_err(|error| CliError::new("failed to watch s6-svscan").because(error))?
        .ok_or_else(|| CliError::new("s6-svscan ended at once"))
}
