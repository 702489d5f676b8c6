//! Checks that the root home and the profiles' homes exist, are writable, and keep their secrets closed.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use fs_err as fs;
use rustix::fs::Access;

use super::ownership;
use crate::diagnostics::{
    Check, Expected, Remedy, Severity, Snapshot, chown, is_accessible, me, permit, several,
};
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;
use crate::home::env;
use crate::shell::quote_path;
use crate::store::Store;
use crate::writers;

pub(super) fn checks(store: &Store, snapshot: &Snapshot) -> Vec<Check> {
    vec![
        home(snapshot),
        profiles(snapshot),
        writers(store, snapshot),
        ownership::check(snapshot),
        dotenv(snapshot),
        active_profile(store, snapshot),
        boot_log(snapshot),
    ]
}

fn home(snapshot: &Snapshot) -> Check {
    let home = snapshot.root.path();
    let shown = home.display();
    let mut check = Check::new("home");
    let metadata = match fs::metadata(home) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            check.error(
                format!("the home `{shown}` is not a directory"),
                Remedy::Do("HERMES_HOME names another place".to_owned()),
            );
            return check.with_evidence(format!("`{shown}` is a file"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let remedy = Remedy::Run(format!("mkdir -p {}", quote_path(home)));
            check.error(format!("the home `{shown}` does not exist"), remedy);
            return check.with_evidence(format!("`{shown}` does not exist"));
        }
        Err(error) => {
            let remedy = Remedy::Do("run it as the user who owns the home".to_owned());
            check.error(format!("the home can't be reached: {error}"), remedy);
            return check.with_evidence(format!("`{shown}` can't be reached"));
        }
    };
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let writable = is_accessible(home, Access::WRITE_OK | Access::EXEC_OK);
    // Root may write anywhere, and switches to the home's owner.
    if me() != 0 && uid != me() {
        let severity = if writable { Severity::Warning } else { Severity::Error };
        let problem = format!("the home `{shown}` belongs to uid {uid}, and this user is {}", me());
        check.find(severity, problem, chown(&snapshot.root, &[home]));
    } else if !writable {
        let problem = format!("the home `{shown}` is not writable for this user (mode {mode:o})");
        check.error(problem, Remedy::Run(format!("chmod u+rwx {}", quote_path(home))));
    }
    check.with_evidence(format!("`{shown}` belongs to uid {uid}, mode {mode:o}"))
}

fn profiles(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("profiles");
    if let Some(why) = &snapshot.unlisted {
        check.error(
            why.clone(),
            permit(&snapshot.root, &snapshot.root.profiles(), Expected::Directory),
        );
    }
    for skipped in &snapshot.skipped {
        let (problem, path) = (skipped.to_string(), &skipped.path);
        if !skipped.unreadable {
            check.warning(problem, Remedy::Do("rename it, or move it elsewhere".to_owned()));
        } else if path.is_symlink() && path.metadata().is_err() {
            let remedy = "make the link lead to the profile's home again, or remove it".to_owned();
            check.error(problem, Remedy::Do(remedy));
        } else {
            check.error(problem, permit(&snapshot.root, path, Expected::Directory));
        }
    }
    let skipped = match snapshot.skipped.len() {
        0 => String::new(),
        many => format!(", {many} passed over"),
    };
    check.with_evidence(format!("{}{skipped}", several(snapshot.gateways.len(), "profile")))
}

fn writers(store: &Store, snapshot: &Snapshot) -> Check {
    if store.allows_open_homes() {
        let check = Check::new("writers");
        return check.with_evidence(format!(
            "{} or {} allows other users to write",
            env::OPEN_HOME,
            env::AS_ROOT
        ));
    }
    let mut check = Check::new("writers");
    let directories = writers::homes(&snapshot.root, snapshot.gateways.iter().map(Gateway::home));
    for open in directories.iter().filter_map(|path| writers::open_directory(path)) {
        let command = open.remedy();
        let remedy = match open.owner {
            None => Remedy::Run(command),
            Some(_) => Remedy::Root(command),
        };
        check.error(open.to_string(), remedy);
    }
    check.with_evidence(several(snapshot.gateways.len(), "home"))
}

fn dotenv(snapshot: &Snapshot) -> Check {
    let mut check = Check::new("dotenv");
    let mut seen = 0;
    for gateway in &snapshot.gateways {
        let path = gateway.home().dotenv();
        let Ok(metadata) = fs::metadata(&path) else { continue };
        seen += 1;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            let problem = format!("others may open `{}` (mode {mode:03o})", path.display());
            let command = format!("chmod 600 {}", quote_path(&path));
            let mine = metadata.uid() == me();
            check.warning(problem, if mine { Remedy::Run(command) } else { Remedy::Root(command) });
        }
    }
    check.with_evidence(several(seen, ".env file"))
}

fn active_profile(store: &Store, snapshot: &Snapshot) -> Check {
    let mut check = Check::new("active-profile");
    let undo = snapshot.run("profile use default");
    let name = match store.active() {
        Ok(Some(name)) => name,
        Ok(None) => return check.with_evidence("no default profile is set"),
        Err(error) => {
            check.error(in_one_line(&error), undo);
            return check.with_evidence("the default profile can't be read");
        }
    };
    match store.find(&name) {
        Ok(None) => {
            let path = snapshot.root.active_profile();
            let problem = format!("`{}` chooses `{name}`, which does not exist", path.display());
            check.error(problem, undo);
        }
        Ok(Some(_)) => {}
        Err(error) => check.partial(in_one_line(&error)),
    }
    check.with_evidence(format!("the default profile is `{name}`"))
}

fn boot_log(snapshot: &Snapshot) -> Check {
    let path = snapshot.root.boot_log();
    let mut check = Check::new("boot-log");
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok());
    let Some(there) = there.filter(|there| there.starts_with(snapshot.root.path())) else {
        return Check::unknown("boot-log", "the home does not exist");
    };
    let shown = path.display();
    if there == path && path.is_dir() {
        let remedy = Remedy::Run(format!("rmdir {}", quote_path(&path)));
        check.warning(format!("a boot can't be logged: `{shown}` is a directory"), remedy);
    } else if !is_accessible(there, Access::WRITE_OK) {
        let there_shown = there.display();
        let problem = format!("a boot can't be logged: `{there_shown}` is not writable");
        check.warning(
            problem,
            permit(
                &snapshot.root,
                there,
                if there == path { Expected::File } else { Expected::Directory },
            ),
        );
    }
    check.with_evidence(format!(
        "`{shown}`{}",
        if there == path { "" } else { ", does not exist yet" }
    ))
}
