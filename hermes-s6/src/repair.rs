//! Mending without disturbing: what boot would do, as far as it stops no gateway that runs, and the
//! replacement of slots that another version made, as far as nobody wants them up.

use std::path::Path;
use std::time::Duration;

use hermes_core::error_chain::in_one_line;
use hermes_core::fsutil;
use hermes_core::lock::{Lock, LockError};
use hermes_core::manager::ManagerError;
use hermes_core::{Intent, ProfileName, RegisterOptions, ServiceManager, State};

use crate::boot::{self, Outcome};
use crate::error::{failed, refused};
use crate::layout::ServiceDir;
use crate::manager::S6Manager;
use crate::reconcile::{self, Action};
use crate::rename;
use crate::tree::Tree;

const OPERATION: &str = "mend the slots without stopping a gateway";

/// Carries out what boot would do and no gateway that runs has to be stopped for: settles renames that
/// a crash interrupted, clears what was left, sweeps, removes slots that nobody uses, makes missing ones, and starts what is wanted and neither
/// parked nor up. Blocks until each was seen to succeed or fail. Idempotent.
pub fn repair_online(manager: &S6Manager) -> Result<Vec<Outcome>, ManagerError> {
    let svscan = manager.tree().require_svscan(OPERATION)?;
    manager.tree().require_same_home(OPERATION, svscan)?;
    let settled = rename::settle(manager.store()).map_err(|error| failed(OPERATION, error))?;
    let settled =
        settled.into_iter().filter(|outcome| !matches!(outcome.action, Action::Skip { .. }));
    let mut outcomes: Vec<_> = settled.collect();
    let plan = reconcile::plan(&boot::gather(manager)?);
    // What runs in a slot that should go keeps it, and with it the steps that would replace it.
    let kept: Vec<_> = plan
        .iter()
        .filter_map(|action| match action {
            Action::Remove { profile, .. } if runs(manager, profile) => Some(profile.clone()),
            _ => None,
        })
        .collect();
    let harmless = |action: &Action| match action {
        Action::Clear { path } => is_abandoned(manager.tree(), path),
        Action::Sweep { profile }
        | Action::Remove { profile, .. }
        | Action::Register { profile, .. }
        | Action::Start { profile } => !kept.contains(profile),
        // Renames were settled above, where they are files alone.
        Action::FinishRename { .. } | Action::UndoRename { .. } => false,
        Action::Stop { .. } | Action::Keep { .. } | Action::Skip { .. } => false,
    };
    let outcome = |action: Action| {
        let done = boot::apply_unless(manager, &action, |profile| match action {
            Action::Remove { .. } if runs(manager, profile) => {
                Err(refused(OPERATION, format!("the gateway of `{profile}` runs"), None))
            }
            _ => Ok(()),
        });
        Outcome { action, prior: None, error: done.err().map(|error| in_one_line(&error)) }
    };
    outcomes.extend(plan.into_iter().filter(harmless).map(outcome));
    Ok(outcomes)
}

/// Makes the slots anew that another version made and that are down and meant to be. Answers what
/// became of each. Idempotent.
pub fn renew(manager: &S6Manager) -> Result<Vec<(ProfileName, Option<String>)>, ManagerError> {
    let slots = manager.tree().scandir.profiles().map_err(|error| failed(OPERATION, error))?;
    let mut renewed = Vec::new();
    for name in slots {
        // A lock is taken for what is to be done alone: looking leaves no trace.
        if manager.tree().scandir.slot(&name).is_current() || !is_idle(manager, &name) {
            continue;
        }
        match renew_one(manager, &name) {
            Ok(false) => {}
            Ok(true) => renewed.push((name, None)),
            Err(error) => renewed.push((name, Some(in_one_line(&error)))),
        }
    }
    Ok(renewed)
}

fn renew_one(manager: &S6Manager, name: &ProfileName) -> Result<bool, ManagerError> {
    let _lock = manager.tree().lock_profile(OPERATION, name)?;
    let found = manager.store().find(name).map_err(|error| failed(OPERATION, error))?;
    let Some(profile) = found else { return Ok(false) };
    if !is_idle(manager, name) {
        return Ok(false);
    }
    manager.unregister_locked(name)?;
    manager.register_locked(&profile, &RegisterOptions::default(), false)?;
    Ok(true)
}

/// Whether the gateway of `name` is down, and meant to be.
fn is_idle(manager: &S6Manager, name: &ProfileName) -> bool {
    manager
        .status(name)
        .is_ok_and(|status| status.state == State::Down && status.intent == Some(Intent::Stopped))
}

/// Whether a gateway of `profile` runs, supervised or not.
fn runs(manager: &S6Manager, profile: &ProfileName) -> bool {
    match manager.status(profile) {
        Ok(status) => status.pid.is_some(),
        // One without profile is known by its slot alone.
        Err(_) => is_up(&manager.tree().scandir.slot(profile)),
    }
}

fn is_up(slot: &ServiceDir) -> bool {
    let supervised = slot.supervisor().is_ok_and(|supervisor| supervisor.is_some());
    supervised && slot.record().is_ok_and(|record| record.gateway().is_some())
}

/// Whether no command works on the hidden slot at `path`, and nothing runs in it.
pub fn is_abandoned(tree: &Tree, path: &Path) -> bool {
    let busy = matches!(lock_of(tree, path), Some(Err(LockError::Busy { .. })));
    !busy && !is_up(&ServiceDir::new(path))
}

/// The lock of the profile whose slot the leftover at `path` is, or lies in, if nobody has it now; `None`
/// if no slot says whose it is.
pub(crate) fn lock_of(tree: &Tree, path: &Path) -> Option<Result<Lock, LockError>> {
    let slot = path.ancestors().find(|path| path.parent() == Some(tree.scandir.path()))?;
    let name = fsutil::read_to_string(&slot.join("data/profile")).ok()?;
    let name: ProfileName = name.trim().parse().ok()?;
    Some(Lock::acquire(&tree.root.profile_lock(&name), Duration::ZERO))
}
