//! Repairs what can be repaired without stopping a gateway that runs, giving a file to anybody, or taking a
//! profile's own away.
//!
//! That is: `.env` files of this user that others may open; what interrupted commands left; files of
//! gateways that are no more; services that nobody uses, and those that are missing; gateways that are
//! wanted and down, unless they are parked; outdated services of gateways that are down and meant to be.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use crate::diagnostics::me;
use crate::error_chain::in_one_line;
use crate::store::Store;
use crate::supervisor::Supervisor;

/// What was repaired, or was to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// What was done.
    pub what: String,
    /// Why it failed; `None` if it did not.
    pub error: Option<String>,
}

/// Repairs what it may and returns what became of each step. What is as it should be is not touched, so a
/// second call changes nothing and returns nothing. Where the supervisor can't be reached only the homes
/// are repaired. Blocks until each gateway that it starts was observed to come up or fail.
pub fn repair(supervisor: &Supervisor) -> Vec<Repaired> {
    let mut repaired = close_dotenv(supervisor.store());
    repaired.extend(remove_leftovers(supervisor.store()));
    repaired.extend(repair_services(supervisor));
    repaired
}

fn close_dotenv(store: &Store) -> Vec<Repaired> {
    let mut repaired = Vec::new();
    for profile in store.list().map(|listing| listing.profiles).unwrap_or_default() {
        let path = profile.home.dotenv();
        // A link may lead to what is not a profile's.
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

/// Where there is no tree, or another home's, the checks report it.
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
