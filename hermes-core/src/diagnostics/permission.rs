//! The owners that files have and should have, and the commands that repair them.

use std::fmt;
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

/// What is expected at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A regular file, maybe through a link.
    File,
    /// A directory, maybe through a link.
    Directory,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
        })
    }
}

/// The remedy that lets this user read and write `path`: gives it to the user, opens it, or moves something else
/// out of the way.
pub fn permit(root: &RootHome, path: &Path, expected: Expected) -> Remedy {
    let uid = fs::symlink_metadata(path).map(|metadata| metadata.uid()).ok();
    if !is_expected(path, expected) {
        let is_dangling = path.is_symlink() && path.metadata().is_err();
        let path = quote_path(path);
        if is_dangling {
            return Remedy::Run(format!("rm {path}"));
        }
        return Remedy::Run(format!("mv -T -- {path} {path}.old"));
    }
    match (uid, owner(root)) {
        (Some(uid), Some((ours, _))) if uid != ours => chown(root, &[path]),
        _ => Remedy::Run(format!("chmod u+rwX {}", quote_path(path))),
    }
}

/// Whether `path` is of the expected type. One that can't be reached may be.
pub fn is_expected(path: &Path, expected: Expected) -> bool {
    match (fs::metadata(path), expected) {
        (Ok(metadata), Expected::File) => metadata.is_file(),
        (Ok(metadata), Expected::Directory) => metadata.is_dir(),
        // A dangling link, a loop.
        (Err(_), _) => !path.is_symlink(),
    }
}

/// Whether this user has this access to `path`.
pub fn is_accessible(path: &Path, access: Access) -> bool {
    rustix::fs::access(path, access).is_ok()
}
