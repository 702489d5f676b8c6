//! Launches a profile's gateway: reads the configuration, then executes the program of `gateway.command`, or
//! runs the built-in gateway.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, Stdio};
use std::time::Duration;

use hermes_core::agent::{self, NoProgram, Program};
use hermes_core::config::{
    GatewayConfig, GatewayKind, Loaded, Origin, Placeholders, Resources, Unfilled,
};
use hermes_core::control_group::ControlGroup;
use hermes_core::error_chain::in_one_line;
use hermes_core::events::{Journal, Recorder, What};
use hermes_core::process_lock::origin;
use hermes_core::settings::{self, Surroundings};
use hermes_core::store::{Profile, StoreError};
use hermes_core::{Proc, ProfileName, RootHome, Store, fsutil, hosts, listeners, process_lock};
use rustix::process::{Resource, Rlimit};

use crate::environment;
use crate::error::{GatewayError, LockHeld};
use crate::inherited;
use crate::notification::Notification;
use crate::readiness;
use crate::server;

/// How long a gateway waits for the profile's previous gateway to end.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The program that supervises a slot.
const SUPERVISOR: &str = "s6-supervise";

/// Runs the gateway of the profile `name` in this process, in `surroundings`, and notifies `notification` when it is ready.
/// A `gateway.command` replaces this process; the built-in gateway returns after a signal has ended it.
///
/// Blocks while another process is the profile's gateway, at most five seconds. Holds the profile's
/// gateway lock until the process ends, and calls `end_leftovers` as soon as it does. Also writes an error to the
/// profile's home, where `status` and `start` read it.
pub fn run(
    store: &Store,
    name: &ProfileName,
    surroundings: &Surroundings,
    notification: Notification,
    end_leftovers: impl FnOnce(),
) -> Result<(), GatewayError> {
    let profile = store.get(name)?;
    let fault = profile.home.fault();
    // A failure here, or to write the file below, must not stop the gateway.
    let _ = fsutil::remove_file_if_there(&fault);
    let events = Journal::new(store.root()).of(name);
    let open = store.refuse_open(Some(&profile.home)).map_err(GatewayError::from);
    let loaded = || settings::load_in(&profile.home, surroundings).map_err(StoreError::from);
    let run = |loaded: Loaded| {
        if surroundings.host.is_some() {
            warn_of_loopback(&loaded);
        }
        become_gateway(store.root(), &profile, loaded, notification, events, end_leftovers)
    };
    open.and_then(|()| Ok(loaded()?)).and_then(run).inspect_err(|error| {
        let _ = fsutil::write_durably(&fault, in_one_line(error).as_bytes(), 0o644);
    })
}

fn become_gateway(
    root: &RootHome,
    profile: &Profile,
    loaded: Loaded,
    notification: Notification,
    events: Recorder,
    end_leftovers: impl FnOnce(),
) -> Result<(), GatewayError> {
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let config = loaded.gateway;
    let port = profile.port(&config);
    let no_port = || GatewayError::NoPort { profile: profile.name.clone() };
    let program = agents_program(profile, &config)?;
    let program = program.as_ref();
    let filled = fill(&config, profile, port, program).map_err(|missing| match missing {
        Unfilled::Port { .. } => no_port(),
        Unfilled::Program { .. } => {
            GatewayError::NoProgram { profile: profile.name.clone(), source: NoProgram::Nowhere }
        }
    })?;
    let Some(command) = filled.command else {
        let port = port.ok_or_else(no_port)?;
        take_place(root, profile, &config.resources, &notification, end_leftovers)?;
        record_start(&events);
        return server::serve(&profile.name, &config, port, notification.recorded(events));
    };
    let env = environment::of(profile, filled.env, program)?;
    take_place(root, profile, &config.resources, &notification, end_leftovers)?;
    refuse_foreign(profile, &config)?;
    forget_served(profile, config.kind);
    // The fallback port of `default` counts if the program gets it.
    let uses_port = || config.port.is_some() || fill(&config, profile, None, program).is_err();
    if let Some(port) = port.filter(|_| uses_port()) {
        require_free(profile, &config.host, port)?;
    }
    record_start(&events);
    match &filled.ready_url {
        Some(url) if notification.has_receiver() => {
            let notification = notification.recorded(events);
            let timeout = config.liveness.map(|liveness| liveness.timeout);
            readiness::start_probe(url, timeout, &profile.home.health(), notification)?;
        }
        Some(_) => {}
        None => notification.ready_unprobed(),
    }
    let foreign = environment::of_default_alone(profile, config.kind);
    Err(exec(profile, &command, env, &foreign))
}

/// Warns if the files have a gateway listen where its own Pod alone reaches it.
fn warn_of_loopback(loaded: &Loaded) {
    let host = &loaded.gateway.host;
    let place = loaded.origins.keys.get("host").and_then(Origin::place);
    if let Some(place) = place.filter(|_| hosts::is_loopback(host)) {
        log::warn!("the gateway listens on `{host}` ({place}): no other Pod can reach it");
    }
}

/// Makes this process the profile's only gateway, in its control group and with its limits.
fn take_place(
    root: &RootHome,
    profile: &Profile,
    resources: &Resources,
    notification: &Notification,
    end_leftovers: impl FnOnce(),
) -> Result<(), GatewayError> {
    // If it ends only after this, the lock's file says that there was one.
    let supervised = Proc::default().runs(parent_id(), SUPERVISOR);
    if notification.has_lost_supervisor() {
        return Err(GatewayError::LostSupervisor { profile: profile.name.clone() });
    }
    lock_gateway(profile, supervised)?;
    end_leftovers();
    enter_control_group(root, &profile.name, resources);
    limit_descriptors(resources.files);
    Ok(())
}

fn record_start(events: &Recorder) {
    events.record(What::Started, format!("process {}", std::process::id()));
}

/// The Python agent's program, if the settings use it.
fn agents_program(
    profile: &Profile,
    config: &GatewayConfig,
) -> Result<Option<Program>, GatewayError> {
    if !agent::is_used_by(config) {
        return Ok(None);
    }
    let places = inherited::places_of_agent(profile, config);
    let failed = |source| GatewayError::NoProgram { profile: profile.name.clone(), source };
    let program = agent::find(&places).map_err(failed)?;
    if !program.is_tried() {
        let version = program.version.as_deref().unwrap_or("an unknown version");
        log::warn!("hermes-agent {version} was not tried with this Hermes");
    }
    Ok(Some(program))
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
    program: Option<&Program>,
) -> Result<Filled, Unfilled> {
    let home = profile.home.path().to_string_lossy();
    let program = program.map(|program| program.path.to_string_lossy());
    let placeholders = Placeholders {
        profile: profile.name.as_str(),
        home: &home,
        host: &config.host,
        port,
        program: program.as_deref(),
    };
    Ok(Filled {
        command: config.filled_command(&placeholders)?,
        env: config.filled_env(&placeholders)?,
        ready_url: config.filled_ready_url(&placeholders)?,
    })
}

/// Takes the profile's gateway lock until this process ends, across execs.
fn lock_gateway(profile: &Profile, supervised: bool) -> Result<(), GatewayError> {
    let (lock, name) = (profile.home.gateway_lock(), || profile.name.clone());
    let about = origin::of_this_process(supervised);
    process_lock::take(&lock, &about, TIMEOUT)
        .map_err(|source| GatewayError::Lock { profile: name(), source })?
        .map_err(|holder| {
            let source = LockHeld { pid: holder.pid, lock };
            GatewayError::AlreadyRuns { profile: name(), source }
        })
}

/// Refuses to run beside a gateway of the Python agent's that another one started: the agent may end it to take its
/// place, or be ended by it. This process already holds the lock of every supervised one.
fn refuse_foreign(profile: &Profile, config: &GatewayConfig) -> Result<(), GatewayError> {
    let holder = match config.kind {
        GatewayKind::HermesAgent => agent::Locks::default().holder(&profile.home),
        _ => None,
    };
    match holder {
        Some(pid) => Err(GatewayError::Foreign { profile: profile.name.clone(), pid }),
        None => Ok(()),
    }
}

/// Removes what a former gateway of the agent's recorded as served: the next one keeps it, also if it serves only its own
/// profile. A file that can't be written must not stop the gateway.
fn forget_served(profile: &Profile, kind: GatewayKind) {
    if kind == GatewayKind::HermesAgent
        && let Err(error) = agent::forget_served(&profile.home)
    {
        log::warn!("failed to remove `served_profiles` of a former gateway: {error}");
    }
}

/// Refuses a port that somebody listens on: the program would fail, or another would answer in its place.
fn require_free(profile: &Profile, host: &str, port: u16) -> Result<(), GatewayError> {
    let proc = Proc::default();
    let taken = listeners::clashing(&proc, host, port);
    if taken.is_empty() {
        return Ok(());
    }
    let holder = listeners::process(&proc, &taken)
        .map_or_else(|| "a process that this user may not see".to_owned(), |pid| proc.title(pid));
    let (profile, host) = (profile.name.clone(), host.to_owned());
    Err(GatewayError::PortInUse { profile, host, port, holder })
}

/// Enters the gateway's control group, with its limits, if s6 supervises this process and its tree can have groups.
/// Other supervisors have groups of their own.
fn enter_control_group(root: &RootHome, profile: &ProfileName, resources: &Resources) {
    let (proc, supervisor) = (Proc::default(), parent_id());
    if !proc.runs(supervisor, SUPERVISOR) {
        return;
    }
    let group = ControlGroup::of_gateway(&proc, supervisor, root, profile);
    let Some(group) = group else { return };
    match group.enter() {
        Ok(true) => {
            if let Err(error) = group.limit(resources) {
                log::warn!("`gateway.resources` has no effect: {error}");
            }
        }
        Ok(false) => {}
        Err(error) => log::warn!("failed to enter a control group: {error}"),
    }
}

/// Sets the limit on descriptors: `files` of `gateway.resources`, soft and hard, as systemd's `LimitNOFILE=`; without
/// it, undoes the raised limit that `hermes up` sets for its s6-svscan and gateways inherit. Programs that close every
/// possible descriptor, or use select(2), need the usual limit.
fn limit_descriptors(files: Option<u64>) {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    if let Some(files) = files {
        let wanted = Rlimit { current: Some(files), maximum: Some(files) };
        if rustix::process::setrlimit(Resource::Nofile, wanted).is_ok() {
            return;
        }
        let most = limit.maximum.unwrap_or(u64::MAX);
        log::warn!("`gateway.resources.files` is {files}, and this user may have {most} at most");
        limit.current = Some(most);
    } else if let Some(before) = inherited::descriptor_limit() {
        limit.current = Some(before);
    } else {
        return;
    }
    // Fails if the hard limit was lowered since; then the limit stays.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

/// Replaces this process by the program, without the inherited variables `foreign`. Returns only on failure.
fn exec(
    profile: &Profile,
    command: &[String],
    env: Vec<(String, OsString)>,
    foreign: &[OsString],
) -> GatewayError {
    let (program, arguments) =
        command.split_first().expect("`config` refuses a command without a program");
    let mut command = Command::new(program);
    for name in foreign {
        command.env_remove(name);
    }
    let error = command
        .args(arguments)
        .envs(env)
        // Otherwise systemd could take the program's own messages for this process's.
        .env_remove(inherited::NOTIFY_SOCKET)
        .stdin(Stdio::null())
        .exec();
    GatewayError::Exec {
        profile: profile.name.clone(),
        home: Box::new(profile.home.clone()),
        program: program.clone(),
        source: error,
    }
}
