//! Gathering what boot decides on, and carrying its plan out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fs_err as fs;
use hermes_core::error_chain::in_one_line;
use hermes_core::fsutil;
use hermes_core::lock::{self, LockError};
use hermes_core::manager::ManagerError;
use hermes_core::parallel;
use hermes_core::process_lock::Holder;
use hermes_core::store::{Listing, Profile};
use hermes_core::{Intent, ProfileName, RegisterOptions};
use serde::Serialize;

use crate::bootlog;
use crate::error::failed;
use crate::layout::{GENERATION, ServiceDir};
use crate::manager::S6Manager;
use crate::reconcile::{self, Action, Facts, PROFILE_GONE, ProfileFact, SlotFact, Wanted};
use crate::stray::SvscanView;
use crate::{policy, registry, rename, repair};

/// How many gateways boot starts at once where nobody says otherwise.
pub const DEFAULT_AT_ONCE: usize = 8;

const OPERATION: &str = "bring the slots in line with the profiles";

/// What became of one action.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The action.
    #[serde(flatten)]
    pub action: Action,
    /// What the operator wanted beforehand, where that is known.
    pub prior: Option<Intent>,
    /// Why it failed; `None` if it didn't.
    pub error: Option<String>,
}

/// What became of a boot.
#[derive(Debug)]
pub struct Booted {
    /// What became of each action, in the order of the plan.
    pub outcomes: Vec<Outcome>,
    /// Why the boot log has no word of it; `None` if it has.
    pub unlogged: Option<std::io::Error>,
}

/// What boot would do now. Changes nothing.
pub fn plan(manager: &S6Manager) -> Result<Vec<Action>, ManagerError> {
    manager.tree().require_svscan(OPERATION)?;
    let mut actions = rename::plan(manager.store()).map_err(|error| failed(OPERATION, error))?;
    actions.extend(reconcile::plan(&gather(manager)?));
    Ok(actions)
}

/// Brings the slots in line with the profiles: at most `jobs` gateways start at a time, and each
/// profile's outcome is its own. Blocks until every start was seen to succeed or fail. Idempotent.
///
/// Once the tree's end has begun, what has not been started is not started any more.
pub fn boot(manager: &S6Manager, jobs: usize) -> Result<Booted, ManagerError> {
    let begun = Instant::now();
    let svscan = manager.tree().require_svscan(OPERATION)?;
    manager.tree().require_same_home(OPERATION, svscan)?;
    let of_store = |error| failed(OPERATION, error);
    let cleared = manager.store().remove_leftovers().map_err(of_store)?;
    let not_cleared = cleared.failed.into_iter().map(|(path, error)| Outcome {
        action: Action::Clear { path },
        prior: None,
        error: Some(in_one_line(&error)),
    });
    let mut outcomes: Vec<_> = not_cleared.collect();
    let lock = manager.tree().scandir.command_lock();
    lock::remove_unheld(&lock).map_err(|error| failed(OPERATION, error))?;
    outcomes.extend(rename::settle(manager.store()).map_err(of_store)?);
    let facts = gather(manager)?;
    let priors: BTreeMap<_, _> = facts
        .profiles
        .iter()
        .filter_map(|fact| Some((fact.name.clone(), *fact.intent.as_ref().ok()?)))
        .collect();
    let outcome = |action: Action| {
        let done = match manager.tree().shutdown.has_begun() {
            true => Err("the tree is being stopped".to_owned()),
            false => apply(manager, &action).map_err(|error| in_one_line(&error)),
        };
        let prior = profile_of(&action).and_then(|profile| priors.get(profile)).copied();
        Outcome { action, prior, error: done.err() }
    };
    // Removals come first and wait for each other; what follows is per profile.
    let (first, then): (Vec<_>, Vec<_>) = reconcile::plan(&facts).into_iter().partition(|action| {
        matches!(action, Action::Clear { .. } | Action::Remove { .. } | Action::Sweep { .. })
    });
    outcomes.extend(first.into_iter().map(&outcome));
    // Where nothing is to be done no thread is started for it.
    let jobs = jobs.min(then.iter().filter(|action| action.changes_something()).count());
    outcomes.extend(parallel::map(then, jobs, outcome));
    let unlogged = bootlog::write(manager, svscan, &outcomes, begun.elapsed()).err();
    Ok(Booted { outcomes, unlogged })
}

/// How long the first boot of the tree took; `None` if it has not had one. Changes nothing and does not
/// wait.
pub fn took(manager: &S6Manager) -> Result<Option<Duration>, ManagerError> {
    const OPERATION: &str = "tell how long the tree's boot took";
    let svscan = manager.tree().require_svscan(OPERATION)?;
    bootlog::took_under(manager, svscan).map_err(|error| failed(OPERATION, error))
}

/// ProfileLabel action it is.
pub(crate) fn profile_of(action: &Action) -> Option<&ProfileName> {
    match action {
        Action::FinishRename { profile, .. }
        | Action::UndoRename { profile, .. }
        | Action::Remove { profile, .. }
        | Action::Sweep { profile }
        | Action::Register { profile, .. }
        | Action::Start { profile }
        | Action::Stop { profile }
        | Action::Keep { profile, .. } => Some(profile),
        Action::Clear { .. } | Action::Skip { .. } => None,
    }
}

fn apply(manager: &S6Manager, action: &Action) -> Result<(), ManagerError> {
    apply_unless(manager, action, |_| Ok(()))
}

/// Carries `action` out unless `objection`, asked under the profile's lock, has something against it.
pub(crate) fn apply_unless(
    manager: &S6Manager,
    action: &Action,
    objection: impl Fn(&ProfileName) -> Result<(), ManagerError>,
) -> Result<(), ManagerError> {
    if let Action::Clear { path } = action {
        // Whoever works on it has its profile's lock.
        let _lock = match repair::lock_of(manager.tree(), path) {
            Some(Err(LockError::Busy { .. })) => return Ok(()),
            lock => lock.transpose().map_err(|error| failed(OPERATION, error))?,
        };
        return match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => {
                registry::retire(manager.tree(), OPERATION, &ServiceDir::new(path))
            }
            Ok(_) => fsutil::remove_unfinished(path).map_err(|error| failed(OPERATION, error)),
            Err(_) => Ok(()),
        };
    }
    // What is left as it is needs no lock.
    let Some(name) = profile_of(action).filter(|_| action.changes_something()) else {
        return Ok(());
    };
    let profile = Profile { name: name.clone(), home: manager.store().root().profile(name) };
    let _lock = manager.tree().lock_profile(OPERATION, name)?;
    // The plan was made before the lock was held; what it was made for may not be so any more.
    let known = manager.store().find(name).map_err(|error| failed(OPERATION, error))?.is_some();
    let registered = manager.tree().scandir.slot(name).path().symlink_metadata().is_ok();
    let intent = Intent::read(&profile.home).ok();
    objection(name)?;
    match action {
        Action::Remove { detail, .. } if known && *detail == PROFILE_GONE => Ok(()),
        Action::Remove { .. } => manager.unregister_locked(name),
        Action::Sweep { .. } => sweep(&profile),
        Action::Register { .. } if known && !registered => {
            manager.register_locked(&profile, &RegisterOptions::default(), false)
        }
        Action::Start { .. } if known && intent == Some(Intent::Running) => {
            manager.start_locked(&profile)
        }
        Action::Stop { .. } if intent == Some(Intent::Stopped) => manager.stop_locked(&profile),
        _ => Ok(()),
    }
}

fn sweep(profile: &Profile) -> Result<(), ManagerError> {
    for path in profile.home.stale_when_down() {
        fsutil::remove_file_if_there(&path).map_err(|error| failed(OPERATION, error))?;
    }
    Ok(())
}

pub(crate) fn gather(manager: &S6Manager) -> Result<Facts, ManagerError> {
    let io = |error: std::io::Error| failed(OPERATION, error);
    let scandir = &manager.tree().scandir;
    let Listing { profiles, skipped } =
        manager.store().list().map_err(|error| failed(OPERATION, error))?;
    let mut facts = Facts {
        profiles: parallel::compute(profiles.iter().collect(), profile_fact),
        skipped: skipped.into_iter().map(|skipped| (skipped.path, skipped.reason)).collect(),
        // What is written in a slot is unfinished in the scan directory.
        leftovers: [scandir.hidden().map_err(io)?, fsutil::unfinished(scandir.path()).map_err(io)?]
            .concat(),
        ..Facts::default()
    };
    let svscan_view = manager.tree().svscan_view_of_many().map_err(io)?;
    let slots = parallel::compute(scandir.profiles().map_err(io)?, |profile| {
        let slot = scandir.slot(&profile);
        // But for listeners. A slot that can't be read is told of by what concerns it.
        let listeners = fsutil::unfinished(&slot.event()).unwrap_or_default();
        let fact = slot_fact(manager, &svscan_view, &slot, &profile);
        (fact.map_err(|error| (profile, in_one_line(&error))), listeners)
    });
    for (slot, listeners) in slots {
        facts.leftovers.extend(listeners);
        match slot {
            Ok(fact) => facts.slots.push(fact),
            Err(reason) => facts.unreadable.push(reason),
        }
    }
    // To read the configurations is most of the work, and ports only matter to what is to be started.
    if reconcile::plan(&facts).iter().any(|action| matches!(action, Action::Start { .. })) {
        // One that can't be read names no port; its gateway says what is wrong.
        let port = |profile: &Profile| manager.store().port(profile).ok().flatten();
        let ports = parallel::compute(profiles.iter().collect(), port);
        facts.profiles.iter_mut().zip(ports).for_each(|(fact, port)| fact.port = port);
    }
    Ok(facts)
}

/// What is known of a profile, but for its port.
fn profile_fact(profile: &Profile) -> ProfileFact {
    ProfileFact {
        name: profile.name.clone(),
        intent: Intent::read(&profile.home).map_err(|error| in_one_line(&error)),
        port: None,
        stale_files: profile.home.stale_when_down().iter().any(|path| path.exists()),
    }
}

fn slot_fact(
    manager: &S6Manager,
    svscan_view: &SvscanView<'_>,
    slot: &ServiceDir,
    profile: &ProfileName,
) -> std::io::Result<SlotFact> {
    let supervisor = slot.supervisor()?;
    let is_kept =
        |holder: Option<Holder>| holder.is_some_and(|holder| !svscan_view.is_stray(holder));
    let supervised = is_kept(supervisor) && is_kept(slot.log().supervisor()?);
    let record = if supervised { slot.record().ok() } else { None };
    // A record may be a former supervisor's; its gateway is then nobody's child here.
    let child_of = |pid| manager.tree().proc.parent(pid).ok();
    let gateway = record.and_then(|record| record.gateway());
    let want_up = record.is_some_and(|record| record.want_up);
    let down = slot.down().try_exists()?;
    Ok(SlotFact {
        profile: profile.clone(),
        supervised,
        wanted: match (want_up, down) {
            (true, false) => Wanted::Up,
            (false, true) => Wanted::Down,
            _ => Wanted::Unclear,
        },
        running: gateway.is_some_and(|pid| child_of(pid) == supervisor.and_then(|s| s.pid)),
        parked: policy::parked(slot)?.is_some(),
        current: slot.is_current(),
    })
}

impl ServiceDir {
    /// The generation of the slot's scripts; `None` if it can't be told.
    pub fn rendered_by(&self) -> Option<u32> {
        fsutil::read_to_string(&self.generation()).ok()?.trim().parse().ok()
    }

    /// Whether the slot's scripts are those that this version renders.
    pub fn is_current(&self) -> bool {
        self.rendered_by() == Some(GENERATION)
    }
}
