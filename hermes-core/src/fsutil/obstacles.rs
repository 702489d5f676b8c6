//! What keeps this user from removing a directory, found before anything is removed.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::attributes::{Attributes, attributes};
use super::removal::set_mode;
use crate::shell::quote_path;

/// How many paths a message and its command name.
const NAMED: usize = 8;
const STICKY: u32 = 0o1000;

/// Files and directories that this user can't remove, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacles {
    reason: Reason,
    /// The directory that was to be removed.
    below: PathBuf,
    paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Another user, with this id, owns it.
    Owner(u32),
    /// A file system is mounted there.
    Mount,
    /// `chattr +i` or `+a`.
    Immutable,
    /// The file system is read-only.
    ReadOnly,
    /// The directory around the one to be removed can't be changed.
    Parent,
}

/// What keeps this user from removing `path` and everything below it, or, with `keep`, everything below it. Follows no link.
/// Changes nothing: a directory of this user that is closed to it is open while it is read.
pub fn obstacles(path: &Path, keep: bool) -> io::Result<Option<Obstacles>> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    let Attributes { mount_point, immutable } = attributes(path)?;
    if immutable {
        found.push((path.to_owned(), Reason::Immutable));
    }
    if !mount_point && !keep {
        let parent = super::parent(path)?;
        let around = parent.metadata()?;
        match access(parent, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) if is_kept_by(&around, &metadata) => {
                found.push((path.to_owned(), Reason::Owner(metadata.uid())));
            }
            Ok(()) => {}
            Err(Errno::ROFS) => found.push((parent.to_owned(), Reason::ReadOnly)),
            Err(_) => found.push((parent.to_owned(), Reason::Parent)),
        }
    }
    if metadata.is_dir() {
        look_into(path, &metadata, &mut found);
    }
    let Some((_, reason)) = found.first().cloned() else { return Ok(None) };
    let same = |other: &Reason| std::mem::discriminant(other) == std::mem::discriminant(&reason);
    let paths = found.into_iter().filter(|(_, other)| same(other)).map(|(path, _)| path);
    Ok(Some(Obstacles { reason, below: path.to_owned(), paths: paths.collect() }))
}

fn look_into(directory: &Path, metadata: &Metadata, found: &mut Vec<(PathBuf, Reason)>) {
    let own = metadata.uid() == me();
    let mut opened = false;
    match access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => {}
        Err(Errno::ROFS) => return found.push((directory.to_owned(), Reason::ReadOnly)),
        Err(_) if own => {
            // Removing it makes it writable; to be searched it need not be.
            opened = access(directory, Access::READ_OK | Access::EXEC_OK).is_err()
                && set_mode(directory, metadata.mode() | 0o700).is_ok();
        }
        // An empty directory belongs to the one around it.
        Err(_) if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none()) => {}
        Err(_) => return found.push((directory.to_owned(), Reason::Owner(metadata.uid()))),
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        // What has disappeared meanwhile keeps nobody.
        let (Ok(of_entry), Ok(seen)) = (path.symlink_metadata(), attributes(&path)) else {
            continue;
        };
        if seen.mount_point {
            found.push((path, Reason::Mount));
        } else if seen.immutable {
            found.push((path, Reason::Immutable));
        } else if is_kept_by(metadata, &of_entry) {
            found.push((path, Reason::Owner(of_entry.uid())));
        } else if of_entry.is_dir() {
            look_into(&path, &of_entry, found);
        }
    }
    if opened {
        let _ = set_mode(directory, metadata.mode());
    }
}

/// Whether the sticky bit of a directory keeps this user from removing an entry of it.
fn is_kept_by(directory: &Metadata, entry: &Metadata) -> bool {
    let me = me();
    directory.mode() & STICKY != 0 && me != 0 && directory.uid() != me && entry.uid() != me
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Obstacles {
    /// Whether another user may remove them.
    pub fn is_denied(&self) -> bool {
        matches!(self.reason, Reason::Owner(_) | Reason::Parent)
    }

    /// The command that takes them out of the way, if there is one.
    pub fn hint(&self) -> Option<String> {
        let paths: Vec<_> = self.named().iter().map(|path| quote_path(path)).collect();
        let paths = paths.join(" ");
        Some(match self.reason {
            Reason::Owner(_) => format!("`sudo rm -rf -- {paths}` removes it"),
            Reason::Mount => format!("`sudo umount {paths}` ends the mount"),
            Reason::Immutable => {
                format!("`sudo chattr -i -a {paths}` makes it changeable")
            }
            Reason::Parent => format!("`chmod u+wx {paths}`, by its owner, makes it writable"),
            Reason::ReadOnly => return None,
        })
    }

    /// The paths; if there are many, what contains them directly below the directory to be removed.
    fn named(&self) -> Vec<PathBuf> {
        if self.paths.len() <= NAMED {
            return self.paths.clone();
        }
        let entry = |path: &PathBuf| {
            let first = path.strip_prefix(&self.below).ok()?.components().next()?;
            Some(self.below.join(first))
        };
        let mut named: Vec<_> =
            self.paths.iter().map(|path| entry(path).unwrap_or_else(|| path.clone())).collect();
        named.sort();
        named.dedup();
        named
    }
}

impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.paths.first().map(|path| path.display().to_string());
        write!(f, "`{}` ", first.unwrap_or_default())?;
        match self.reason {
            Reason::Owner(user) => write!(f, "belongs to user {user}")?,
            Reason::Mount => f.write_str("is a mount point")?,
            Reason::Immutable => f.write_str("is immutable (chattr)")?,
            Reason::ReadOnly => f.write_str("is on a read-only file system")?,
            Reason::Parent => f.write_str("is not writable")?,
        }
        match self.paths.len() {
            0 | 1 => Ok(()),
            all => write!(f, ", as {} more", all - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn own_closed_directories_are_read_and_stay_closed() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        fs::create_dir_all(closed.join("inner")).unwrap();
        for path in [closed.join("inner"), closed.clone()] {
            fs::set_permissions(path, Permissions::from_mode(0o0)).unwrap();
        }
        assert_eq!(obstacles(&closed, false).unwrap(), None);
        assert_eq!(closed.metadata().unwrap().mode() & 0o777, 0);
        assert_eq!(obstacles(&dir.path().join("absent"), false).unwrap(), None);
    }

    #[test]
    fn many_obstacles_are_named_by_what_contains_them() {
        let below = PathBuf::from("/h");
        let paths = (0..20).map(|n| below.join(format!("a b/{}/{n}", n % 3))).collect();
        let obstacles = Obstacles { reason: Reason::Owner(0), below, paths };
        assert_eq!(obstacles.to_string(), "`/h/a b/0/0` belongs to user 0, as 19 more");
        assert_eq!(obstacles.hint().unwrap(), "`sudo rm -rf -- '/h/a b'` removes it");
    }
}
