//! The threads that work while a tree runs.
//!
//! | thread | what it does |
//! |---|---|
//! | `reconciler` | boots the profiles, then mends what differs from the intents |
//! | `liveness` | asks the gateways whether they still answer |
//! | `watch` | announces the gateways that change to both |
//! | `notices` | runs the program of `notify.command` on chosen events |
//!
//! One that can't be started is reported, and the tree runs without it.

use std::convert::Infallible;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use hermes_core::changes::announcements;
use hermes_core::liveness;
use hermes_core::reconcile::{Action, Outcome};
use hermes_core::supervisor::{Booted, DEFAULT_JOBS, Supervisor};
use hermes_core::wait::{self, Poll};
use hermes_s6::{S6Driver, Tree};

use super::boot;
use super::notify::Notices;
use crate::app::App;
use crate::output;

#[derive(Debug)]
pub(super) struct Threads {
    running: Vec<JoinHandle<()>>,
    /// Closed at the end, which every thread waits for.
    until_the_end: Option<PipeWriter>,
}

impl Threads {
    /// Starts the threads. Without descriptors or threads, it boots the profiles in this one, which blocks.
    pub(super) fn start(app: &App, tree: &Tree) -> Self {
        let supervisor =
            Supervisor::new(Arc::new(S6Driver::new(tree.clone())), app.store().clone());
        let mut threads = Self { running: Vec::new(), until_the_end: None };
        if let Err(error) = threads.start_each(app, tree, &supervisor) {
            log::warn!(
                "failed to start the threads of the tree ({error}): signals wait for the end of the boot, and \
                 only commands mend what differs from the intents"
            );
            if threads.running.is_empty() {
                boot_and_report(tree, &supervisor);
            }
        }
        threads
    }

    fn start_each(&mut self, app: &App, tree: &Tree, supervisor: &Supervisor) -> io::Result<()> {
        let mut notices = Notices::new(app);
        let (end, until_the_end) = io::pipe()?;
        let end = Arc::new(end);
        let (to_reconciler, mended) = announcements()?;
        let (to_liveness, asked) = announcements()?;
        self.until_the_end = Some(until_the_end);
        // Not in this thread, because a signal must not wait for the slowest gateway of a boot.
        let tree = tree.clone();
        self.spawn("reconciler", supervisor, &end, move |supervisor, end| {
            boot_and_report(&tree, supervisor);
            supervisor.reconcile(mended, end.as_fd(), report_mend)
        })?;
        self.spawn("liveness", supervisor, &end, |supervisor, end| {
            liveness::watch(supervisor, asked, end.as_fd());
            Ok(())
        })?;
        self.spawn("watch", supervisor, &end, move |supervisor, end| {
            supervisor.announce_changes(&[to_reconciler, to_liveness], end.as_fd())
        })?;
        self.spawn("notices", supervisor, &end, move |_, end| {
            notices.run(end.as_fd());
            Ok(())
        })
    }

    fn spawn(
        &mut self,
        name: &'static str,
        supervisor: &Supervisor,
        end: &Arc<PipeReader>,
        work: impl FnOnce(&Supervisor, &PipeReader) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let (supervisor, end) = (supervisor.clone(), end.clone());
        let run = move || {
            if let Err(error) = work(&supervisor, &end) {
                log::warn!("the thread `{name}` of the tree has ended: {error}");
            }
        };
        self.running.push(Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Ends the threads without waiting for that.
    pub(super) fn end(&mut self) {
        self.until_the_end = None;
    }

    /// Blocks until all have ended, at most for `limit`: one may wait for a lock that a command holds, and starts
    /// nothing more.
    pub(super) fn await_end(&self, limit: Duration) {
        let _ = wait::until(Instant::now() + limit, || {
            let ended = self.running.iter().all(JoinHandle::is_finished);
            Ok::<_, Infallible>(if ended { Poll::Done(()) } else { Poll::Wait })
        });
    }
}

fn boot_and_report(tree: &Tree, supervisor: &Supervisor) {
    match supervisor.boot(DEFAULT_JOBS) {
        Ok(booted) if !tree.shutdown.has_begun() => report(tree, &booted),
        Ok(_) => {}
        Err(error) => output::error(&error.into(), false),
    }
}

fn report_mend(Outcome { action, error, .. }: &Outcome) {
    match error {
        None => output::message(format_args!("mended: {action}")),
        Some(error) => output::warning(format_args!("not mended: {action}: {error}")),
    }
}

fn report(tree: &Tree, booted: &Booted) {
    boot::report(booted);
    let started = |outcome: &&Outcome| {
        outcome.error.is_none() && matches!(outcome.action, Action::Start { .. })
    };
    let refused = |outcome: &&Outcome| matches!(&outcome.action, Action::Register { detail, .. } if !detail.is_empty());
    let count = booted.outcomes.iter().filter(started).count();
    let refused = match booted.outcomes.iter().filter(refused).count() {
        0 => String::new(),
        refused => format!(", not started: {refused}"),
    };
    output::message(format_args!(
        "the tree is up on `{}`; gateways started: {count}{refused}",
        tree.scandir.path().display(),
    ));
}
