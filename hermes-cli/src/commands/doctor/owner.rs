//! Who runs the gateways of this home, and that it is one tree alone.

use hermes_core::home::env;
use hermes_s6::tree::owner::{self, Owner};

use super::report::{Check, Remedy};
use super::snapshot::Snapshot;
use crate::error::CliError;

pub(super) fn checks(snapshot: &Snapshot<'_>) -> Vec<Check> {
    let home = snapshot.app.root().path().display();
    let check = Check::new("owner");
    let owner = match owner::owner(snapshot.app.root()) {
        Ok(owner) => owner,
        Err(error) => return vec![Check::unknown("owner", CliError::of(error).in_one_line())],
    };
    if let Err(error) = snapshot.app.hermes.refuse_client() {
        return vec![client(check, owner, &error.into())];
    }
    let other = |owner: &Owner| match &snapshot.tree {
        // Under somebody else's s6-svscan it is `up --adopt` that holds the lock for the scan directory.
        Ok(tree) => {
            tree.svscan.pid.is_some()
                && owner.svscan.pid != tree.svscan.pid
                && !owner.runs(tree.manager.tree().scandir.path())
        }
        Err(_) => false,
    };
    vec![match owner {
        Some(owner) if other(&owner) => {
            let mut check = check.evidence("two trees run gateways of this home");
            let problem = format!("the gateways of `{home}` are run by {owner}, besides this tree");
            let remedy = format!("end one of the two, or set {}={}", env::ROLE, env::ROLE_CLIENT);
            check.error(problem, Remedy::Do(remedy));
            check
        }
        Some(owner) => check.evidence(owner.to_string()),
        None => {
            let seen = format!(
                "nobody has locked `{home}`; a tree of `hermes up` does for as long as it lives"
            );
            check.evidence(seen).info()
        }
    }]
}

fn client(check: Check, owner: Option<Owner>, refused: &CliError) -> Check {
    let seen = refused.to_string();
    match owner {
        Some(owner) => check.evidence(format!("{seen}; the owner is {owner}")).info(),
        None => {
            let mut check = check.evidence(seen);
            let remedy = Remedy::Do("start the tree that is to run them".to_owned());
            check.warning("nobody runs the gateways of this home now", remedy);
            check
        }
    }
}
