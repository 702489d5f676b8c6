//! The repairs that stop no running gateway, change no owner and delete no file of a profile.
//!
//! It closes homes of this user that other users may write to and `.env` files that they may open, removes leftovers of interrupted commands, files of
//! gateways that no longer exist and unused services, creates missing services, starts wanted gateways that are down
//! and not parked, and updates outdated services of gateways that are down on purpose.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use crate::diagnostics::me;
use crate::error_chain::in_one_line;
use crate::store::Store;
use crate::supervisor::Supervisor;
use crate::writers::{self, OpenDirectory};

/// A repair, done or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// The repair.
    pub what: String,
    /// The error; `None` on success.
    pub error: Option<String>,
}

/// Makes the repairs and returns the outcome of each. A second call changes nothing and returns nothing. If the
/// supervisor can't be reached, only the homes are repaired. Blocks until each gateway that it starts was observed to come up or fail.
pub fn repair(supervisor: &Supervisor) -> Vec<Repaired> {
    let mut repaired = close_homes(supervisor.store());
    repaired.extend(close_dotenv(supervisor.store()));
    repaired.extend(remove_leftovers(supervisor.store()));
    repaired.extend(repair_services(supervisor));
    repaired
}

/// Another user's directory, and what a link leads to, is only reported.
fn close_homes(store: &Store) -> Vec<Repaired> {
    if store.allows_open_homes() {
        return Vec::new();
    }
    let profiles = store.list().map(|listing| listing.profiles).unwrap_or_default();
    let homes = writers::homes(store.root(), profiles.iter().map(|profile| &profile.home));
    let open = homes.iter().filter_map(|path| writers::open_directory(path));
    let ours = open.filter(|open| open.owner.is_none() && !open.path.is_symlink());
    let close = |open: OpenDirectory| Repaired {
        what: open.remedy(),
        error: writers::close_directory(&open.path).err().map(|error| error.to_string()),
    };
    ours.map(close).collect()
}

fn close_dotenv(store: &Store) -> Vec<Repaired> {
    let mut repaired = Vec::new();
    for profile in store.list().map(|listing| listing.profiles).unwrap_or_default() {
        let path = profile.home.dotenv();
        // A link may lead out of the profile.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let open = metadata.is_file() && metadata.mode() & 0o077 != 0;
        if open && metadata.uid() == me() {
            let done = fs::set_permissions(&path, Permissions::from_mode(0o600));
            let what = format!("chmod 600 {}", path.display());
            repaired.push(Repaired { what, error: done.err().map(|error| error.to_string()) });
        }
    }
    repaired
}

fn remove_leftovers(store: &Store) -> Vec<Repaired> {
    let left = store.leftovers().unwrap_or_default();
    if left.is_empty() {
        return Vec::new();
    }
    let cleared = store.remove_leftovers();
    let error_at = |path: &Path| match &cleared {
        Ok(cleared) => {
            let failed = cleared.failed.iter().find(|(failed, _)| failed == path);
            failed.map(|(_, error)| in_one_line(error))
        }
        Err(error) => Some(in_one_line(error)),
    };
    let repaired =
        |path: &Path| Repaired { what: format!("clear {}", path.display()), error: error_at(path) };
    left.iter().map(|path| repaired(path)).collect()
}

/// The checks report a missing tree, and the tree of another home.
fn repair_services(supervisor: &Supervisor) -> Vec<Repaired> {
    let Ok(outcomes) = supervisor.repair_online() else { return Vec::new() };
    let mut repaired: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| Repaired { what: outcome.action.to_string(), error: outcome.error })
        .collect();
    for (name, error) in supervisor.renew_idle().unwrap_or_default() {
        repaired.push(Repaired { what: format!("renew the slot of {name}"), error });
    }
    repaired
}
