//! `hermes up`: an s6 supervision tree in the foreground, for the current user; and the other commands that
//! work only with s6.
//!
//! | file | what it does |
//! |---|---|
//! | `owner` | one tree per home: waits for another owner, becomes the owner |
//! | `child` | starts the process that becomes s6-svscan |
//! | `stop` | `down`, `up --stop` |
//! | `slot` | called by slots and the image: `gateway after-death`, `boot --delegate` |
//!
//! No other part of the program depends on hermes-s6.

mod child;
mod owner;
mod slot;
mod stop;

use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::Arc;
use std::thread;

use fs_err as fs;
use hermes_core::driver::During;
use hermes_core::end_signals;
use hermes_core::home::env as names;
use hermes_core::manager::ManagerError;
use hermes_core::process::Process;
use hermes_core::reconcile::{Action, Outcome};
use hermes_core::supervisor::{Booted, DEFAULT_JOBS, Supervisor};
use hermes_gateway::Notification;
use hermes_s6::S6Driver;
use hermes_s6::Tree;
use hermes_s6::tree::connect;
use hermes_s6::tree::svscan;
use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

pub(crate) use self::child::become_svscan;
use self::owner::Awaited;
pub(crate) use self::slot::{after_death, delegate};
pub(crate) use self::stop::stop;
use super::boot;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// The tree that `up` runs.
fn tree(app: &App) -> Result<Tree, CliError> {
    Tree::of_user(app.hermes.environment()).map_err(|source| {
        let kind = hermes_s6::KIND;
        hermes::Error::Backend { kind, source }.into()
    })
}

pub(crate) fn run(app: &App, service: bool) -> Result<u8, CliError> {
    app.hermes.refuse_client()?;
    let tree = tree(app)?;
    connect::prepare_scandir(tree.scandir.path())?;
    fs::create_dir_all(app.root().path())
        .map_err(|error| CliError::new("failed to create the home").because(error))?;
    // From here on a signal stops the tree in order, also while it is starting.
    let signals = register_signals()?;
    if owner::await_turn(&tree, &signals, || refuse_second(&tree))? == Awaited::Interrupted {
        return Ok(exit::SUCCESS);
    }
    let notification = service.then(Notification::inherited);
    let (mut child, process, ready) = start(&tree, service)?;
    let (ended, stopped) = match ready {
        Ok(()) => {
            notification.into_iter().for_each(|notification| {
                notification.ready();
            });
            supervise(app, &tree, &process, &signals, stop_tree)
        }
        Err(error) => (Err(error.into()), stop_tree(&tree, &process)),
    };
    if stopped.is_err() {
        // The tree did not end in time. Its remaining supervisors are ended below, slot by slot.
        let _ = process.signal(Signal::KILL);
    }
    child.wait().map_err(|error| CliError::new("failed to wait for s6-svscan").because(error))?;
    // A tree that ended in order leaves no slots; those of any other are removed here.
    if tree.scandir.path().is_dir() {
        clear(&tree)?;
    }
    stopped?;
    ended?;
    output::message("the tree is down");
    Ok(exit::SUCCESS)
}

/// `up --adopt`: runs the gateways on a scan directory whose s6-svscan another supervisor runs. Becomes the
/// home's owner, boots the gateways, and stops them on a signal. That s6-svscan keeps running.
pub(crate) fn adopt(app: &App) -> Result<u8, CliError> {
    app.hermes.refuse_client()?;
    let tree = tree(app)?;
    let svscan = tree.require_svscan().during("adopt its gateways")?;
    let notification = Notification::inherited();
    let signals = register_signals()?;
    if owner::await_turn(&tree, &signals, || Ok(()))? == Awaited::Interrupted {
        return Ok(exit::SUCCESS);
    }
    owner::claim(&tree)?;
    let failed = |error| CliError::new("failed to watch s6-svscan").because(error);
    let process = svscan.pid.map(Process::open).transpose().map_err(failed)?.flatten();
    let process =
        process.ok_or_else(|| CliError::new("s6-svscan has ended or runs in another container"))?;
    notification.ready();
    let stop = |tree: &Tree, _: &Process| {
        let scandir = tree.scandir.path().display();
        Ok(svscan::stop_all(tree).during(&format!("stop the gateways on `{scandir}`"))?)
    };
    let (ended, stopped) = supervise(app, &tree, &process, &signals, stop);
    stopped?;
    ended?;
    output::message("the gateways are down");
    Ok(exit::SUCCESS)
}

/// Clears former trees from the scan directory, starts s6-svscan on it, and blocks until s6-svscan reads
/// commands or has failed to.
fn start(
    tree: &Tree,
    service: bool,
) -> Result<(Child, Process, Result<(), ManagerError>), CliError> {
    let _lock = tree.lock_tree().during("start the tree")?;
    refuse_second(tree)?;
    clear_locked(tree)?;
    let child = child::spawn(tree, service)?;
    let process = child::process_of(&child)?;
    let ready = svscan::await_ready(tree, &process)
        .during(&format!("run s6-svscan on `{}`", tree.scandir.path().display()));
    Ok((child, process, ready))
}

fn stop_tree(tree: &Tree, process: &Process) -> Done {
    match process.has_ended() {
        true => Ok(()),
        false => {
            let scandir = tree.scandir.path().display();
            Ok(svscan::stop(tree, process).during(&format!("stop the tree on `{scandir}`"))?)
        }
    }
}

type Done = Result<(), CliError>;

/// Boots the profiles, blocks until a signal arrives or s6-svscan has ended, and stops the tree. Returns how
/// the tree ended, and the result of the stop.
fn supervise(
    app: &App,
    tree: &Tree,
    process: &Process,
    signals: &OwnedFd,
    stop: impl FnOnce(&Tree, &Process) -> Done,
) -> (Done, Done) {
    let shutdown = &tree.shutdown;
    let driver = Arc::new(S6Driver::new(tree.clone()));
    let supervisor = Supervisor::new(driver, app.store().clone());
    thread::scope(|scope| {
        // In a thread, because a signal must not wait for the slowest gateway of a boot.
        scope.spawn(|| match supervisor.boot(DEFAULT_JOBS) {
            Ok(booted) if !shutdown.has_begun() => report(tree, &booted),
            Ok(_) => {}
            Err(error) => output::error(&error.into(), false),
        });
        let ended = await_end(process, signals);
        shutdown.begin();
        (ended, stop(tree, process))
    })
}

fn report(tree: &Tree, booted: &Booted) {
    boot::report(booted);
    let started = |outcome: &&Outcome| {
        outcome.error.is_none() && matches!(outcome.action, Action::Start { .. })
    };
    output::message(format_args!(
        "the tree is up on `{}`; gateways started: {}",
        tree.scandir.path().display(),
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
                .with_hint("see its output above"));
        }
    }
}

/// Removes the leftovers of a former tree from the scan directory, under the tree's lock.
fn clear(tree: &Tree) -> Result<(), CliError> {
    let _lock = tree.lock_tree().during("end the tree")?;
    clear_locked(tree)
}

fn clear_locked(tree: &Tree) -> Result<(), CliError> {
    let scandir = tree.scandir.path().display();
    Ok(svscan::clear(tree).during(&format!("clear the scan directory `{scandir}`"))?)
}

fn refuse_second(tree: &Tree) -> Result<(), CliError> {
    let scandir = tree.scandir.path().display();
    let holder = tree.scandir.svscan().map_err(|error| {
        CliError::new(format!("failed to find the s6-svscan of `{scandir}`")).because(error)
    })?;
    let Some(holder) = holder else { return Ok(()) };
    let pid = holder.pid.map_or_else(|| "in another container".to_owned(), |pid| pid.to_string());
    let home = holder.pid.and_then(|pid| tree.proc.variable(pid, names::HOME).ok().flatten());
    let home =
        home.map_or_else(|| "an unknown home".to_owned(), |home| format!("`{}`", home.display()));
    Err(CliError::new(format!("a tree already runs on `{scandir}`"))
        .because(format!("its s6-svscan is {pid}, for {home}"))
        .with_hint("`hermes down` ends it; --scandir sets another directory"))
}

/// A descriptor that becomes readable when a signal to end arrives.
fn register_signals() -> Result<OwnedFd, CliError> {
    end_signals::register(&end_signals::FOREGROUND)
        .map_err(|error| CliError::new("failed to listen for signals").because(error))
}
