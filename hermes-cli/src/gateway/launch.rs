//! `gateway start --foreground`: reads the configuration, then becomes the gateway: the program that
//! `gateway.command` names, or the built-in one.
//!
//! What is wrong is said in one line, and the exit code says whether trying again can help: 78 if the
//! configuration can't become right by itself, 1 otherwise.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use hermes_core::ProfileName;
use hermes_core::config::{self, ConfigError, GatewayConfig, Placeholders};
use hermes_core::fsutil;
use hermes_core::home::env as names;
use hermes_core::listeners;
use hermes_core::process_lock;
use hermes_core::store::{Profile, StoreError};
use jiff::Timestamp;
use rustix::process::Resource;

use super::environment;
use super::notification::{self, Notification};
use super::readiness;
use super::server::{self, ServeError};
use crate::app::{self, App};
use crate::error::{CliError, exit};
use crate::output;

/// How long a gateway waits for the one before it to end.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Becomes the gateway of the profile. Returns when the built-in one has ended in order. Why it could
/// not start is left in the profile's home, too, for `status` and `start` to tell.
pub(crate) fn run(
    app: &App,
    name: &ProfileName,
    notification: Notification,
) -> Result<u8, CliError> {
    let profile = app.store.get(name).map_err(|error| match error {
        error @ StoreError::Absent { .. } => CliError::from(error).with_code(exit::CONFIG),
        error => CliError::from(error).with_code(exit::FAILURE),
    })?;
    let fault = profile.home.fault();
    // Without it only the log tells why: that is no reason not to run.
    let _ = fsutil::remove_file_if_there(&fault);
    become_gateway(app, &profile, notification).inspect_err(|error| {
        let _ = fsutil::write_durably(&fault, error.in_one_line().as_bytes(), 0o644);
    })
}

fn become_gateway(
    app: &App,
    profile: &Profile,
    notification: Notification,
) -> Result<u8, CliError> {
    let loaded = config::load(&profile.home.config()).map_err(|error| {
        // What can't be read now may be readable soon; what is wrong stays wrong.
        let hopeless = !matches!(error, ConfigError::Read(_));
        let code = if hopeless { exit::CONFIG } else { exit::FAILURE };
        CliError::from(StoreError::from(error)).with_code(code)
    })?;
    loaded.warnings.iter().for_each(output::warning);
    let port = app.store.port(profile).ok().flatten();
    let filled = fill(&loaded.gateway, profile, port).map_err(|_| no_port(&profile.name))?;
    let program = match filled.command {
        Some(command) => Some((command, environment::of(profile, filled.env)?)),
        None => None,
    };
    be_the_only_one(profile)?;
    restore_descriptor_limit();
    match (program, port) {
        (Some((command, env)), _) => {
            match &filled.ready_url {
                Some(url) if notification.is_heard() => {
                    readiness::ask_later(url, notification)?;
                }
                Some(_) => {}
                None => notification.says_no_more(),
            }
            Err(become_program(profile, &command, env))
        }
        (None, Some(port)) => serve(profile, &loaded.gateway, port, notification),
        (None, None) => Err(no_port(&profile.name)),
    }
}

/// Takes the profile's lock for the rest of this process's life, whatever it becomes.
fn be_the_only_one(profile: &Profile) -> Result<(), CliError> {
    let (path, name) = (profile.home.gateway_lock(), &profile.name);
    let about = format!("pid {} since {}\n", std::process::id(), Timestamp::now());
    let held = process_lock::hold(&path, &about, TIMEOUT).map_err(|error| {
        CliError::new(format!("failed to lock the gateway of `{name}`")).because(error)
    })?;
    held.map_err(|holder| {
        let holder = holder.pid.map_or_else(
            || "a process that can't be seen from here".to_owned(),
            |pid| format!("process {pid}"),
        );
        CliError::new(format!("the gateway of `{name}` runs already"))
            .because(format!("{holder} has `{}` locked", path.display()))
            .with_hint(format!("`hermes gateway stop {name}` ends it, supervised or not"))
    })
}

struct Filled {
    command: Option<Vec<String>>,
    env: BTreeMap<String, String>,
    ready_url: Option<String>,
}

fn fill(
    config: &GatewayConfig,
    profile: &Profile,
    port: Option<u16>,
) -> Result<Filled, config::MissingPort> {
    let home = profile.home.path().to_string_lossy();
    let placeholders =
        Placeholders { profile: profile.name.as_str(), home: &home, host: &config.host, port };
    Ok(Filled {
        command: config.filled_command(&placeholders)?,
        env: config.filled_env(&placeholders)?,
        ready_url: config.filled_ready_url(&placeholders)?,
    })
}

fn become_program(profile: &Profile, command: &[String], env: Vec<(String, OsString)>) -> CliError {
    let [program, arguments @ ..] = command else {
        return CliError::new("`gateway.command` is empty").with_code(exit::CONFIG);
    };
    // What a program says there would count as said by us.
    let mut program_command = Command::new(program);
    program_command.args(arguments).envs(env).env_remove(notification::SOCKET);
    let error = program_command.stdin(Stdio::null()).exec();
    let too_long = error.kind() == ErrorKind::ArgumentListTooLong;
    let hopeless =
        too_long || matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied);
    let code = if hopeless { exit::CONFIG } else { exit::FAILURE };
    let (config, dotenv) = (profile.home.config(), profile.home.dotenv());
    CliError::new(format!("failed to run `{program}`, the gateway.command of `{}`", profile.name))
        .because(error)
        .with_hint(match too_long {
            true => format!("{} or {} holds too much", dotenv.display(), config.display()),
            false => format!("{} names it", config.display()),
        })
        .with_code(code)
}

fn serve(
    profile: &Profile,
    config: &GatewayConfig,
    port: u16,
    notification: Notification,
) -> Result<u8, CliError> {
    server::serve(&profile.name, config, port, notification).map_err(|error| {
        let error_code = match &error {
            ServeError::Listen { source, .. } if listeners::is_permanent(source) => exit::CONFIG,
            _ => exit::FAILURE,
        };
        let hint = error.hint(&profile.name);
        let error = CliError::of(error).with_code(error_code);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })?;
    Ok(exit::SUCCESS)
}

fn no_port(name: &ProfileName) -> CliError {
    CliError::new(format!("the gateway of `{name}` has no port: its config.yaml names none"))
        .with_hint(format!("`hermes profile port {name}` writes a free one, `hermes profile port {name} N` a given one"))
        .with_code(exit::CONFIG)
}

/// `hermes up` raised the limit for its s6-svscan, and everything below inherited it. Programs that
/// close every possible descriptor, or use select(2), want the usual one.
fn restore_descriptor_limit() {
    let before = app::variable(names::UP_NOFILE);
    let Some(before) = before.and_then(|text| text.to_str()?.parse().ok()) else {
        return;
    };
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = Some(before);
    // One that was lowered since stays as it is.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}
