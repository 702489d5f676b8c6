//! The reconciler: while the tree runs, it mends what differs from the intents.
//!
//! What differs is decided by [`reconcile::mends`], a pure function, and mended under the commands' locks and by
//! their code. It is mended once it has lasted for [`SETTLE`] while nobody held the profile's lock: commands are
//! not interrupted, and one that was killed is completed.
//!
//! A look reads the files of the profiles that were announced as changed. Only if one of them seems to differ, and
//! every ten minutes, it reads those of all profiles.

mod differences;

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use self::differences::{Differences, Mended};
use super::Supervisor;
use super::boot::{DEFAULT_JOBS, line_of, profile_fact};
use super::shared::{Others, Shared};
use crate::agent::Locks;
use crate::changes::Announcements;
use crate::driver::DriverError;
use crate::error_chain::in_one_line;
use crate::events::What;
use crate::fsutil;
use crate::intent::Intent;
use crate::lock::{Lock, LockError};
use crate::manager::ManagerError;
use crate::name::ProfileName;
use crate::reconcile::{self, Action, Facts, Outcome};
use crate::wait;

/// How long a difference lasts before it is mended.
const SETTLE: Duration = Duration::from_secs(2);
/// How often to look at leftovers, at suspended processes, and at what can't be read or mended yet: what keeps a command
/// or another profile from it may end without an event.
const INTERVAL: Duration = Duration::from_secs(30);
/// How often to look at everything, for what changes without any trace in a directory: locks.
const EVERYTHING: Duration = Duration::from_secs(600);
/// When to look again at what had to wait for other mends.
const RETRY: Duration = Duration::from_millis(500);
/// How many differences are mended at the same time.
const JOBS: usize = DEFAULT_JOBS;

impl Supervisor {
    /// Mends until `end` becomes readable or is closed, and blocks until then. Looks at what is announced as
    /// `changes`. Calls `report` after each mend; an error that repeats itself is reported once. Fails at once if
    /// there is no descriptor for it.
    pub fn reconcile(
        &self,
        changes: Announcements,
        end: BorrowedFd<'_>,
        mut report: impl FnMut(&Outcome),
    ) -> io::Result<()> {
        let (result_sender, results) = mpsc::channel();
        let mut reconciler = Reconciler {
            supervisor: self,
            changes,
            looks: BTreeMap::from([(None, Instant::now())]),
            next_full_look: Instant::now(),
            is_blind: false,
            unheld: None,
            others: Others::default(),
            differences: Differences::default(),
            result_sender,
            results,
            wake: io::pipe()?,
        };
        thread::scope(|scope| {
            while reconciler.idle(end)? {
                reconciler.settle_results(&mut report)?;
                for action in reconciler.look() {
                    reconciler.mend(scope, action)?;
                }
            }
            Ok(())
        })
    }

    /// Fails if the directory of the profiles is missing, as that of a volume that is not mounted: nobody has deleted
    /// each of them.
    fn require_profiles(&self) -> Result<(), DriverError> {
        let path = self.store.root().profiles();
        match fsutil::exists(&path)? {
            true => Ok(()),
            false => Err(DriverError::new(format!("`{}` is missing", path.display()))),
        }
    }

    /// The actions that all profiles and services need now.
    fn all_mends(&self) -> Result<Vec<Action>, DriverError> {
        let mut actions = self.plan_renames()?;
        let left = self.store.leftovers()?;
        actions.extend(left.into_iter().map(|path| Action::Clear { path }));
        actions.extend(reconcile::mends(&self.gather()?));
        Ok(actions)
    }

    /// The actions that `name` seems to need, from its own files alone.
    fn likely_mends(&self, name: &ProfileName) -> Result<Vec<Action>, DriverError> {
        let (profile, skipped) = match self.store.look_up(name) {
            Ok(profile) => (profile, None),
            Err(skipped) => (None, Some(skipped)),
        };
        let survey = self.driver.survey_of(name)?;
        let locks = Locks::default();
        let shared = Shared::new(self, &locks);
        let facts = Facts {
            profiles: profile.iter().map(|profile| profile_fact(&shared, profile)).collect(),
            skipped: skipped.into_iter().collect(),
            services: survey.services,
            unreadable: survey.unreadable,
            unregistered: survey.unregistered,
            ..Facts::default()
        };
        Ok(reconcile::mends(&facts))
    }

    /// Whether something in `subject` seems to differ, from its own files alone.
    fn seems_to_differ(&self, subject: &Subject) -> Result<bool, DriverError> {
        let Some(name) = subject else {
            let (renames, beside) = (self.plan_renames()?, self.driver.survey_beside()?);
            return Ok(renames.iter().any(Action::changes_something)
                || self.store.has_hidden()?
                || !beside.leftovers.is_empty()
                || !beside.suspended.is_empty());
        };
        let has_unfinished = |profile| self.store.has_unfinished(&profile);
        Ok(!self.likely_mends(name)?.is_empty()
            || self.store.find(name)?.is_some_and(has_unfinished))
    }

    /// Executes `action`, unless a command is changing its profile or it is no longer needed.
    fn mend(&self, action: &Action) -> Mended {
        // A lock would make the directory again.
        let mended = self.require_profiles().and_then(|()| match action {
            Action::Clear { path } => self.mend_leftover(path),
            Action::FinishRename { .. } | Action::UndoRename { .. } => self.mend_rename(action),
            // Without a lock: a command may hold it that waits for this very process.
            Action::Resume(suspended) => self
                .driver
                .resume(suspended)
                .map(|was_suspended| if was_suspended { Mended::Done } else { Mended::Unneeded }),
            _ => action
                .profile()
                .map_or(Ok(Mended::Unneeded), |name| self.mend_profile(name, action)),
        });
        let failed = |error| Mended::Failed(line_of(&ManagerError::of(&action.operation(), error)));
        mended.unwrap_or_else(failed)
    }

    fn mend_profile(&self, name: &ProfileName, action: &Action) -> Result<Mended, DriverError> {
        let _lock = match Lock::acquire(&self.store.root().profile_lock(name), Duration::ZERO) {
            Err(LockError::Busy { .. }) => return Ok(Mended::Busy),
            lock => lock?,
        };
        if self.driver.is_shutting_down() || self.likely_mends(name)?.is_empty() {
            return Ok(Mended::Unneeded);
        }
        self.apply_locked(name, action, &Facts::default(), |_| Ok(())).map(|()| Mended::Done)
    }

    fn mend_rename(&self, action: &Action) -> Result<Mended, DriverError> {
        let settled = self.settle_renames()?;
        let settled =
            settled.into_iter().find(|outcome| outcome.action.profile() == action.profile());
        Ok(match settled {
            Some(Outcome { error: Some(error), .. }) => Mended::Failed(error),
            Some(_) => Mended::Done,
            // A command is executing it.
            None => Mended::Busy,
        })
    }

    fn mend_leftover(&self, path: &Path) -> Result<Mended, DriverError> {
        let is_there = || path.symlink_metadata().is_ok();
        if !is_there() {
            return Ok(Mended::Unneeded);
        }
        if self.store.leftovers()?.iter().any(|left| left == path) {
            let failed = self.store.remove_leftovers()?.failed;
            if let Some((_, error)) = failed.into_iter().find(|(left, _)| left == path) {
                return Err(error.into());
            }
        } else {
            self.driver.clear(path)?;
        }
        Ok(if is_there() { Mended::Busy } else { Mended::Done })
    }
}

/// An action, and what became of it.
type Tried = (Action, Mended);

/// What a difference is in: a profile, or `None` for leftovers, interrupted renames and suspended processes.
type Subject = Option<ProfileName>;

fn subject_of(action: &Action) -> Subject {
    match action {
        Action::FinishRename { .. } | Action::UndoRename { .. } | Action::Resume(_) => None,
        _ => action.profile().cloned(),
    }
}

/// What the reconciler knows.
struct Reconciler<'a> {
    supervisor: &'a Supervisor,
    changes: Announcements,
    /// When to look at what.
    looks: BTreeMap<Subject, Instant>,
    next_full_look: Instant,
    /// Whether the profiles could not be found at the last look.
    is_blind: bool,
    /// Why the home was not locked at the last look.
    unheld: Option<String>,
    /// Whom `default`'s gateway served at the last look.
    others: Others,
    differences: Differences,
    result_sender: Sender<Tried>,
    results: Receiver<Tried>,
    /// Becomes readable with a result.
    wake: (PipeReader, PipeWriter),
}

impl<'a> Reconciler<'a> {
    /// Blocks until there is something to do; `false` at the end.
    fn idle(&mut self, end: BorrowedFd<'_>) -> io::Result<bool> {
        let next = self.looks.values().copied().fold(self.next_full_look, Instant::min);
        let ready = wait::readable(&[end, self.wake.0.as_fd(), self.changes.fd()], Some(next))?;
        if ready[0] {
            return Ok(false);
        }
        let (changed, at) = (self.changes.take(), Instant::now() + SETTLE);
        if changed.all {
            self.next_full_look = self.next_full_look.min(at);
        }
        if changed.leftovers {
            self.look_at(None, at);
        }
        changed.profiles.into_iter().for_each(|name| self.look_at(Some(name), at));
        Ok(true)
    }

    fn look_at(&mut self, subject: Subject, at: Instant) {
        let planned = self.looks.entry(subject).or_insert(at);
        *planned = at.min(*planned);
    }

    /// Looks at what is due, and returns what is to be mended now: one action per profile.
    fn look(&mut self) -> Vec<Action> {
        let now = Instant::now();
        if let Err(error) = self.supervisor.require_profiles() {
            if !std::mem::replace(&mut self.is_blind, true) {
                log::warn!("nothing is mended: {error}");
            }
            self.looks.clear();
            self.next_full_look = now + INTERVAL;
            return Vec::new();
        }
        if std::mem::take(&mut self.is_blind) {
            self.next_full_look = now;
        }
        let mut due = Vec::new();
        let is_due = |(_, at): &(&Subject, &Instant)| **at <= now;
        let subjects: Vec<_> =
            self.looks.iter().filter(is_due).map(|(subject, _)| subject.clone()).collect();
        self.looks.retain(|_, at| *at > now);
        let mut all = self.next_full_look <= now;
        for subject in subjects {
            if subject.is_none() {
                self.hold_home();
            }
            if subject.as_ref().is_some_and(ProfileName::is_default) {
                // Those that it serves, or no longer serves, are announced by nothing.
                all |= self.has_other_others();
            }
            let differs = self.supervisor.seems_to_differ(&subject);
            let is_left = |path: &Path| path.symlink_metadata().is_ok();
            match &differs {
                // The look at what lies beside the profiles does not see what lies in their homes.
                Ok(false) if subject.is_none() && self.differences.leftovers().any(is_left) => {
                    all = true;
                }
                Ok(false) => self.differences.forget(&subject),
                // It is judged with the facts about all: ports, unreadable homes. Those may keep it from a mend.
                Ok(true) => all = true,
                Err(error) => log::debug!("no look at a gateway: {error}"),
            }
            if subject.is_none() || !matches!(differs, Ok(false)) {
                self.look_at(subject, now + INTERVAL);
            }
        }
        if all {
            self.next_full_look = now + EVERYTHING;
            match self.supervisor.all_mends() {
                Ok(mends) => due = self.differences.update(mends, now),
                Err(error) => {
                    log::debug!("no look at the gateways: {error}");
                    self.next_full_look = now + INTERVAL;
                }
            }
        }
        let mut chosen = Vec::new();
        for (action, at) in due {
            if at <= now && self.differences.begin(&action, JOBS) {
                chosen.push(action);
                continue;
            }
            self.look_at(subject_of(&action), if at <= now { now + RETRY } else { at });
        }
        chosen
    }

    /// Whether `default`'s gateway serves others than at the last look.
    fn has_other_others(&mut self) -> bool {
        let locks = Locks::default();
        let others = Shared::new(self.supervisor, &locks).others().clone();
        let has_others = others != self.others;
        self.others = others;
        has_others
    }

    /// Keeps other trees off the home.
    fn hold_home(&mut self) {
        let unheld = match self.supervisor.driver.hold_home() {
            Ok(was_lost) => {
                if was_lost {
                    log::warn!(
                        "the lock of the home was lost with its file; the tree has taken it again"
                    );
                }
                None
            }
            Err(error) => Some(in_one_line(&error)),
        };
        if let Some(why) = unheld.as_ref().filter(|_| unheld != self.unheld) {
            log::warn!("the lock of the home was lost with its file: {why}");
        }
        self.unheld = unheld;
    }

    /// Mends in a thread, or in this one if none can be had.
    fn mend<'s>(&self, scope: &'s Scope<'s, '_>, action: Action) -> io::Result<()>
    where
        'a: 's,
    {
        let (supervisor, results) = (self.supervisor, self.result_sender.clone());
        let mut wake = self.wake.1.try_clone()?;
        let again = action.clone();
        let mend = move || {
            let mended = supervisor.mend(&action);
            let _ = results.send((action, mended));
            let _ = wake.write(&[0]);
        };
        if let Err(error) = thread::Builder::new().spawn_scoped(scope, mend) {
            log::debug!("no thread for a mend: {error}");
            let mended = supervisor.mend(&again);
            let _ = self.result_sender.send((again, mended));
            (&self.wake.1).write_all(&[0])?;
        }
        Ok(())
    }

    /// Takes the results of mends, and reports them.
    fn settle_results(&mut self, report: &mut impl FnMut(&Outcome)) -> io::Result<()> {
        let now = Instant::now();
        while let Ok((action, mended)) = self.results.try_recv() {
            self.wake.0.read_exact(&mut [0])?;
            let is_news = self.differences.end(&action, &mended, now);
            // Another action on the profile may have waited for this one.
            self.look_at(subject_of(&action), now);
            if is_news {
                let prior = action.profile().map(|name| self.supervisor.gateway_called(name));
                let prior = prior.and_then(|gateway| Intent::read(gateway.home()).ok());
                let error = mended.error();
                if let Some(name) = action.profile() {
                    let (event, why) = match &error {
                        None => (What::Mended, action.to_string()),
                        Some(error) => (What::NotMended, format!("{action}: {error}")),
                    };
                    self.supervisor.record(name, event, why);
                }
                report(&Outcome { action, prior, error });
            }
        }
        Ok(())
    }
}
