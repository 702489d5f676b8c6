//! Checks for entries that are in the place of Hermes's own files, or of this user's and closed to it. Other
//! checks report those of another user.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::Access;

use crate::diagnostics::{
    Check, Expected, Remedy, Snapshot, is_accessible, is_expected, me, permit, several,
};
use crate::events::Journal;
use crate::gateway::Gateway;
use crate::shell::quote_path;

pub(super) fn check(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("obstacles");
    let mut seen = 0;
    for gateway in &snapshot.gateways {
        for (path, expected) in places(snapshot, gateway) {
            seen += 1;
            if let Some(problem) = problem_at(&path, expected) {
                check.error(problem, permit(&snapshot.root, &path, expected));
            }
        }
    }
    for path in Journal::new(&snapshot.root).files() {
        seen += 1;
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let (problem, path) =
                (format!("`{}` is not a regular file", path.display()), quote_path(&path));
            let remedy = Remedy::Run(format!("mv -T -- {path} {path}.old"));
            check.error(format!("events are not recorded or not read: {problem}"), remedy);
        } else if let Some(problem) = problem_at(&path, Expected::File) {
            check.error(problem, permit(&snapshot.root, &path, Expected::File));
        }
    }
    // What is not a directory and no lock gives way to a lock.
    for lock in fs::read_dir(snapshot.root.locks()).into_iter().flatten().flatten() {
        let path = lock.path();
        let Ok(metadata) = path.symlink_metadata() else { continue };
        seen += 1;
        if metadata.is_dir() || metadata.is_file() && !is_accessible(&path, Access::WRITE_OK) {
            let problem = format!("`{}` is no lock that this user can take", path.display());
            let quoted = quote_path(&path);
            let remove = match metadata.is_dir() {
                true => format!("chmod -R u+rwX {quoted}; rm -rf -- {quoted}"),
                false => format!("rm -f -- {quoted}"),
            };
            let foreign = metadata.is_dir() && metadata.uid() != me();
            check.error(problem, if foreign { Remedy::Root(remove) } else { Remedy::Run(remove) });
        }
    }
    check.with_evidence(several(seen, "place"))
}

fn places(snapshot: &Snapshot, gateway: &Gateway) -> [(PathBuf, Expected); 5] {
    let home = gateway.home();
    [
        (home.gateway_lock(), Expected::File),
        (home.fault(), Expected::File),
        (home.health(), Expected::File),
        (home.readiness(), Expected::File),
        (snapshot.root.gateway_logs(gateway.name()), Expected::Directory),
    ]
}

fn problem_at(path: &Path, expected: Expected) -> Option<String> {
    let metadata = path.symlink_metadata().ok()?;
    let shown = path.display();
    if !is_expected(path, expected) {
        return Some(format!("`{shown}` is not a {expected}"));
    }
    let needed = match expected {
        Expected::File => Access::READ_OK | Access::WRITE_OK,
        Expected::Directory => Access::WRITE_OK | Access::EXEC_OK,
    };
    let closed = metadata.uid() == me() && !is_accessible(path, needed);
    closed.then(|| format!("`{shown}` is closed to this user"))
}
