//! Giving a profile another name together with its slot: all of it, or none.
//!
//! The steps are every backend's ([`hermes_core::reseat`]). After a crash boot settles the files
//! (`settle`), and then finds nothing but a profile without slot and perhaps a slot without profile,
//! which it mends as ever.

use std::time::Duration;

use hermes_core::backend::RenameError;
use hermes_core::error_chain::in_one_line;
use hermes_core::manager::ManagerError;
use hermes_core::reseat::{Before, Reseat, reseat};
use hermes_core::status::{State, Status};
use hermes_core::store::{Interrupted, Profile, Settled, StoreError};
use hermes_core::{Intent, ProfileName, RegisterOptions, Store};

use crate::boot::Outcome;
use crate::error::{corrupt, failed, refused};
use crate::manager::S6Manager;
use crate::reconcile::Action;

impl S6Manager {
    /// Renames a profile: stops and unregisters its gateway, moves home, logs and sticky choice,
    /// registers it under the new name and starts what ran. All or nothing: on failure everything is
    /// undone, and a gateway that ran runs again. Also undone if a gateway that was up does not come
    /// up under the new name; one that was wanted and not up is not waited for. Blocks until all that
    /// was seen. Not idempotent. ProfileSelector names are refused, [`Store::begin_rename`] says.
    pub fn rename(&self, from: &ProfileName, to: &ProfileName) -> Result<Status, RenameError> {
        let operation = format!("rename profile `{from}` to `{to}`");
        let tree = self.tree();
        tree.require_short_name(&operation, to)?;
        let svscan = tree.require_svscan(&operation)?;
        tree.require_same_home(&operation, svscan)?;
        let renaming = self.store().begin_rename(from, to, tree.timeouts.lock)?;
        if tree.scandir.slot(to).path().symlink_metadata().is_ok() {
            let why = format!("a service of `{to}` is there already, and belongs to no profile");
            return Err(
                refused(&operation, why, Some("`hermes boot` removes it".to_owned())).into()
            );
        }
        let [old, new] = [from, to].map(|name| self.profile_called(name));
        let intent = Intent::read(&old.home).map_err(|error| corrupt(&operation, error))?;
        let before = self.status_of(&old).map_err(|error| failed(&operation, error))?;
        let port = self.claim_port(&operation, &old);
        let (before, _port) =
            Before::new(before.registered, intent, before.state == State::Up, port)?;
        reseat(self, &operation, &renaming, (&old, &new), before)?;
        Ok(self.status_of(&new).map_err(|error| failed(&operation, error))?)
    }

    fn profile_called(&self, name: &ProfileName) -> Profile {
        Profile { name: name.clone(), home: self.store().root().profile(name) }
    }
}

impl Reseat for S6Manager {
    fn take_away(&self, profile: &ProfileName) -> Result<(), ManagerError> {
        self.unregister_locked(profile)
    }

    fn make(&self, profile: &Profile, up: bool) -> Result<(), ManagerError> {
        self.register_locked(profile, &RegisterOptions::default(), up)
    }

    fn has(&self, profile: &ProfileName) -> bool {
        self.tree().scandir.slot(profile).path().symlink_metadata().is_ok()
    }

    fn start(&self, profile: &Profile) -> Result<(), ManagerError> {
        self.start_locked(profile)
    }
}

/// Brings to an end what crashes left of renames, and says so, a journal that makes no sense
/// included. A rename that goes on is left alone.
pub(crate) fn settle(store: &Store) -> Result<Vec<Outcome>, StoreError> {
    let mut outcomes = Vec::new();
    for Interrupted { path, names } in store.interrupted_renames()? {
        let (from, to) = match names {
            Ok(names) => names,
            Err(reason) => {
                outcomes.push(outcome(store, skip(&path, &reason), None));
                continue;
            }
        };
        match store.settle_rename(&from, &to, Duration::ZERO) {
            Ok(None) | Err(StoreError::Busy(_)) => {}
            Ok(Some(Settled::Finished { left })) => {
                let left = left.map_or_else(String::new, |left| {
                    format!("; its older logs stay in `{}`", left.display())
                });
                outcomes.push(outcome(store, finish(&from, &to, &left), None));
            }
            Ok(Some(Settled::Undone)) => outcomes.push(outcome(store, undo(&from, &to), None)),
            Err(error) => {
                let action = outlook(store, &from, &to);
                outcomes.push(outcome(store, action, Some(in_one_line(&error))));
            }
        }
    }
    Ok(outcomes)
}

/// What [`settle`] would do now. Changes nothing.
pub(crate) fn plan(store: &Store) -> Result<Vec<Action>, StoreError> {
    let action = |Interrupted { path, names }| match names {
        Ok((from, to)) => outlook(store, &from, &to),
        Err(reason) => skip(&path, &reason),
    };
    Ok(store.interrupted_renames()?.into_iter().map(action).collect())
}

fn outlook(store: &Store, from: &ProfileName, to: &ProfileName) -> Action {
    match store.root().profile(from).path().exists() {
        true => undo(from, to),
        false => finish(from, to, ""),
    }
}

fn finish(from: &ProfileName, to: &ProfileName, more: &str) -> Action {
    Action::FinishRename { profile: to.clone(), detail: format!("it was `{from}`{more}") }
}

fn undo(from: &ProfileName, to: &ProfileName) -> Action {
    Action::UndoRename { profile: from.clone(), detail: format!("it was to be `{to}`") }
}

fn skip(journal: &std::path::Path, reason: &str) -> Action {
    let detail = format!("no journal of a rename: {reason}");
    Action::Skip { what: journal.display().to_string(), detail }
}

fn outcome(store: &Store, action: Action, error: Option<String>) -> Outcome {
    let home = crate::boot::profile_of(&action).map(|profile| store.root().profile(profile));
    let prior = home.and_then(|home| Intent::read(&home).ok());
    Outcome { action, prior, error }
}
