//! ProfileSelector backend is in charge, and whether its tree can be reached, commanded and is this home's.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use hermes_core::Kind;
use hermes_s6::S6Driver;
use hermes_s6::protocol::control::Sent;
use rustix::fs::Access;

use super::homes::quoted;
use super::report::{Check, Remedy};
use super::snapshot::Snapshot;

pub(super) fn checks(snapshot: &Snapshot<'_>) -> Vec<Check> {
    let mut checks = vec![backend(snapshot)];
    match &snapshot.s6 {
        Some(Ok(manager)) => checks.extend([
            programs(manager),
            svscan(snapshot, manager),
            control(snapshot, manager),
            privilege(manager),
            tree_home(manager),
        ]),
        Some(Err(error)) => {
            let mut check = Check::new("s6-programs").evidence("no complete set of s6 programs");
            check.error(
                error.in_one_line(),
                Remedy::Do(error.hint().unwrap_or("install s6").to_owned()),
            );
            checks.push(check);
        }
        None => {}
    }
    checks
}

fn backend(snapshot: &Snapshot<'_>) -> Check {
    let facts = snapshot.app.hermes.facts();
    let init = facts.init.as_deref().unwrap_or("a process whose name can't be read");
    let why = if let Some(dir) = &facts.named_scandir {
        format!("s6, since `{}` is named", dir.display())
    } else if facts.s6_in_charge() {
        "s6, since process 1 is s6-svscan and /run/s6/basedir is there".to_owned()
    } else if let Some(dir) = &facts.user_scandir {
        format!("s6, since `hermes up` runs on `{}`", dir.display())
    } else {
        format!("{}, and process 1 is {init}", snapshot.kind)
    };
    let mut check = Check::new("backend").evidence(why);
    if snapshot.kind == Kind::NONE {
        let problem = "nothing supervises services here: neither s6 nor systemd nor launchd";
        check.error(problem, snapshot.run("up"));
    }
    check
}

fn programs(manager: &S6Driver) -> Check {
    let s6 = &manager.tree().programs.s6;
    let mut check = Check::new("s6-programs");
    for name in ["s6-svscan", "s6-supervise", "s6-log"] {
        let program = s6.program(name);
        if rustix::fs::access(&program, Access::EXEC_OK).is_err() {
            let problem = format!("`{}` can't be run by this user", program.display());
            check.error(problem, Remedy::Root(format!("chmod 755 {}", quoted(&program))));
        }
    }
    let contenv = match &s6.with_contenv {
        Some(path) => format!("with `{}`", path.display()),
        None => "without with-contenv".to_owned(),
    };
    let slots = manager.tree().scandir.profiles().unwrap_or_default();
    let record = slots.iter().find_map(|name| {
        Some(fs::metadata(manager.tree().scandir.slot(name).status()).ok()?.len())
    });
    // No program of s6 tells its version; the size of a record is what differs.
    let record = record.map_or_else(String::new, |len| format!(", status records of {len} bytes"));
    check.evidence(format!("in `{}`, {contenv}{record}", s6.dir.display()))
}

fn svscan(snapshot: &Snapshot<'_>, manager: &S6Driver) -> Check {
    let tree = manager.tree();
    let dir = tree.scandir.path().display();
    let mut check = Check::new("svscan");
    let holder = match tree.scandir.svscan() {
        Ok(Some(holder)) => holder,
        Ok(None) => {
            let problem = format!("no s6-svscan holds the scan directory `{dir}`");
            check.error(problem, snapshot.run("up"));
            return check.evidence("nobody holds the scan directory");
        }
        Err(error) => {
            let problem = format!("who holds `{dir}` can't be seen: {error}");
            check.error(problem, delegate(snapshot));
            return check.evidence("the lock of s6-svscan can't be read");
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
        // Told by the check of who may command it.
        Err(error) => check.partial(format!("whether it reads its commands: {error}")),
    }
    check.evidence(format!("{who} holds `{dir}`"))
}

fn control(snapshot: &Snapshot<'_>, manager: &S6Driver) -> Check {
    let scandir = &manager.tree().scandir;
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
                let chmod = || Remedy::Run(format!("chmod u+rwX {}", quoted(path)));
                check.error(problem, if mine { chmod() } else { delegate(snapshot) });
            }
        }
    }
    check.evidence(format!("`{}`, as uid {}", fifo.display(), me()))
}

fn delegate(snapshot: &Snapshot<'_>) -> Remedy {
    Remedy::Root(snapshot.app.line("boot --delegate"))
}

/// Whether what a plain user writes is run by root.
fn privilege(manager: &S6Driver) -> Check {
    let check = Check::new("privilege");
    let Ok(Some(holder)) = manager.tree().scandir.svscan() else {
        return Check::unknown(check.check, "there is no s6-svscan");
    };
    let Some(uid) = holder.pid.and_then(uid_of) else {
        return Check::unknown(check.check, "whose s6-svscan is can't be seen from here");
    };
    let owner = fs::metadata(manager.tree().scandir.path()).map_or(0, |metadata| metadata.uid());
    let mut check =
        check.evidence(format!("s6-svscan is of uid {uid}, its directory of uid {owner}"));
    if uid == 0 && owner != 0 {
        let problem = format!(
            "s6-svscan runs as root what uid {owner} may write: whatever runs as that user can become root"
        );
        let remedy = "run the gateways under an s6-svscan of that user, as `hermes up` and the image do by default";
        check.warning(problem, Remedy::Do(remedy.to_owned()));
    }
    check
}

fn tree_home(manager: &S6Driver) -> Check {
    let tree = manager.tree();
    let check = Check::new("tree-home");
    let Ok(Some(svscan)) = tree.scandir.svscan() else {
        return Check::unknown(check.check, "there is no s6-svscan");
    };
    let Some(home) = tree.home_of(svscan) else {
        return Check::unknown(check.check, "which home the tree has is its own user's to see");
    };
    let mut check = check.evidence(format!("the tree runs the gateways of `{}`", home.display()));
    if let Err(error) = tree.require_same_home(svscan) {
        let remedy = error.hint().unwrap_or_default().to_owned();
        check.error(error.to_string(), Remedy::Do(remedy));
    }
    check
}

pub(super) fn uid_of(pid: u32) -> Option<u32> {
    fs::metadata(Path::new("/proc").join(pid.to_string())).ok().map(|metadata| metadata.uid())
}

pub(super) fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn or_unknown(number: Option<u32>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}
