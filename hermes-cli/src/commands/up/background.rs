//! `hermes up --detach`: a tree in the background, which outlives this command and its terminal.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fs_err as fs;
use hermes_core::home::env as names;
use hermes_core::wait::{self, Poll};
use hermes_core::{Supervisor, writers};
use hermes_s6::S6Driver;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// How long a tree and the gateways that it starts may take to come up.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The option of the process in the background.
pub(super) const LEADER: &str = "--session-leader";

/// Starts the tree, and blocks until it has booted its profiles. Its messages go to a file; the lines of the gateways,
/// which are in their logs, nowhere. Returns its supervisor.
pub(crate) fn start(app: &App) -> Result<Supervisor, CliError> {
    app.hermes.refuse_client()?;
    let tree = super::tree(app)?;
    super::refuse_second(&tree)?;
    let failed = |error| CliError::new("failed to start a tree in the background").because(error);
    let log = app.root().up_log();
    writers::create_directory(app.root().path()).map_err(failed)?;
    log.parent().map_or(Ok(()), writers::create_directory).map_err(failed)?;
    // The messages of the last tree are kept.
    let _ = fs::rename(&log, log.with_extension("log.1"));
    let file = fs::File::create(&log).map_err(failed)?;
    let mut command = Command::new(hermes_core::program::path().map_err(failed)?);
    command.args(["up", LEADER, "--scandir"]).arg(tree.scandir.path());
    if let Some(timeout) = app.timeout {
        command.arg("--timeout").arg(timeout.as_secs().to_string());
    }
    command.env(names::HOME, app.root().path()).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file.into_file());
    let mut child = command.spawn().map_err(failed)?;
    let driver = Arc::new(S6Driver::new(tree));
    let supervisor = Supervisor::new(driver, app.store().clone());
    let timeout = app.timeout.unwrap_or(TIMEOUT);
    let ended = |child: &mut Child| child.try_wait().map_err(failed);
    let up = wait::until(Instant::now() + timeout, || {
        if let Some(status) = ended(&mut child)? {
            let said = hermes_core::fsutil::read_to_string(&log).unwrap_or_default();
            let said = said.trim().lines().collect::<Vec<_>>().join("; ");
            let why = if said.is_empty() { status.to_string() } else { said };
            return Err(CliError::new("failed to start a tree in the background").because(why));
        }
        // Without an s6-svscan there is no record yet.
        let booted = supervisor.boot_duration().is_ok_and(|took| took.is_some());
        Ok(if booted { Poll::Done(()) } else { Poll::Wait })
    })?;
    up.map(|()| supervisor.clone()).ok_or_else(|| {
        CliError::new(format!("the tree was not up within {} s", timeout.as_secs()))
            .with_hint(format!("it is still starting; its messages are in {}", log.display()))
            .with_code(exit::OUT_OF_TIME)
    })
}

/// `up --detach`.
pub(crate) fn run(app: &App) -> Result<u8, CliError> {
    start(app)?;
    let log = app.root().up_log();
    output::message(format_args!(
        "the tree is up in the background; its messages are in {}; `hermes down` ends it",
        log.display()
    ));
    Ok(exit::SUCCESS)
}

/// Leaves the session of the terminal, in the process in the background.
pub(super) fn leave_session() -> Result<(), CliError> {
    let failed = |errno: rustix::io::Errno| {
        let error = std::io::Error::from(errno);
        CliError::new("failed to leave the session of the terminal").because(error)
    };
    rustix::process::setsid().map(drop).map_err(failed)
}
