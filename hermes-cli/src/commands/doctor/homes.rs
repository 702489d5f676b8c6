//! The root home and the profiles' homes: there, this user's own, closed where they hold secrets.
//!
//! What a command left that was run as root is the usual fault: files that their owner may not touch.
//! Looked at are the homes with their entries, and the logs; what is deeper is the agent's own.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use hermes_core::shell::quote_path;
use rustix::fs::Access;

use super::backend::me;
use super::report::{Check, Remedy, several};
use super::snapshot::Snapshot;
use crate::error::CliError;
use crate::output::Severity;

/// How many files are named in a finding, and in the command that mends it.
const NAMED: usize = 4;

pub(super) fn checks(snapshot: &Snapshot<'_>) -> Vec<Check> {
    vec![
        home(snapshot),
        profiles(snapshot),
        ownership(snapshot),
        dotenv(snapshot),
        active_profile(snapshot),
        boot_log(snapshot),
    ]
}

fn home(snapshot: &Snapshot<'_>) -> Check {
    let home = snapshot.app.root().path();
    let shown = home.display();
    let mut check = Check::new("home");
    let metadata = match fs::metadata(home) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            check.error(
                format!("the home `{shown}` is no directory"),
                Remedy::Do("HERMES_HOME names another place".to_owned()),
            );
            return check.evidence(format!("`{shown}` is a file"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let remedy = Remedy::Run(format!("mkdir -p {}", quoted(home)));
            check.error(format!("the home `{shown}` does not exist"), remedy);
            return check.evidence(format!("`{shown}` is not there"));
        }
        Err(error) => {
            let remedy = Remedy::Do("run it as the user who owns the home".to_owned());
            check.error(format!("the home can't be reached: {error}"), remedy);
            return check.evidence(format!("`{shown}` can't be reached"));
        }
    };
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let writable = may(home, Access::WRITE_OK | Access::EXEC_OK);
    // Root may write anywhere, and drops to the home's owner.
    if me() != 0 && uid != me() {
        let severity = if writable { Severity::Warning } else { Severity::Error };
        let problem = format!("the home `{shown}` belongs to uid {uid}, and this user is {}", me());
        check.find(severity, problem, chown(snapshot, &[home]));
    } else if !writable {
        let problem = format!("the home `{shown}` is not writable for this user (mode {mode:o})");
        check.error(problem, Remedy::Run(format!("chmod u+rwx {}", quoted(home))));
    }
    check.evidence(format!("`{shown}` is of uid {uid}, mode {mode:o}"))
}

fn profiles(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("profiles");
    if let Some(why) = &snapshot.unlisted {
        check.error(why.clone(), permit(snapshot, &snapshot.app.root().profiles()));
    }
    for skipped in &snapshot.skipped {
        let problem = format!("`{}` is no profile: {}", skipped.path.display(), skipped.reason);
        if skipped.path.join("SOUL.md").try_exists().is_err() {
            check.error(problem, permit(snapshot, &skipped.path));
        } else {
            let remedy = "rename the directory, or take its SOUL.md away";
            check.warning(problem, Remedy::Do(remedy.to_owned()));
        }
    }
    let skipped = match snapshot.skipped.len() {
        0 => String::new(),
        many => format!(", {many} passed over"),
    };
    check.evidence(format!("{}{skipped}", several(snapshot.profiles.len(), "profile")))
}

/// What a look at the files of a home has found.
#[derive(Default)]
struct Files {
    seen: usize,
    foreign: Vec<(PathBuf, u32)>,
    unreadable: Vec<PathBuf>,
}

fn ownership(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("ownership");
    let Some((uid, _)) = owner(snapshot) else {
        return Check::unknown("ownership", "the home has no owner that can be seen");
    };
    let mut seen = 0;
    for profile in &snapshot.profiles {
        let (name, home) = (&profile.profile.name, profile.profile.home.path());
        let mut files = Files::default();
        // A foreign root home is told by its own check.
        if !name.is_default() || fs::metadata(home).is_ok_and(|metadata| metadata.uid() == uid) {
            files.look(home, uid, 1);
        }
        files.look(&profile.profile.home.logs(), uid, if name.is_default() { 3 } else { 2 });
        if name.is_default() {
            files.look(&snapshot.app.root().locks(), uid, 1);
        }
        files.foreign.dedup_by(|a, b| a.0 == b.0);
        seen += files.seen;
        report(snapshot, &mut check, name.as_str(), home, &files);
    }
    check.evidence(format!("{} looked at, for uid {uid}", several(seen, "file")))
}

fn report(snapshot: &Snapshot<'_>, check: &mut Check, name: &str, home: &Path, files: &Files) {
    for path in &files.unreadable {
        let problem = format!("`{}` of `{name}` can't be read by this user", path.display());
        check.error(problem, permit(snapshot, path));
    }
    let paths: Vec<&Path> = files.foreign.iter().map(|(path, _)| path.as_path()).collect();
    if paths.is_empty() {
        return;
    }
    let told = files.foreign.iter().take(NAMED);
    let told: Vec<_> =
        told.map(|(path, uid)| format!("`{}` (uid {uid})", path.display())).collect();
    let more = paths.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let verb = if paths.len() == 1 { "belongs" } else { "belong" };
    let problem = format!(
        "{} of `{name}` {verb} to another user: {}{more}",
        several(paths.len(), "file"),
        told.join(", ")
    );
    let remedy = match (paths.len() <= NAMED, owner(snapshot)) {
        (false, Some((uid, gid))) => {
            let home = quoted(home);
            let which = format!("find {home} -xdev ! -user {uid}");
            // -execdir: root follows no name in a directory that may be swapped for a link meanwhile.
            Remedy::Root(format!("{which} -execdir chown -h {uid}:{gid} {{}} +"))
        }
        _ => chown(snapshot, &paths),
    };
    let works = paths.iter().all(|path| may(path, Access::READ_OK | Access::WRITE_OK));
    check.find(if works { Severity::Warning } else { Severity::Error }, problem, remedy);
}

impl Files {
    /// Looks at `path`, and at what is below it as deep as `depth`. A name that is gone meanwhile, or
    /// never was, is nobody's fault.
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

fn dotenv(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("dotenv");
    let mut seen = 0;
    for profile in &snapshot.profiles {
        let path = profile.profile.home.dotenv();
        let Ok(metadata) = fs::metadata(&path) else { continue };
        seen += 1;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            let problem = format!("others may open `{}` (mode {mode:03o})", path.display());
            let command = format!("chmod 600 {}", quoted(&path));
            let mine = metadata.uid() == me();
            check.warning(problem, if mine { Remedy::Run(command) } else { Remedy::Root(command) });
        }
    }
    check.evidence(several(seen, ".env file"))
}

fn active_profile(snapshot: &Snapshot<'_>) -> Check {
    let mut check = Check::new("active-profile");
    let undo = snapshot.run("profile use default");
    let name = match snapshot.app.store().active() {
        Ok(Some(name)) => name,
        Ok(None) => return check.evidence("none is chosen"),
        Err(error) => {
            check.error(CliError::of(error).in_one_line(), undo);
            return check.evidence("the choice can't be read");
        }
    };
    match snapshot.app.store().find(&name) {
        Ok(None) => {
            let path = snapshot.app.root().active_profile();
            let problem = format!("`{}` chooses `{name}`, which is no more", path.display());
            check.error(problem, undo);
        }
        Ok(Some(_)) => {}
        Err(error) => check.partial(CliError::of(error).in_one_line()),
    }
    check.evidence(format!("`{name}` is chosen"))
}

fn boot_log(snapshot: &Snapshot<'_>) -> Check {
    let path = snapshot.app.root().boot_log();
    let mut check = Check::new("boot-log");
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok());
    let Some(there) = there.filter(|there| there.starts_with(snapshot.app.root().path())) else {
        return Check::unknown("boot-log", "there is no home to hold it");
    };
    let shown = path.display();
    if there == path && path.is_dir() {
        let remedy = Remedy::Run(format!("rmdir {}", quoted(&path)));
        check.warning(format!("a boot can't be logged: `{shown}` is a directory"), remedy);
    } else if !may(there, Access::WRITE_OK) {
        let there_shown = there.display();
        let problem = format!("a boot can't be logged: `{there_shown}` is not writable");
        check.warning(problem, permit(snapshot, there));
    }
    check.evidence(format!("`{shown}`{}", if there == path { "" } else { ", not there yet" }))
}

/// ProfileLabel the home's files are to be: this user's; for root, its owner's.
fn owner(snapshot: &Snapshot<'_>) -> Option<(u32, u32)> {
    if me() != 0 {
        return Some((me(), rustix::process::getegid().as_raw()));
    }
    let metadata = fs::metadata(snapshot.app.root().path()).ok()?;
    Some((metadata.uid(), metadata.gid()))
}

fn chown(snapshot: &Snapshot<'_>, paths: &[&Path]) -> Remedy {
    let Some((uid, gid)) = owner(snapshot) else {
        return Remedy::Do("give it to the user of the gateways with chown".to_owned());
    };
    let paths: Vec<_> = paths.iter().map(|path| quoted(path)).collect();
    Remedy::Root(format!("chown -hR {uid}:{gid} {}", paths.join(" ")))
}

/// What lets this user read and write `path`.
pub(super) fn permit(snapshot: &Snapshot<'_>, path: &Path) -> Remedy {
    let uid = fs::symlink_metadata(path).map(|metadata| metadata.uid()).ok();
    match (uid, owner(snapshot)) {
        (Some(uid), Some((mine, _))) if uid != mine => chown(snapshot, &[path]),
        _ => Remedy::Run(format!("chmod u+rwX {}", quoted(path))),
    }
}

fn may(path: &Path, access: Access) -> bool {
    rustix::fs::access(path, access).is_ok()
}

pub(super) fn quoted(path: &Path) -> String {
    quote_path(path)
}
