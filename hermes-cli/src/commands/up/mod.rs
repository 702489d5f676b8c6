//! `hermes up`: an s6 supervision tree in the foreground, for the current user; and the other commands that
//! work only with s6.
//!
//! | file | what it does |
//! |---|---|
//! | `owner` | one tree per home: waits for another owner, becomes the owner |
//! | `background` | `--detach`: starts `hermes up` in a session of its own |
//! | `child` | starts the process that becomes s6-svscan |
//! | `reaper` | reaps orphans, as process 1 |
//! | `relay` | passes on what the tree prints |
//! | `notify` | runs the program of `notify.command` on chosen events |
//! | `threads` | boot, reconciler, liveness: what works while the tree runs |
//! | `stop` | `down`, `up --stop` |
//! | `slot` | called by slots and the image: `gateway after-death`, `boot --delegate` |
//!
//! No other part of the program depends on hermes-s6.

pub(crate) mod background;
mod child;
mod notify;
mod owner;
mod reaper;
mod relay;
mod slot;
mod stop;
mod threads;

use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::Duration;

use hermes_core::driver::During;
use hermes_core::end_signals::{self, Held};
use hermes_core::home::env as names;
use hermes_core::manager::ManagerError;
use hermes_core::process::Process;
use hermes_core::writers;
use hermes_gateway::Notification;
use hermes_s6::Tree;
use hermes_s6::tree::connect;
use hermes_s6::tree::svscan;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;

pub(crate) use self::child::become_svscan;
use self::owner::Awaited;
use self::reaper::Reaper;
use self::relay::Relay;
pub(crate) use self::slot::{after_death, delegate, leftovers_of_orphan};
pub(crate) use self::stop::stop;
use self::threads::Threads;
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

/// Runs a tree until a signal ends it, or until its s6-svscan ends by itself. `held` are the signals that were held
/// back from the beginning of the process on. `leads_session`: in a session of its own.
pub(crate) fn run(
    app: &App,
    service: bool,
    leads_session: bool,
    held: Option<Held>,
) -> Result<u8, CliError> {
    if leads_session {
        background::leave_session()?;
    }
    // A signal stops the tree in order, also while it is starting.
    let signals = register_signals(held)?;
    app.hermes.refuse_client()?;
    let tree = tree(app)?;
    stop::end_abandoned(&tree)?;
    refuse_second(&tree)?;
    connect::prepare_scandir(tree.scandir.path())?;
    writers::create_directory(app.root().path())
        .map_err(|error| CliError::new("failed to create the home").because(error))?;
    app.store().refuse_open(None)?;
    let _relay = relay();
    let awaited = owner::await_turn(&tree, &signals, || refuse_second(&tree))?;
    if awaited == Awaited::Interrupted || owner::is_signalled(&signals) {
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
    reaper::wait(&mut child)
        .map_err(|error| CliError::new("failed to wait for s6-svscan").because(error))?;
    // A tree that ended in order leaves no slots; those of any other are removed here.
    let cleared = if tree.scandir.path().is_dir() { clear(&tree)? } else { true };
    stopped?;
    ended?;
    if !cleared {
        return Ok(exit::FAILURE);
    }
    output::message("the tree is down");
    Ok(exit::SUCCESS)
}

/// `up --adopt`: runs the gateways on a scan directory whose s6-svscan another supervisor runs. Becomes the
/// home's owner, boots the gateways, and stops them on a signal. That s6-svscan keeps running.
pub(crate) fn adopt(app: &App, held: Option<Held>) -> Result<u8, CliError> {
    let signals = register_signals(held)?;
    app.hermes.refuse_client()?;
    app.store().refuse_open(None)?;
    let tree = tree(app)?;
    let svscan = tree.require_svscan().during("adopt its gateways")?;
    let notification = Notification::inherited();
    let _relay = relay();
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
    // A slot that can't be cleared is its profile's fault: boot deals with it. A signal must not wait for long.
    let mut brief = tree.clone();
    brief.timeouts.lock = tree.timeouts.lock.min(LOCK);
    clear_locked(&brief, None)?;
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

/// Runs the tree: boots the profiles, blocks until a signal arrives or s6-svscan has ended, and stops the tree.
/// Returns how the tree ended, and the result of the stop.
fn supervise(
    app: &App,
    tree: &Tree,
    process: &Process,
    signals: &OwnedFd,
    stop: impl FnOnce(&Tree, &Process) -> Done,
) -> (Done, Done) {
    // A tree that is to end at once starts nothing.
    let mut threads = (!owner::is_signalled(signals)).then(|| Threads::start(app, tree));
    let ended = await_end(tree, process, signals);
    tree.shutdown.begin();
    threads.iter_mut().for_each(Threads::end);
    let stopped = stop(tree, process);
    threads.iter().for_each(|threads| threads.await_end(LOCK));
    (ended, stopped)
}

/// How long the start and the end of a tree wait for a lock that a command holds.
const LOCK: Duration = Duration::from_millis(500);
/// How often to check whether s6-svscan has ended, if there is no descriptor for it.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };

fn await_end(tree: &Tree, process: &Process, signals: &OwnedFd) -> Done {
    let reaper = Reaper::of_process_1(tree);
    loop {
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        fds.extend(process.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let pause = if fds.len() == 1 { Some(&POLL_INTERVAL) } else { None };
        fds.extend(reaper.as_ref().map(Reaper::poll_fd));
        let polled = rustix::event::poll(&mut fds, pause);
        if polled.is_ok() && !fds[0].revents().is_empty() {
            return Ok(());
        }
        if process.has_ended() {
            return Err(CliError::new("s6-svscan ended, and the tree with it")
                .with_hint("see its output above"));
        }
        if let Some(reaper) = &reaper {
            reaper.reap();
        }
    }
}

/// Removes what is left of a tree that has ended from the scan directory, under the tree's lock. Reports each slot
/// that could not be removed; whether there was none.
fn clear(tree: &Tree) -> Result<bool, CliError> {
    let mut tree = tree.clone();
    // The end of a tree waits for no command.
    tree.timeouts.lock = tree.timeouts.lock.min(LOCK);
    let _lock = tree.lock_tree().during("end the tree")?;
    clear_locked(&tree, Some(LOCK))
}

fn clear_locked(tree: &Tree, unlocked_after: Option<Duration>) -> Result<bool, CliError> {
    let scandir = tree.scandir.path().display();
    let failed = svscan::clear(tree, unlocked_after)
        .during(&format!("clear the scan directory `{scandir}`"))?;
    let none = failed.is_empty();
    for (slot, error) in failed {
        let error = ManagerError::of(&format!("clear the slot `{}`", slot.display()), error);
        output::error(&error.into(), false);
    }
    Ok(none)
}

fn refuse_second(tree: &Tree) -> Result<(), CliError> {
    let scandir = tree.scandir.path().display();
    let holder = tree.svscan().map_err(|error| {
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

/// What is printed from here on passes through a relay, unless none can be had.
fn relay() -> Option<Relay> {
    let warn = |error| log::warn!("output goes out directly, lines may be torn: {error}");
    Relay::start().map_err(warn).ok()
}

/// A descriptor that becomes readable when a signal to end arrives, or has arrived while it was held back.
fn register_signals(held: Option<Held>) -> Result<OwnedFd, CliError> {
    let signals = end_signals::register(&end_signals::FOREGROUND)
        .map_err(|error| CliError::new("failed to listen for signals").because(error))?;
    drop(held);
    Ok(signals)
}
