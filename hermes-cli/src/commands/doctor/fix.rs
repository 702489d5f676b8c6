//! `--fix`: mends what can be mended without stopping a gateway that runs, giving a file to anybody, or
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
use hermes_core::Kind;
use hermes_core::causes::in_one_line;
use hermes_s6::{S6Manager, mend};

use super::backend::me;
use super::report::Mended;
use crate::app::App;
use crate::commands::boot::describe;

/// Mends what it may, and answers what became of it.
pub(super) fn run(app: &App) -> Vec<Mended> {
    let mut mended = Vec::new();
    close_dotenv(app, &mut mended);
    remove_leftovers(app, &mut mended);
    if app.refuse_client().is_ok()
        && app.facts.backend() == Kind::S6
        && let Ok(manager) = app.s6()
    {
        mend_slots(&manager, &mut mended);
    }
    mended
}

fn close_dotenv(app: &App, mended: &mut Vec<Mended>) {
    for profile in app.store.list().map(|listing| listing.profiles).unwrap_or_default() {
        let path = profile.home.dotenv();
        // A link may lead to what is not a profile's.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let open = metadata.is_file() && metadata.mode() & 0o077 != 0;
        if open && metadata.uid() == me() {
            let done = fs::set_permissions(&path, Permissions::from_mode(0o600));
            let what = format!("chmod 600 {}", path.display());
            mended.push(Mended { what, error: done.err().map(|error| error.to_string()) });
        }
    }
}

fn remove_leftovers(app: &App, mended: &mut Vec<Mended>) {
    let Ok(left) = app.store.leftovers() else { return };
    if left.is_empty() {
        return;
    }
    let cleared = app.store.remove_leftovers();
    let error_at = |path: &Path| match &cleared {
        Ok(cleared) => {
            let failed = cleared.failed.iter().find(|(failed, _)| failed == path);
            failed.map(|(_, error)| in_one_line(error))
        }
        Err(error) => Some(in_one_line(error)),
    };
    mended.extend(
        left.iter().map(|path| Mended {
            what: format!("clear {}", path.display()),
            error: error_at(path),
        }),
    );
}

/// Where there is no tree, or another home's, the checks say so.
fn mend_slots(manager: &S6Manager, mended: &mut Vec<Mended>) {
    let Ok(outcomes) = mend::harmless(manager) else { return };
    mended.extend(
        outcomes
            .into_iter()
            .map(|outcome| Mended { what: describe(&outcome.action), error: outcome.error }),
    );
    for (name, error) in mend::renew(manager).unwrap_or_default() {
        mended.push(Mended { what: format!("renew the slot of {name}"), error });
    }
}
