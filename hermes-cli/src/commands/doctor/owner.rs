//! Who runs the gateways of this home, and that it is one tree alone.

use hermes_core::home::env;
use hermes_s6::owner::{self, Owner};

use super::report::{Check, Mend};
use super::scene::Scene;
use crate::error::CliError;

pub(super) fn checks(scene: &Scene<'_>) -> Vec<Check> {
    let home = scene.app.root().path().display();
    let check = Check::new("owner");
    let owner = match owner::owner(scene.app.root()) {
        Ok(owner) => owner,
        Err(error) => return vec![Check::unknown("owner", CliError::of(error).in_one_line())],
    };
    if let Err(error) = scene.app.refuse_client() {
        return vec![client(check, owner, &error)];
    }
    let other = |owner: &Owner| match &scene.tree {
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
            let mut check = check.saw("two trees run gateways of this home");
            let problem = format!("the gateways of `{home}` are run by {owner}, besides this tree");
            let mend = format!("end one of the two, or set {}={}", env::ROLE, env::ROLE_CLIENT);
            check.error(problem, Mend::Do(mend));
            check
        }
        Some(owner) => check.saw(owner.to_string()),
        None => {
            let seen = format!(
                "nobody has locked `{home}`; a tree of `hermes up` does for as long as it lives"
            );
            check.saw(seen).told()
        }
    }]
}

fn client(check: Check, owner: Option<Owner>, refused: &CliError) -> Check {
    let seen = refused.to_string();
    match owner {
        Some(owner) => check.saw(format!("{seen}; the owner is {owner}")).told(),
        None => {
            let mut check = check.saw(seen);
            let mend = Mend::Do("start the tree that is to run them".to_owned());
            check.warning("nobody runs the gateways of this home now", mend);
            check
        }
    }
}
