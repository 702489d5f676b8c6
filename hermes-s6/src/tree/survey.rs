//! Collects the facts for boot: the slots of the scan directory, and the leftovers of interrupted commands.

use std::io;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use hermes_core::driver::DriverError;
use hermes_core::error_chain::in_one_line;
use hermes_core::lock::{Lock, LockError};
use hermes_core::proc::Life;
use hermes_core::process_lock::{self, Holder, origin};
use hermes_core::reconcile::{ServiceFact, Survey, Wanted};
use hermes_core::{ProfileName, formats, fsutil, parallel};

use crate::protocol::scandir::Listing;
use crate::slot::layout::{GENERATION, ServiceDir};
use crate::slot::logger;
use crate::slot::policy;
use crate::slot::registry;
use crate::tree::Tree;
use crate::tree::suspended;
use crate::tree::svscan_view::SvscanView;
use crate::tree::unregistered;

/// Reads every slot once. A slot that can't be read is reported and does not affect the others.
pub(crate) fn survey(tree: &Tree, svscan: Holder) -> io::Result<Survey> {
    let scandir = &tree.scandir;
    let listing = scandir.listing()?;
    let mut survey = beside(tree, Some(svscan), &listing)?;
    let profiles = listing.profiles();
    let svscan_view = tree.svscan_view_of(profiles.len())?;
    let slots = parallel::compute(profiles, |profile| {
        let slot = scandir.slot(&profile);
        // Only listeners can be left in a slot. An unreadable slot is reported by slot_fact.
        let listeners = fsutil::unfinished(&slot.event()).unwrap_or_default();
        let fact = slot_fact(tree, &svscan_view, &slot, &profile);
        (fact.map_err(|error| (profile, in_one_line(&error))), listeners)
    });
    for (slot, listeners) in slots {
        survey.leftovers.extend(listeners);
        match slot {
            Ok(fact) => survey.services.push(fact),
            Err(reason) => survey.unreadable.push(reason),
        }
    }
    Ok(survey)
}

/// Reads the slot of `profile` alone.
pub(crate) fn survey_of(tree: &Tree, profile: &ProfileName) -> io::Result<Survey> {
    let slot = tree.scandir.slot(profile);
    let mut survey = Survey::default();
    if fsutil::exists(slot.path())? {
        match slot_fact(tree, &tree.svscan_view()?, &slot, profile) {
            Ok(fact) => survey.services.push(fact),
            Err(error) => survey.unreadable.push((profile.clone(), in_one_line(&error))),
        }
    } else if let Some(svscan) = tree.scandir.svscan()?
        && unregistered::is_marked(tree, svscan, profile)
    {
        survey.unregistered.insert(profile.clone());
    }
    Ok(survey)
}

/// Reads what lies beside the slots, and the scan directory once.
pub(crate) fn survey_beside(tree: &Tree) -> io::Result<Survey> {
    beside(tree, tree.scandir.svscan()?, &tree.scandir.listing()?)
}

/// The leftovers beside the slots: hidden slots, temporary files, and marks that hold no longer; and suspended processes.
fn beside(tree: &Tree, svscan: Option<Holder>, listing: &Listing) -> io::Result<Survey> {
    let marks = svscan.map(|svscan| unregistered::marked(tree, svscan, listing));
    let (unregistered, marks) = marks.unwrap_or_default();
    let unfinished = fsutil::unfinished_among(listing.files().map(Path::to_owned).collect());
    Ok(Survey {
        leftovers: [listing.hidden(), unfinished, marks].concat(),
        suspended: suspended::suspended(tree, listing)?,
        unregistered,
        ..Survey::default()
    })
}

/// Removes the leftover at `path`: a hidden slot with its supervisors, or a temporary file. Blocks until the
/// supervisors have ended. Does nothing while a command holds the profile's lock. Idempotent.
pub(crate) fn clear(tree: &Tree, path: &Path) -> Result<(), DriverError> {
    // A command that uses the leftover holds its profile's lock.
    let _lock = match lock_of(tree, path) {
        Some(Err(LockError::Busy { .. })) => return Ok(()),
        lock => lock.transpose()?,
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => registry::retire(tree, &ServiceDir::new(path)),
        Ok(_) => Ok(fsutil::remove_unfinished(path)?),
        Err(_) => Ok(()),
    }
}

/// Whether no command uses the leftover at `path`, and no gateway runs in it.
pub(crate) fn is_abandoned(tree: &Tree, path: &Path) -> bool {
    let busy = matches!(lock_of(tree, path), Some(Err(LockError::Busy { .. })));
    !busy && !is_up(&ServiceDir::new(path))
}

fn is_up(slot: &ServiceDir) -> bool {
    let supervised = slot.supervisor().is_ok_and(|supervisor| supervisor.is_some());
    supervised && slot.record().is_ok_and(|record| record.gateway().is_some())
}

/// Takes the lock of the profile to whose slot the leftover at `path` belongs, without waiting; `None` if the
/// profile is unknown.
fn lock_of(tree: &Tree, path: &Path) -> Option<Result<Lock, LockError>> {
    let slot = path.ancestors().find(|path| path.parent() == Some(tree.scandir.path()))?;
    let name = fsutil::read_to_string(&slot.join("data/profile")).ok()?;
    let name: ProfileName = name.trim().parse().ok()?;
    Some(Lock::acquire(&tree.root.profile_lock(&name), Duration::ZERO))
}

fn slot_fact(
    tree: &Tree,
    svscan_view: &SvscanView<'_>,
    slot: &ServiceDir,
    profile: &ProfileName,
) -> io::Result<ServiceFact> {
    let supervisor = slot.supervisor()?;
    let is_kept =
        |holder: Option<Holder>| holder.is_some_and(|holder| !svscan_view.is_stray(holder));
    let loggers = slot.log().supervisor()?;
    let supervised = is_kept(supervisor) && is_kept(loggers);
    let record = if supervised { slot.record().ok() } else { None };
    // A record may be a former supervisor's, whose gateway is not a child of the current one, or name a process whose
    // death its supervisor has not noticed.
    let supervised_by = supervisor.and_then(|supervisor| supervisor.pid);
    let is_child = |pid| {
        let life = |supervisor| tree.proc.life_under(supervisor, pid);
        supervised_by.is_some_and(|supervisor| life(supervisor) != Life::Ended)
    };
    let gateway = record.and_then(|record| record.gateway());
    // A lock that can't be read says nothing about its gateway.
    let lock = tree.root.profile(profile).gateway_lock();
    let holder = process_lock::holder(&lock).ok().flatten();
    let orphan = holder.and_then(|holder| holder.pid).filter(|pid| !is_child(*pid));
    let unclean = match holder {
        None => !process_lock::is_clean(&lock),
        Some(_) => orphan.is_some() && origin::is_supervised(&lock),
    };
    let want_up = record.is_some_and(|record| record.want_up);
    let down = slot.down().try_exists()?;
    Ok(ServiceFact {
        profile: profile.clone(),
        supervised,
        wanted: match (want_up, down) {
            (true, false) => Wanted::Up,
            (false, true) => Wanted::Down,
            _ => Wanted::Unclear,
        },
        running: gateway.is_some_and(is_child),
        orphaned: orphan.is_some(),
        unclean,
        logger_orphaned: supervised && logger::is_orphaned(tree, profile, loggers),
        parked: policy::parked(slot)?.is_some(),
        held_down: slot.held().try_exists()?,
        current: slot.is_current(),
    })
}

impl ServiceDir {
    /// The generation of the slot's scripts; `None` if it can't be read.
    pub fn rendered_by(&self) -> Option<u32> {
        fsutil::read_to_string(&self.generation()).ok()?.trim().parse().ok()
    }

    /// The error if a newer version rendered the scripts.
    pub fn refuse_newer(&self) -> Result<(), String> {
        formats::refuse_newer(&self.generation(), self.rendered_by().unwrap_or(0), GENERATION)
    }

    /// Whether this version renders the same scripts ([`GENERATION`]).
    pub fn is_current(&self) -> bool {
        self.rendered_by() == Some(GENERATION)
    }
}

/// How to go back to this version from a slot that a newer one made.
pub(crate) fn hint_for_newer(name: &ProfileName) -> String {
    format!(
        "{}; to go back to this one, `hermes gateway unregister {name}`, then `hermes gateway start {name}`",
        formats::HINT
    )
}
