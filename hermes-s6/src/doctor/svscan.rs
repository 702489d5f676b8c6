//! Checks the s6 programs, and that the tree answers, accepts commands and belongs to this home.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use hermes_core::diagnostics::{Check, Remedy, Snapshot, me};
use hermes_core::shell::quote_path;
use rustix::fs::Access;

use crate::protocol::control::Sent;
use crate::tree::Tree;

pub(super) fn checks(tree: &Tree, snapshot: &Snapshot) -> Vec<Check> {
    vec![
        programs(tree),
        svscan(tree, snapshot),
        control(tree, snapshot),
        privilege(tree),
        tree_home(tree),
    ]
}

fn programs(tree: &Tree) -> Check {
    let s6 = &tree.programs.s6;
    let mut check = Check::new("s6-programs");
    for name in ["s6-svscan", "s6-supervise", "s6-log"] {
        let program = s6.program(name);
        if rustix::fs::access(&program, Access::EXEC_OK).is_err() {
            let problem = format!("`{}` can't be run by this user", program.display());
            check.error(problem, Remedy::Root(format!("chmod 755 {}", quote_path(&program))));
        }
    }
    let contenv = match &s6.with_contenv {
        Some(path) => format!("with `{}`", path.display()),
        None => "without with-contenv".to_owned(),
    };
    let slots = tree.scandir.profiles().unwrap_or_default();
    let record = slots
        .iter()
        .find_map(|name| Some(fs::metadata(tree.scandir.slot(name).status()).ok()?.len()));
    // No program of s6 prints its version; the size of a status record shows it.
    let record = record.map_or_else(String::new, |len| format!(", status records of {len} bytes"));
    check.with_evidence(format!("in `{}`, {contenv}{record}", s6.dir.display()))
}

fn svscan(tree: &Tree, snapshot: &Snapshot) -> Check {
    let dir = tree.scandir.path().display();
    let mut check = Check::new("svscan");
    let holder = match tree.scandir.svscan() {
        Ok(Some(holder)) => holder,
        Ok(None) => {
            let problem = format!("no s6-svscan holds the scan directory `{dir}`");
            check.error(problem, snapshot.run("up"));
            return check.with_evidence("no process holds the scan directory");
        }
        Err(error) => {
            let problem = format!("who holds `{dir}` can't be seen: {error}");
            check.error(problem, delegate(snapshot));
            return check.with_evidence("the lock of s6-svscan can't be read");
        }
    };
    let who = match holder.pid {
        Some(pid) => format!("{} of uid {}", tree.proc.title(pid), or_unknown(uid_of(pid))),
        None => "a process of another container".to_owned(),
    };
    match tree.scandir.send(&[]) {
        Ok(Sent::Delivered) => {}
        Ok(Sent::NoReader) => {
            let problem = format!("{who} holds `{dir}` and does not read its commands");
            check.error(problem, Remedy::Do("end it, and start the tree again".to_owned()));
        }
        // The check of the permissions reports that.
        Err(error) => check.partial(format!("whether it reads its commands: {error}")),
    }
    check.with_evidence(format!("{who} holds `{dir}`"))
}

fn control(tree: &Tree, snapshot: &Snapshot) -> Check {
    let scandir = &tree.scandir;
    let mut check = Check::new("control");
    let fifo = scandir.svscan_control();
    for (path, what) in [(scandir.path(), "slots"), (fifo.as_path(), "commands")] {
        match rustix::fs::access(path, Access::WRITE_OK) {
            Ok(()) => {}
            Err(rustix::io::Errno::NOENT) => {
                check.partial(format!("`{}` is not there", path.display()));
            }
            Err(error) => {
                let owner = fs::symlink_metadata(path).map(|metadata| metadata.uid()).ok();
                let problem = format!(
                    "this user may put no {what} into `{}`, which is of uid {}: {error}",
                    path.display(),
                    or_unknown(owner)
                );
                let mine = owner == Some(me());
                let chmod = || Remedy::Run(format!("chmod u+rwX {}", quote_path(path)));
                check.error(problem, if mine { chmod() } else { delegate(snapshot) });
            }
        }
    }
    check.with_evidence(format!("`{}`, as uid {}", fifo.display(), me()))
}

fn delegate(snapshot: &Snapshot) -> Remedy {
    Remedy::Root(snapshot.command_line("boot --delegate"))
}

/// Whether root runs programs that a plain user may write.
fn privilege(tree: &Tree) -> Check {
    let check = Check::new("privilege");
    let Ok(Some(holder)) = tree.scandir.svscan() else {
        return Check::unknown(check.name(), "there is no s6-svscan");
    };
    let Some(uid) = holder.pid.and_then(uid_of) else {
        return Check::unknown(check.name(), "whose s6-svscan is can't be seen from here");
    };
    let owner = fs::metadata(tree.scandir.path()).map_or(0, |metadata| metadata.uid());
    let mut check = check.with_evidence(format!(
        "s6-svscan runs as uid {uid}, its directory belongs to uid {owner}"
    ));
    if uid == 0 && owner != 0 {
        let problem = format!(
            "s6-svscan runs as root what uid {owner} may write: whatever runs as that user can become root"
        );
        let remedy = "run the gateways under an s6-svscan of that user, as `hermes up` and the image do by default";
        check.warning(problem, Remedy::Do(remedy.to_owned()));
    }
    check
}

fn tree_home(tree: &Tree) -> Check {
    let check = Check::new("tree-home");
    let Ok(Some(svscan)) = tree.scandir.svscan() else {
        return Check::unknown(check.name(), "there is no s6-svscan");
    };
    let Some(home) = tree.home_of(svscan) else {
        return Check::unknown(check.name(), "which home the tree has is its own user's to see");
    };
    let mut check =
        check.with_evidence(format!("the tree runs the gateways of `{}`", home.display()));
    if let Err(error) = tree.require_same_home(svscan) {
        let remedy = error.hint().unwrap_or_default().to_owned();
        check.error(error.to_string(), Remedy::Do(remedy));
    }
    check
}

fn uid_of(pid: u32) -> Option<u32> {
    fs::metadata(Path::new("/proc").join(pid.to_string())).ok().map(|metadata| metadata.uid())
}

fn or_unknown(number: Option<u32>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}
