//! `--fix`: mends what can be repaired without stopping a gateway that runs, giving a file to anybody, or
//! taking a profile's own away.
//!
//! That is: `.env` files of this user that others may open; what interrupted commands left; files of
//! gateways that are no more; slots that nobody uses, and those that are missing; gateways that are
//! wanted and down, unless they are parked; outdated slots of gateways that are down and meant to be.
//! What is as it should be is not touched, so a second time changes nothing.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use fs_err as fs;
use hermes_core::Supervisor;
use hermes_core::error_chain::in_one_line;

use super::backend::me;
use super::report::Repaired;
use crate::app::App;

/// Mends what it may, and answers what became of it.
pub(super) fn run(app: &App) -> Vec<Repaired> {
    let mut repaired = Vec::new();
    close_dotenv(app, &mut repaired);
    remove_leftovers(app, &mut repaired);
    if let Ok(supervisor) = app.supervisor() {
        repair_services(&supervisor, &mut repaired);
    }
    repaired
}

fn close_dotenv(app: &App, repaired: &mut Vec<Repaired>) {
    for profile in app.store().list().map(|listing| listing.profiles).unwrap_or_default() {
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
}

fn remove_leftovers(app: &App, repaired: &mut Vec<Repaired>) {
    let Ok(left) = app.store().leftovers() else { return };
    if left.is_empty() {
        return;
    }
    let cleared = app.store().remove_leftovers();
    let error_at = |path: &Path| match &cleared {
        Ok(cleared) => {
            let failed = cleared.failed.iter().find(|(failed, _)| failed == path);
            failed.map(|(_, error)| in_one_line(error))
        }
        Err(error) => Some(in_one_line(error)),
    };
    repaired.extend(
        left.iter().map(|path| Repaired {
            what: format!("clear {}", path.display()),
            error: error_at(path),
        }),
    );
}

/// Where there is no tree, or another home's, the checks say so.
fn repair_services(supervisor: &Supervisor, repaired: &mut Vec<Repaired>) {
    let Ok(outcomes) = supervisor.repair_online() else { return };
    repaired.extend(
        outcomes
            .into_iter()
            .map(|outcome| Repaired { what: outcome.action.to_string(), error: outcome.error }),
    );
    for (name, error) in supervisor.renew_idle().unwrap_or_default() {
        repaired.push(Repaired { what: format!("renew the slot of {name}"), error });
    }
}
