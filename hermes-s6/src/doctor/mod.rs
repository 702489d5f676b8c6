//! The checks of s6: its programs, the tree and its owner, its limits, and the slots.
//!
//! | file | its checks |
//! |---|---|
//! | `svscan` | the s6 programs, s6-svscan, its permissions, its home |
//! | `owner` | that only one tree runs the gateways of the home |
//! | `limits`, `pids` | room in the scan directory, descriptors, processes |
//! | `budgets` | that every stop has the time it needs |
//! | `gateways` | strays, loggers without their log directory, processes that outlived their gateway |
//! | `slots` | missing, unused and outdated slots |
//! | `suspended` | processes that SIGSTOP has suspended |

mod budgets;
mod gateways;
mod limits;
mod owner;
mod pids;
pub(crate) mod resources;
mod slots;
mod suspended;
mod svscan;

use std::path::PathBuf;

use hermes_core::diagnostics::{Check, Examination, Room, ServiceDirectory, Services, Snapshot};
use hermes_core::home::env;
use hermes_core::parallel;
use hermes_core::process_lock::Holder;

use crate::tree::Tree;

const MIB: u64 = 1 << 20;
/// A slot has some 30 entries, each up to a block: the needed room is for the next slot, the wanted room for a
/// few dozen.
const SCANDIR: Room = Room { needed: MIB / 2, wanted: 8 * MIB };

/// The tree: the s6-svscan that runs this home's gateways, and the slots.
#[derive(Debug, Clone, Copy)]
struct View<'a> {
    tree: &'a Tree,
    snapshot: &'a Snapshot,
    svscan: Holder,
    services: &'a Services,
}

/// The checks of one file: their names, and the function that makes them if there is a tree.
type Group = (&'static [&'static str], fn(View<'_>) -> Vec<Check>);

/// Makes all checks of `tree`. Changes nothing, does not wait.
pub(crate) fn examine(tree: &Tree, snapshot: &Snapshot) -> Examination {
    let tree = &Tree { proc: tree.proc.at_one_moment(), ..tree.clone() };
    let view = &View::of(tree, snapshot);
    let group = |(names, checks): Group| match view {
        Ok(view) => checks(*view),
        Err(why) => names.iter().map(|name| Check::unknown(name, why)).collect(),
    };
    let mut backend = svscan::checks(tree, snapshot);
    backend.push(owner::check(tree, snapshot, view.as_ref().ok().map(|view| view.svscan)));
    backend.extend(group((&limits::CHECKS, limits::checks)));
    backend.extend(group((&["pids"], |view| vec![pids::check(view)])));
    let services: Vec<Box<dyn Fn() -> Vec<Check> + Send + '_>> = vec![
        Box::new(|| group((&["stop-budget"], |view| vec![budgets::slots(view)]))),
        Box::new(|| vec![budgets::container(tree, snapshot)]),
        Box::new(|| group((&gateways::CHECKS, gateways::checks))),
        Box::new(|| group((&["suspended"], |view| vec![suspended::check(view)]))),
        Box::new(|| group((&slots::CHECKS, slots::checks))),
    ];
    let services = parallel::side_by_side(services, snapshot.gateways.len());
    let services = services.into_iter().flatten().collect();
    let svscan = tree.scandir.svscan().ok().flatten();
    let variable = |name: &str| {
        view.as_ref()
            .ok()
            .and_then(|view| tree.variable(view.svscan, name))
            .filter(|it| !it.is_empty())
    };
    let examination = Examination {
        backend,
        services,
        path: variable("PATH"),
        agent: variable(env::AGENT),
        user_home: variable("HOME").map(PathBuf::from),
        directory: Some(ServiceDirectory { path: tree.scandir.path().to_owned(), room: SCANDIR }),
        ..Examination::default()
    };
    match svscan.and_then(|svscan| tree.capacity(svscan).ok()) {
        Some(capacity) => examination.with_capacity(&capacity),
        None => examination,
    }
}

impl<'a> View<'a> {
    /// The tree of the home, or why there is none.
    fn of(tree: &'a Tree, snapshot: &'a Snapshot) -> Result<Self, String> {
        let services = snapshot.services.as_ref().map_err(Clone::clone)?;
        let svscan = tree.require_svscan().map_err(|error| error.to_string())?;
        Ok(Self { tree, snapshot, svscan, services })
    }

    /// How many profiles have no slot yet.
    fn missing(&self) -> u64 {
        let statuses = self.services.statuses.values();
        statuses.filter(|status| status.as_ref().is_ok_and(|status| !status.registered)).count()
            as u64
    }
}
