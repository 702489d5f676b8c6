//! Checks the owners of the homes' files.
//!
//! Usually a command that root ran has left files that the owner of the home may not change. Only the homes, their
//! entries and the logs are checked; deeper files are the agent's.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::Access;

use crate::diagnostics::{
    Check, Expected, Remedy, Severity, Snapshot, chown, is_accessible, owner, permit, several,
};
use crate::shell::quote_path;

/// How many files are named in a finding, and in the command that repairs it.
const NAMED: usize = 4;

/// The foreign files that were found.
#[derive(Default)]
struct Files {
    seen: usize,
    foreign: Vec<(PathBuf, u32)>,
    unreadable: Vec<PathBuf>,
}

pub(super) fn check(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("ownership");
    let Some((uid, _)) = owner(&snapshot.root) else {
        return Check::unknown("ownership", "the owner of the home can't be read");
    };
    let mut seen = 0;
    for gateway in &snapshot.gateways {
        let (name, home) = (gateway.name(), gateway.home().path());
        let mut files = Files::default();
        // Another check reports a foreign root home.
        if !name.is_default() || fs::metadata(home).is_ok_and(|metadata| metadata.uid() == uid) {
            files.look(home, uid, 1);
        }
        files.look(&gateway.home().logs(), uid, if name.is_default() { 3 } else { 2 });
        if name.is_default() {
            files.look(&snapshot.root.locks(), uid, 1);
        }
        files.foreign.dedup_by(|a, b| a.0 == b.0);
        seen += files.seen;
        report(snapshot, &mut check, name.as_str(), home, &files);
    }
    check.with_evidence(format!("{} checked, for uid {uid}", several(seen, "file")))
}

fn report(snapshot: &Snapshot, check: &mut Check, name: &str, home: &Path, files: &Files) {
    for path in &files.unreadable {
        let problem = format!("`{}` of `{name}` can't be read by this user", path.display());
        check.error(problem, permit(&snapshot.root, path, Expected::Directory));
    }
    let paths: Vec<&Path> = files.foreign.iter().map(|(path, _)| path.as_path()).collect();
    if paths.is_empty() {
        return;
    }
    let named = files.foreign.iter().take(NAMED);
    let named: Vec<_> =
        named.map(|(path, uid)| format!("`{}` (uid {uid})", path.display())).collect();
    let more = paths.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let verb = if paths.len() == 1 { "belongs" } else { "belong" };
    let problem = format!(
        "{} of `{name}` {verb} to another user: {}{more}",
        several(paths.len(), "file"),
        named.join(", ")
    );
    let remedy = match (paths.len() <= NAMED, owner(&snapshot.root)) {
        (false, Some((uid, gid))) => {
            let which = format!("find {} -xdev ! -user {uid}", quote_path(home));
            // -execdir, so that root follows no directory that is replaced by a link in between.
            Remedy::Root(format!("{which} -execdir chown -h {uid}:{gid} {{}} +"))
        }
        _ => chown(&snapshot.root, &paths),
    };
    let works = paths.iter().all(|path| is_accessible(path, Access::READ_OK | Access::WRITE_OK));
    check.find(if works { Severity::Warning } else { Severity::Error }, problem, remedy);
}

impl Files {
    /// Checks `path`, and the files below it down to `depth`. An absent file is not an error.
    fn look(&mut self, path: &Path, uid: u32, depth: usize) {
        let Ok(metadata) = fs::symlink_metadata(path) else { return };
        self.seen += 1;
        if metadata.uid() != uid {
            self.foreign.push((path.to_owned(), metadata.uid()));
            return;
        }
        if depth == 0 || !metadata.is_dir() {
            return;
        }
        match fs::read_dir(path) {
            Ok(entries) => {
                let mut entries: Vec<_> =
                    entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
                entries.sort();
                entries.iter().for_each(|entry| self.look(entry, uid, depth - 1));
            }
            Err(_) => self.unreadable.push(path.to_owned()),
        }
    }
}
