//! Boot brings the services in line with the profiles; repair is its part that stops no gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::{Supervisor, Together, foreign};
use crate::agent::Locks;
use crate::driver::{CreateOptions, DriverError, During, Lifetime};
use crate::error_chain::in_one_line;
use crate::events::What;
use crate::fsutil;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::manager::ManagerError;
use crate::name::ProfileName;
use crate::parallel;
use crate::process_lock;
use crate::reconcile::{self, Action, ByDefault, Facts, Outcome, PROFILE_GONE, ProfileFact};
use crate::store::{Profile, StoreError};

/// The default number of gateways that a boot starts at the same time.
pub const DEFAULT_JOBS: usize = 8;

const BOOT: &str = "bring the services in line with the profiles";
pub(super) const REPAIR: &str = "repair the services without stopping a gateway";

/// The outcome of a boot.
#[derive(Debug)]
pub struct Booted {
    /// The outcome of each action, in the order of the plan.
    pub outcomes: Vec<Outcome>,
    /// Why the boot log has no record of this boot; `None` if it has one.
    pub unlogged: Option<io::Error>,
}

impl Supervisor {
    /// What a boot would do now. Changes nothing.
    pub fn plan_boot(&self) -> Result<Vec<Action>, ManagerError> {
        let mut actions = self.plan_renames().during(BOOT)?;
        actions.extend(reconcile::plan(&self.gather().during(BOOT)?));
        Ok(actions)
    }

    /// Brings the services in line with the profiles: at most `jobs` gateways start at a time, and each
    /// profile's outcome is its own. Blocks until every start was observed to succeed or fail. Idempotent.
    ///
    /// Once the end of the tree has begun, nothing more is started.
    pub fn boot(&self, jobs: usize) -> Result<Booted, ManagerError> {
        let begun = Instant::now();
        self.driver.reach().during(BOOT)?;
        self.driver.check_owner().during(BOOT)?;
        self.store.refuse_open(None).during(BOOT)?;
        let mut outcomes = self.clear_store();
        outcomes.extend(self.settle_renames().during(BOOT)?);
        let facts = self.gather().during(BOOT)?;
        let priors: BTreeMap<_, _> = facts
            .profiles
            .iter()
            .filter_map(|fact| Some((fact.name.clone(), *fact.intent.as_ref().ok()?)))
            .collect();
        // Whether it was done at all.
        let act = |this: &Self, facts: &Facts, action: &Action| match self.driver.is_shutting_down()
        {
            true => Ok(false),
            false => this.apply(action, facts, |_| Ok(())).map(|()| true),
        };
        let concluded = |action: Action, done: Result<bool, DriverError>| {
            let prior = action.profile().and_then(|profile| priors.get(profile)).copied();
            let error = match done {
                Ok(false) => Some("the tree is being stopped".to_owned()),
                done => error_of(&action, done),
            };
            Outcome { action, prior, error }
        };
        let outcome = |facts: &Facts, action: Action| {
            let done = act(self, facts, &action);
            concluded(action, done)
        };
        // Removals come first, one after the other; the rest is independent per profile.
        let is_first = |action: &Action| {
            matches!(
                action,
                Action::Resume(_)
                    | Action::Clear { .. }
                    | Action::Remove { .. }
                    | Action::Sweep { .. }
                    | Action::ReplaceLogger { .. }
            )
        };
        let (first, then): (Vec<_>, Vec<_>) =
            reconcile::plan(&facts).into_iter().partition(is_first);
        self.remove_together(&first);
        outcomes.extend(first.into_iter().map(|action| outcome(&facts, action)));
        let of_default = |action: &Action| action.profile().is_some_and(ProfileName::is_default);
        let (server, then): (Vec<_>, Vec<_>) = match self.default_is_shared() {
            true => then.into_iter().partition(of_default),
            false => (Vec::new(), then),
        };
        let (facts, then) = match server.is_empty() {
            true => (facts, then),
            // Which of the others are to be started depends on whom it serves.
            false => {
                outcomes.extend(server.into_iter().map(|action| outcome(&facts, action)));
                self.await_others();
                let facts = self.gather().during(BOOT)?;
                let plan = reconcile::plan(&facts).into_iter();
                let then = plan.filter(|action| !is_first(action) && !of_default(action)).collect();
                (facts, then)
            }
        };
        self.prepare_together(&then, &facts);
        // Starts no thread if there is nothing to do.
        let jobs = jobs.min(then.iter().filter(|action| action.changes_something()).count());
        // Renames were settled above.
        let this = Self { together: Some(Together { any_renames: false }), ..self.clone() };
        let done = parallel::map(then.iter().collect(), jobs, |action| act(&this, &facts, action));
        let done = this.with_lines(done, |number| then.get(number)?.profile().cloned());
        outcomes.extend(then.into_iter().zip(done).map(|(action, done)| concluded(action, done)));
        let unlogged = self.driver.record_boot(&outcomes, begun.elapsed()).err();
        Ok(Booted { outcomes, unlogged })
    }

    /// Removes the leftovers among the profiles. Returns those that could not be removed: no profile needs them.
    pub(super) fn clear_store(&self) -> Vec<Outcome> {
        let failed = match self.store.remove_leftovers() {
            Ok(cleared) => cleared.failed,
            Err(error) => vec![(self.store.root().profiles(), error)],
        };
        let outcome = |(path, error): (_, StoreError)| {
            let error = ManagerError::of("clear it", DriverError::from(error));
            Outcome { action: Action::Clear { path }, prior: None, error: Some(line_of(&error)) }
        };
        failed.into_iter().map(outcome).collect()
    }

    /// Executes the actions of a boot that stop no running gateway: settles interrupted renames, clears
    /// leftovers, deletes stale files, removes unused services, creates missing ones, and starts the gateways that
    /// are wanted and neither parked, up, nor stopped by an operator whose intent could not be recorded. If services are installed, it only settles renames. Blocks until each
    /// action was observed to succeed or fail. Idempotent.
    pub fn repair_online(&self) -> Result<Vec<Outcome>, ManagerError> {
        self.driver.reach().during(REPAIR)?;
        self.driver.check_owner().during(REPAIR)?;
        self.store.refuse_open(None).during(REPAIR)?;
        let settled = self.settle_renames().during(REPAIR)?;
        let settled = settled.into_iter().filter(|outcome| outcome.action.changes_something());
        let mut outcomes: Vec<_> = settled.collect();
        let facts = match self.driver.lifetime() {
            Lifetime::Installed => Facts::default(),
            _ => self.gather().during(REPAIR)?,
        };
        let plan = reconcile::plan(&facts);
        // A service whose gateway runs is not removed, and so not replaced either.
        let kept: Vec<_> = plan
            .iter()
            .filter_map(|action| match action {
                Action::Remove { profile, .. } if self.runs(profile) => Some(profile.clone()),
                _ => None,
            })
            .collect();
        let held_down = facts.services.iter().filter(|service| service.held_down);
        let held_down: BTreeSet<_> = held_down.map(|service| service.profile.clone()).collect();
        let stops_nothing = |action: &Action| match action {
            Action::Clear { path } => self.driver.is_abandoned(path),
            Action::Sweep { profile }
            | Action::ReplaceLogger { profile }
            | Action::Remove { profile, .. }
            | Action::Register { profile, .. } => !kept.contains(profile),
            Action::Start { profile } => !kept.contains(profile) && !held_down.contains(profile),
            // Renames were settled above.
            Action::FinishRename { .. } | Action::UndoRename { .. } => false,
            Action::Resume(_) => true,
            Action::Stop { .. } | Action::StandDown { .. } => false,
            Action::Keep { .. }
            | Action::Leave { .. }
            | Action::Skip { .. }
            | Action::Unreadable { .. } => false,
        };
        let outcome = |action: Action| {
            let done = self.apply(&action, &facts, |profile| match action {
                Action::Remove { .. } if self.runs(profile) => {
                    Err(DriverError::new(format!("the gateway of `{profile}` runs")))
                }
                _ => Ok(()),
            });
            Outcome { error: error_of(&action, done), action, prior: None }
        };
        outcomes.extend(plan.into_iter().filter(stops_nothing).map(outcome));
        Ok(outcomes)
    }

    /// Whether a gateway of `name` runs, supervised or not; the profile may be deleted.
    fn runs(&self, name: &ProfileName) -> bool {
        let gateway = self.gateway_called(name);
        let status = self.driver.observe(&gateway);
        status.is_ok_and(|status| status.pid.is_some())
            || Locks::default().holder(gateway.home()).is_some()
    }

    /// Executes `action` unless `objection`, called under the profile's lock, refuses it.
    fn apply(
        &self,
        action: &Action,
        facts: &Facts,
        objection: impl Fn(&ProfileName) -> Result<(), DriverError>,
    ) -> Result<(), DriverError> {
        if let Action::Start { profile } = action {
            self.record(profile, What::Requested, "start, by a boot");
        }
        match action {
            Action::Clear { path } => self.driver.clear(path),
            Action::Resume(suspended) => self.driver.resume(suspended).map(drop),
            // An action that changes nothing needs no lock.
            _ => match action.profile().filter(|_| action.changes_something()) {
                Some(name) => self
                    .store
                    .lock_profile(name)
                    .map_err(DriverError::from)
                    .and_then(|_lock| self.apply_locked(name, action, facts, objection)),
                None => Ok(()),
            },
        }
    }

    /// Executes an action on a profile that is locked.
    pub(super) fn apply_locked(
        &self,
        name: &ProfileName,
        action: &Action,
        facts: &Facts,
        objection: impl Fn(&ProfileName) -> Result<(), DriverError>,
    ) -> Result<(), DriverError> {
        let gateway = self.gateway_called(name);
        // The plan was made before the lock was taken, and may no longer apply.
        let known = self.store.find(name)?.is_some();
        let intent = Intent::read(gateway.home()).ok();
        objection(name)?;
        if matches!(action, Action::Register { .. } | Action::Start { .. }) {
            self.store.refuse_open(Some(gateway.home()))?;
        }
        match action {
            Action::Remove { detail, .. }
                if *detail == PROFILE_GONE && !matches!(self.store.look_up(name), Ok(None)) =>
            {
                Ok(())
            }
            Action::Remove { .. } => self.driver.remove(&gateway),
            Action::Sweep { .. } if !self.runs(name) => sweep(&gateway),
            Action::ReplaceLogger { .. } => self.driver.replace_logger(name),
            Action::Register { .. } if known && !self.driver.exists(name)? => {
                self.driver.create(&gateway, &CreateOptions::default())
            }
            // `default`'s gateway may have begun to serve it since.
            Action::Start { .. } | Action::StandDown { .. }
                if known
                    && intent == Some(Intent::Running)
                    && self.by_default(&gateway) == Some(ByDefault::Serves) =>
            {
                self.stand_down(&gateway)
            }
            Action::Start { .. } if known && intent == Some(Intent::Running) => {
                let rivals = |port| self.rivals(facts, port);
                match self.claim_port_among(&gateway, self.store.timeout(), rivals) {
                    Ok(_port) => self.create_and_bring_up(&gateway),
                    // As the plan does, if it knows that the port is another one's.
                    Err(error) => {
                        self.driver.create(&gateway, &CreateOptions::default())?;
                        Err(error)
                    }
                }
            }
            Action::Stop { .. } if intent == Some(Intent::Stopped) => self.driver.down(&gateway),
            _ => Ok(()),
        }
    }

    /// The profiles that may have `port`. Those of the plan, as reading all configurations again for each start would take
    /// too long; all, if it is not the port that a profile had then.
    pub(super) fn rivals(&self, facts: &Facts, port: u16) -> Result<Vec<Profile>, DriverError> {
        let with_port = facts.profiles.iter().filter(|fact| fact.port == Some(port));
        let home = |name: &ProfileName| self.store.root().profile(name);
        let profile =
            |fact: &ProfileFact| Profile { name: fact.name.clone(), home: home(&fact.name) };
        let rivals: Vec<_> = with_port.map(profile).collect();
        match rivals.is_empty() {
            true => Ok(self.store.list()?.profiles),
            false => Ok(rivals),
        }
    }

    /// The plan for the services; `None` if the backend installs services, which need no boot. Changes nothing.
    pub(super) fn plan_services(&self) -> Result<Option<Vec<Action>>, DriverError> {
        match self.driver.lifetime() {
            Lifetime::Installed => Ok(None),
            _ => Ok(Some(reconcile::plan(&self.gather()?))),
        }
    }

    /// The facts about all profiles and services. Changes nothing.
    pub(super) fn gather(&self) -> Result<Facts, DriverError> {
        let survey = self.driver.survey()?;
        let listing = self.store.list()?;
        let locks = Locks::default();
        let shared = Shared::new(self, &locks);
        let fact = |profile| profile_fact(&shared, profile);
        let mut facts = Facts {
            profiles: parallel::compute(listing.profiles.iter().collect(), fact),
            skipped: listing.skipped,
            services: survey.services,
            unreadable: survey.unreadable,
            leftovers: survey.leftovers,
            suspended: survey.suspended,
            unregistered: survey.unregistered,
        };
        // Reading the configurations takes most of the time, and only gateways to be started need a port.
        if reconcile::plan(&facts).iter().any(|action| matches!(action, Action::Start { .. })) {
            // A configuration that can't be read names no port; its gateway reports what is wrong.
            let port = |profile: &Profile| self.store.port(profile).ok().flatten();
            let ports = parallel::compute(listing.profiles.iter().collect(), port);
            facts.profiles.iter_mut().zip(ports).for_each(|(fact, port)| fact.port = port);
        }
        Ok(facts)
    }

    /// How long the first boot of the tree took; `None` if it has had none, or the backend keeps no record.
    pub fn boot_duration(&self) -> Result<Option<Duration>, ManagerError> {
        self.driver.boot_duration().during("read how long the tree's boot took")
    }
}

/// A profile as [`plan`] needs it, without its port.
pub(super) fn profile_fact(shared: &Shared<'_>, profile: &Profile) -> ProfileFact {
    let locks = shared.locks;
    let files = profile.home.stale_when_down();
    // The files of a gateway that runs without a supervisor are in use.
    let is_down = || {
        matches!(process_lock::holder(&profile.home.gateway_lock()), Ok(None))
            && locks.holder(&profile.home).is_none()
    };
    let gateway = Gateway::new(profile.clone());
    let foreign = gateway.foreign(locks, None);
    let intent = Intent::read(&profile.home).map_err(|error| in_one_line(&error));
    let is_wanted = intent == Ok(Intent::Running);
    ProfileFact {
        name: profile.name.clone(),
        intent,
        port: None,
        foreign: foreign.map(|pid| foreign::explained(pid, &profile.name)),
        by_default: if is_wanted { shared.of(&gateway) } else { None },
        stale_files: files.iter().any(|path| path.exists()) && is_down(),
    }
}

/// The error of an action that failed, for its outcome.
fn error_of<T>(action: &Action, done: Result<T, DriverError>) -> Option<String> {
    let done = done.during(&action.operation());
    done.err().map(|error| line_of(&error))
}

/// An error with its causes and its hint.
pub(super) fn line_of(error: &ManagerError) -> String {
    let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{}{hint}", in_one_line(error))
}

fn sweep(gateway: &Gateway) -> Result<(), DriverError> {
    for path in gateway.home().stale_when_down() {
        fsutil::remove_file_if_there(&path)?;
    }
    Ok(())
}
