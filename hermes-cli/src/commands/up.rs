//! `hermes up`: a supervision tree in the foreground, for the current user.
//!
//! `up` starts itself once more (`--become-svscan`), and that process becomes s6-svscan: only from
//! inside can it ask to be told when `up` dies, and raise its own limit on descriptors.

use std::env;
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use hermes_core::end_signals;
use hermes_core::home::env as names;
use hermes_core::manager::ManagerError;
use hermes_core::process::{self, Process};
use hermes_core::wait::Poll;
use hermes_gateway::Notification;
use hermes_s6::reconcile::Action;
use hermes_s6::{S6Manager, Tree, boot, owner, svscan};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Resource, Signal};

use crate::app::{self, App};
use crate::commands::boot as boot_command;
use crate::error::{CliError, exit};
use crate::output;

/// How long `up` waits for another owner of its home.
const OWNER_WAIT: Duration = Duration::from_secs(60);
/// How long its s6-svscan does, once `up` has seen none: another one may have been faster.
const CLAIM_WAIT: Duration = Duration::from_secs(2);

pub(crate) fn run(app: &App, service: bool) -> Result<u8, CliError> {
    app.refuse_client()?;
    let tree = app.tree_of_user()?;
    prepare(tree.scandir.path())?;
    fs::create_dir_all(app.root().path())
        .map_err(|error| CliError::new("failed to make the home").because(error))?;
    // From here on a signal ends the tree in order, also while it is still coming up.
    let signals = register_signals()?;
    if await_owner(&tree, &signals, || refuse_second(&tree))? == Awaited::Interrupted {
        return Ok(exit::SUCCESS);
    }
    let notification = service.then(Notification::inherited);
    let (mut child, process, ready) = start(&tree, service)?;
    let (ended, stopped) = match ready {
        Ok(()) => {
            notification.into_iter().for_each(|notification| {
                notification.ready();
            });
            supervise(&S6Manager::new(tree.clone()), &process, &signals, stop_tree)
        }
        Err(error) => (Err(error.into()), stop_tree(&tree, &process)),
    };
    if stopped.is_err() {
        // It did not end in time. What it leaves is ended below, one by one.
        let _ = process.signal(Signal::KILL);
    }
    child.wait().map_err(|error| CliError::new("failed to wait for s6-svscan").because(error))?;
    // Nothing is left of a tree that ended in order; the slots of one that did not are ended here.
    if tree.scandir.path().is_dir() {
        let _lock = tree.lock_tree("end the tree")?;
        svscan::clear(&tree)?;
    }
    stopped?;
    ended?;
    output::message("the tree is down");
    Ok(exit::SUCCESS)
}

/// `up --adopt`: looks after the gateways on a scan directory whose s6-svscan another supervisor runs, as
/// the home's owner: boots them, and stops them when a signal asks for it. That s6-svscan goes on.
pub(crate) fn adopt(app: &App) -> Result<u8, CliError> {
    app.refuse_client()?;
    let tree = app.tree_of_user()?;
    let svscan = tree.require_svscan("look after its gateways")?;
    let notification = Notification::inherited();
    let signals = register_signals()?;
    if await_owner(&tree, &signals, || Ok(()))? == Awaited::Interrupted {
        return Ok(exit::SUCCESS);
    }
    if app::owner_locks() {
        owner::claim(&tree, CLAIM_WAIT)?;
    }
    let failed = |error| CliError::new("failed to watch s6-svscan").because(error);
    let process = svscan.pid.map(Process::open).transpose().map_err(failed)?.flatten();
    let process = process.ok_or_else(|| CliError::new("s6-svscan can't be seen from here"))?;
    notification.ready();
    let stop = |tree: &Tree, _: &Process| svscan::stop_all(tree).map_err(CliError::from);
    let (ended, stopped) = supervise(&S6Manager::new(tree), &process, &signals, stop);
    stopped?;
    ended?;
    output::message("the gateways are down");
    Ok(exit::SUCCESS)
}

#[derive(PartialEq, Eq)]
enum Awaited {
    Free,
    Interrupted,
}

/// Blocks while another tree runs the gateways of this home, until a signal asks for the end or the time
/// is over, which is an error that names the owner. A tree on the same scan directory is one at once.
fn await_owner(
    tree: &Tree,
    signals: &OwnedFd,
    refuse: impl Fn() -> Result<(), CliError>,
) -> Result<Awaited, CliError> {
    refuse()?;
    if !app::owner_locks() {
        return Ok(Awaited::Free);
    }
    let timeout = app::owner_wait(OWNER_WAIT)?;
    let home = tree.root.path().display();
    let failed = |error| CliError::new(format!("failed to see who owns `{home}`")).because(error);
    let mut seen = None;
    let done = process::wait_until(&[], Instant::now() + timeout, || {
        let Some(owner) = owner::owner(&tree.root).map_err(failed)? else {
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
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let asked = rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok_and(|n| n > 0);
        Ok(if asked { Poll::Done(Awaited::Interrupted) } else { Poll::Wait })
    })?;
    match (done, seen) {
        (None, Some(owner)) => Err(owner::taken("start the tree", &owner).into()),
        (done, _) => Ok(done.unwrap_or(Awaited::Free)),
    }
}

/// Starts s6-svscan on a scan directory that is clear of former trees, and blocks until it takes
/// commands, or is seen not to.
fn start(
    tree: &Tree,
    service: bool,
) -> Result<(Child, Process, Result<(), ManagerError>), CliError> {
    let _lock = tree.lock_tree("start the tree")?;
    refuse_second(tree)?;
    svscan::clear(tree)?;
    let child = spawn(tree, service)?;
    let process = process_of(&child)?;
    let ready = svscan::await_ready(tree, &process);
    Ok((child, process, ready))
}

fn stop_tree(tree: &Tree, process: &Process) -> Done {
    match process.has_ended() {
        true => Ok(()),
        false => svscan::stop(tree, process).map_err(CliError::from),
    }
}

type Done = Result<(), CliError>;

/// Boots the profiles, blocks until a signal asks for the end or s6-svscan is gone, and stops the tree.
/// Answers why it ended, and how the stop went.
fn supervise(
    manager: &S6Manager,
    process: &Process,
    signals: &OwnedFd,
    stop: impl FnOnce(&Tree, &Process) -> Done,
) -> (Done, Done) {
    let shutdown = &manager.tree().shutdown;
    thread::scope(|scope| {
        // A boot takes as long as its slowest gateway, and a signal is not to wait for that.
        scope.spawn(|| match boot::boot(manager, boot::DEFAULT_AT_ONCE) {
            Ok(booted) if !shutdown.has_begun() => told(manager, &booted),
            Ok(_) => {}
            Err(error) => output::error(&error.into(), false),
        });
        let ended = await_end(process, signals);
        shutdown.begin();
        (ended, stop(manager.tree(), process))
    })
}

fn told(manager: &S6Manager, booted: &boot::Booted) {
    boot_command::report(booted);
    let started = |outcome: &&boot::Outcome| {
        outcome.error.is_none() && matches!(outcome.action, Action::Start { .. })
    };
    output::message(format_args!(
        "the tree is up on `{}`; gateways started: {}",
        manager.tree().scandir.path().display(),
        booted.outcomes.iter().filter(started).count(),
    ));
}

fn await_end(process: &Process, signals: &OwnedFd) -> Done {
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
        let polled = rustix::event::poll(&mut fds, None);
        if polled.is_ok() && !fds[0].revents().is_empty() {
            return Ok(());
        }
        if process.has_ended() {
            return Err(CliError::new("s6-svscan ended, and the tree with it")
                .with_hint("its own output, above, says why"));
        }
    }
}

/// Makes the scan directory, and refuses one that somebody else could put a service into.
fn prepare(scandir: &Path) -> Result<(), CliError> {
    let failed = |error| {
        CliError::new(format!("failed to make the scan directory `{}`", scandir.display()))
            .because(error)
            .with_hint("--scandir or HERMES_SCANDIR names another place")
            .with_code(exit::OUT_OF_REACH)
    };
    DirBuilder::new().recursive(true).mode(0o700).create(scandir).map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    for directory in [Some(scandir), scandir.parent()].into_iter().flatten() {
        let metadata = fs::symlink_metadata(directory).map_err(failed)?;
        let mine = [me, 0].contains(&metadata.uid());
        // In a sticky directory others may make entries, but not replace those of this user.
        let sticky = metadata.mode() & 0o1000 != 0 && directory != scandir;
        let closed = metadata.mode() & 0o022 == 0 || sticky;
        if !mine || !closed {
            let directory = directory.display();
            return Err(CliError::new(format!("`{directory}` belongs to, or is open to, others"))
                .because("whoever may write there can run programs as this user")
                .with_hint("--scandir or HERMES_SCANDIR names another place")
                .with_code(exit::OUT_OF_REACH));
        }
    }
    Ok(())
}

fn refuse_second(tree: &Tree) -> Result<(), CliError> {
    let scandir = tree.scandir.path().display();
    let holder = tree.scandir.svscan().map_err(|error| {
        CliError::new(format!("failed to see who holds `{scandir}`")).because(error)
    })?;
    let Some(holder) = holder else { return Ok(()) };
    let pid = holder.pid.map_or_else(|| "in another container".to_owned(), |pid| pid.to_string());
    let home = holder.pid.and_then(|pid| tree.proc.variable(pid, names::HOME).ok().flatten());
    let home = home.map_or_else(
        || "a home that is not told".to_owned(),
        |home| format!("`{}`", home.display()),
    );
    Err(CliError::new(format!("a tree runs on `{scandir}` already"))
        .because(format!("its s6-svscan is {pid}, for {home}"))
        .with_hint("`hermes up --stop` ends it; --scandir names another place"))
}

fn spawn(tree: &Tree, service: bool) -> Result<Child, CliError> {
    let failed = |error| CliError::new("failed to start s6-svscan").because(error);
    let nofile = rustix::process::getrlimit(Resource::Nofile).current;
    let mut command = Command::new(env::current_exe().map_err(failed)?);
    // Without it the slots' scripts take the tree for a machine's own: HOME is then the root home.
    match service {
        true => command.env_remove(names::UP),
        false => command.env(names::UP, "1"),
    };
    command
        .args(["up", "--become-svscan"])
        .arg(std::process::id().to_string())
        .arg("--scandir")
        .arg(tree.scandir.path())
        .env(names::HOME, tree.root.path())
        .env(names::SCANDIR, tree.scandir.path())
        // An agent may run `up`: its tree is not part of its gateway.
        .env_remove(names::SUPERVISED_CHILD)
        .env_remove(names::PROFILE)
        .env(names::UP_NOFILE, nofile.map_or_else(String::new, |n| n.to_string()))
        .stdin(Stdio::null())
        // What a terminal sends on Ctrl-C is for `up` alone, which then ends the tree in order.
        .process_group(0)
        .spawn()
        .map_err(failed)
}

/// The process that `up` starts: becomes s6-svscan, and is told to end when `parent` dies.
pub(crate) fn become_svscan(app: &App, parent: u32) -> Result<u8, CliError> {
    let failed = |error: std::io::Error| CliError::new("failed to become s6-svscan").because(error);
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|errno| failed(errno.into()))?;
    if std::os::unix::process::parent_id() != parent {
        return Err(CliError::new("`hermes up` died before its tree was there"));
    }
    raise_descriptor_limit();
    let tree = app.tree_of_user()?;
    if app::owner_locks() {
        owner::claim(&tree, CLAIM_WAIT)?;
    }
    let mut command = svscan::command(&tree.programs.s6, tree.scandir.path()).map_err(failed)?;
    Err(failed(command.exec()))
}

/// Goes as far as it may: what is missing is then the capacity that `register` checks.
fn raise_descriptor_limit() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = svscan::DESCRIPTORS;
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    }
}

fn process_of(child: &Child) -> Result<Process, CliError> {
    Process::open(child.id())
        .map_err(|error| CliError::new("failed to watch s6-svscan").because(error))?
        .ok_or_else(|| CliError::new("s6-svscan ended at once"))
}

/// A descriptor that becomes readable when a signal asks for the end.
fn register_signals() -> Result<OwnedFd, CliError> {
    end_signals::register(&end_signals::FOREGROUND)
        .map_err(|error| CliError::new("failed to listen for signals").because(error))
}

/// `up --stop`: asks the `hermes up` of the tree to end it, and blocks until it has.
pub(crate) fn stop(app: &App) -> Result<u8, CliError> {
    let tree = app.tree_of_user()?;
    let holder = tree.require_svscan("stop the tree")?;
    let failed = |error: std::io::Error| CliError::new("failed to stop the tree").because(error);
    let refused = |why: &str| {
        Err(CliError::new("failed to stop the tree").because(why).with_code(exit::OUT_OF_REACH))
    };
    let Some(pid) = holder.pid else {
        return refused("its s6-svscan lives in another container");
    };
    if tree.proc.variable(pid, names::UP).map_err(failed)?.is_none() {
        return refused("it was not begun by `hermes up`, whose tree alone this ends");
    }
    // `up` starts s6-svscan itself, and s6-svscan ends when `up` does.
    let parent = tree.proc.parent(pid).map_err(failed)?;
    let Some(process) = Process::open(parent).map_err(failed)? else {
        return refused("its `hermes up` has just ended");
    };
    process.signal(Signal::TERM).map_err(failed)?;
    let deadline = Instant::now() + svscan::timeout_of_shutdown(&tree);
    let ended = process::wait_until(std::slice::from_ref(&process), deadline, || {
        Ok::<_, CliError>(if process.has_ended() { Poll::Done(()) } else { Poll::Wait })
    })?;
    ended.ok_or_else(|| {
        CliError::new(format!("process {} has not ended the tree in time", process.pid))
            .with_hint("--timeout waits longer")
            .with_code(exit::OUT_OF_TIME)
    })?;
    output::message("the tree is down");
    Ok(exit::SUCCESS)
}
