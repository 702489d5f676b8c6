//! The process of a gateway before it was adopted: how it was started, and its start anew.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use hermes_core::agent::Locks;
use hermes_core::config::is_secret;
use hermes_core::home::env as names;
use hermes_core::wait::{self, Poll};
use hermes_core::{Gateway, Proc, ProfileName};
use serde::{Deserialize, Serialize};

use super::super::models::in_dotenv;
use crate::app::App;
use crate::error::{CliError, exit};

/// Variables that the agent needs, and beginnings of their names.
const VARIABLES: [&str; 4] = ["HOME", "PATH", "LANG", "VIRTUAL_ENV"];
const PREFIXES: [&str; 4] = ["HERMES_", "PYTHON", "XDG_", "LC_"];
/// Variables of the agent's API server begin so.
const API_SERVER: &str = "API_SERVER_";
const PORT: &str = "API_SERVER_PORT";
/// The option of the process that becomes a former one.
const BECOME: &str = "--become";

/// A process, without its secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Former {
    pub(super) pid: u32,
    pub(super) argv: Vec<String>,
    directory: PathBuf,
    env: BTreeMap<String, String>,
    /// The files that its standard output and standard error were.
    output: [Option<PathBuf>; 2],
}

impl Former {
    /// Reads how the gateway was started, whose process is `pid`. A variable that it needs and that nobody would pass on to
    /// the supervised one is an error: a secret is not recorded.
    pub(super) fn of(gateway: &Gateway, pid: u32) -> Result<Self, CliError> {
        let proc = Proc::default();
        let failed = |error: io::Error| {
            CliError::new(format!("failed to read how process {pid} was started")).because(error)
        };
        let mut env = proc.all_variables(pid).map_err(failed)?;
        refuse_lost(gateway, &env)?;
        env.retain(|name, _| {
            let known = VARIABLES.contains(&name.as_str())
                || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            known && !is_secret(name)
        });
        let output = [1, 2].map(|fd| {
            let path = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
            path.is_file().then_some(path)
        });
        let argv = proc.arguments(pid).map_err(failed)?;
        let directory = proc.directory(pid).map_err(failed)?;
        Ok(Self { pid, argv, directory, env, output })
    }

    /// Its command line.
    pub(super) fn command(&self) -> String {
        self.argv.join(" ")
    }

    /// Becomes it, in a session of its own, in the process that [`start_again`] starts. Returns only on failure.
    pub(super) fn become_it(self) -> CliError {
        let failed = |error: io::Error| CliError::new("failed to start the gateway").because(error);
        if let Err(errno) = rustix::process::setsid() {
            return failed(errno.into());
        }
        let Some((program, arguments)) = self.argv.split_first() else {
            return CliError::new("its command line is empty");
        };
        let output = |path: &Option<PathBuf>| {
            let file = path.as_ref().and_then(|path| {
                fs::OpenOptions::new().append(true).open(path).map(fs::File::into_file).ok()
            });
            file.map_or_else(Stdio::null, Stdio::from)
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.env).current_dir(&self.directory);
        command.stdin(Stdio::null());
        command.stdout(output(&self.output[0])).stderr(output(&self.output[1]));
        failed(command.exec())
    }
}

/// Fails if the environment of a process has what its profile's files do not: the supervised gateway would lack it.
fn refuse_lost(gateway: &Gateway, env: &BTreeMap<String, String>) -> Result<(), CliError> {
    let dotenv = in_dotenv(gateway.home())?;
    let config = gateway.config();
    let port = gateway.port().ok().flatten().map(|port| port.to_string());
    let is_kept = |name: &str, value: &String| {
        dotenv.contains_key(name)
            || config.env.get(name) == Some(value)
            || name == PORT && port.as_ref() == Some(value)
    };
    let lost: Vec<_> = env
        .iter()
        .filter(|(name, _)| name.starts_with(API_SERVER) || is_secret(name))
        .filter(|(name, value)| !is_kept(name, value))
        .map(|(name, _)| name.as_str())
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let (name, lost) = (gateway.name(), lost.join(", "));
    Err(CliError::new(format!("failed to adopt the gateway of `{name}`"))
        .because(format!("it has {lost} from the shell that started it, and from no file"))
        .with_hint(format!("put {lost} into {}", gateway.home().dotenv().display())))
}

/// Starts the former process of the gateway of `name` again, detached from this terminal.
pub(super) fn start_again(app: &App, name: &ProfileName) -> Result<Child, CliError> {
    let failed = |error: io::Error| not_started(name).because(error);
    let mut command = Command::new(hermes_core::program::path().map_err(failed)?);
    command.args(["adopt", BECOME, name.as_str()]).env(names::HOME, app.root().path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(failed)
}

/// Blocks until a process holds the lock of the agent's gateway, at most `timeout`. If `process` ends before that, none
/// will.
pub(super) fn await_gateway(
    gateway: &Gateway,
    mut process: Option<Child>,
    timeout: Duration,
) -> Result<(), CliError> {
    let name = gateway.name();
    let runs = wait::until(Instant::now() + timeout, || {
        if Locks::default().holder(gateway.home()).is_some() {
            return Ok(Poll::Done(()));
        }
        let ended = process.as_mut().map_or(Ok(None), Child::try_wait);
        match ended.map_err(|error| not_started(name).because(error))? {
            Some(status) => {
                Err(not_started(name).because(format!("it ended before it was up: {status}")))
            }
            None => Ok(Poll::Wait),
        }
    })?;
    runs.ok_or_else(|| {
        let why = format!("it was not up within {} s", timeout.as_secs());
        not_started(name).because(why).with_code(exit::OUT_OF_TIME)
    })
}

fn not_started(name: &ProfileName) -> CliError {
    CliError::new(format!("failed to start the former gateway of `{name}`"))
}
