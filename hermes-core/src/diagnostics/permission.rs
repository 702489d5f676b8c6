//! The owners that files have and should have, and the commands that repair them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use rustix::fs::Access;

use super::Remedy;
use crate::home::RootHome;
use crate::shell::quote_path;

/// The user that this process acts as.
pub fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// User and group that the home's files should have: this user's; for root, those of the home.
pub fn owner(root: &RootHome) -> Option<(u32, u32)> {
    if me() != 0 {
        return Some((me(), rustix::process::getegid().as_raw()));
    }
    let metadata = fs::metadata(root.path()).ok()?;
    Some((metadata.uid(), metadata.gid()))
}

/// The remedy that gives `paths` to the owner of the home's files.
pub fn chown(root: &RootHome, paths: &[&Path]) -> Remedy {
    let Some((uid, gid)) = owner(root) else {
        return Remedy::Do("give it to the user of the gateways with chown".to_owned());
    };
    let paths: Vec<_> = paths.iter().map(|path| quote_path(path)).collect();
    Remedy::Root(format!("chown -hR {uid}:{gid} {}", paths.join(" ")))
}

/// The remedy that lets this user read and write `path`.
pub fn permit(root: &RootHome, path: &Path) -> Remedy {
    let uid = fs::symlink_metadata(path).map(|metadata| metadata.uid()).ok();
    match (uid, owner(root)) {
        (Some(uid), Some((ours, _))) if uid != ours => chown(root, &[path]),
        _ => Remedy::Run(format!("chmod u+rwX {}", quote_path(path))),
    }
}

/// Whether this user has this access to `path`.
pub fn is_accessible(path: &Path, access: Access) -> bool {
    rustix::fs::access(path, access).is_ok()
}
