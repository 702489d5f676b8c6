//! Checks that only one tree runs the gateways of this home.

use hermes_core::diagnostics::{Check, Remedy, Snapshot};
use hermes_core::error_chain::in_one_line;
use hermes_core::home::env;
use hermes_core::process_lock::Holder;

use crate::tree::Tree;
use crate::tree::owner::{self, Owner};

/// `svscan` is that of the tree here, if it is this home's.
pub(super) fn check(tree: &Tree, snapshot: &Snapshot, svscan: Option<Holder>) -> Check {
    let home = snapshot.root.path().display();
    let check = Check::new("owner");
    let owner = match owner::owner(&snapshot.root) {
        Ok(owner) => owner,
        Err(error) => return Check::unknown("owner", in_one_line(&error)),
    };
    if let Some(why) = &snapshot.client {
        return client(check, owner, why);
    }
    // If another user runs s6-svscan, `up --adopt` holds the lock for the scan directory.
    let is_other = |owner: &Owner| {
        svscan.is_some_and(|svscan| svscan.pid.is_some() && owner.svscan.pid != svscan.pid)
            && !owner.runs(tree)
    };
    match owner {
        Some(owner) if is_other(&owner) => {
            let mut check = check.with_evidence("two trees run gateways of this home");
            let problem = format!("the gateways of `{home}` are run by {owner}, besides this tree");
            let remedy = format!("end one of the two, or set {}={}", env::ROLE, env::ROLE_CLIENT);
            check.error(problem, Remedy::Do(remedy));
            check
        }
        Some(owner) => check.with_evidence(owner.to_string()),
        None => {
            let seen = format!(
                "nobody has locked `{home}`; a tree of `hermes up` does for as long as it lives"
            );
            check.with_evidence(seen).as_info()
        }
    }
}

fn client(check: Check, owner: Option<Owner>, why: &str) -> Check {
    match owner {
        Some(owner) => check.with_evidence(format!("{why}; the owner is {owner}")).as_info(),
        None => {
            let mut check = check.with_evidence(why);
            let remedy = Remedy::Do("start the tree that is to run them".to_owned());
            check.warning("nobody runs the gateways of this home now", remedy);
            check
        }
    }
}
