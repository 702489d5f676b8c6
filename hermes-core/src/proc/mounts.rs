//! Whether a process means the same directory by a path, in its mount namespace and root directory.

use std::path::Path;

use fs_err as fs;
use rustix::io::Errno;

use super::Proc;

impl Proc {
    /// Whether the directory that `pid` calls `path` is `ours`, by device and inode: in another mount namespace
    /// or root directory the same path may be another directory. If neither exists any more, whether `pid` has
    /// the same path in this process's mount namespace. `None` if this user may not look.
    pub fn looks_at(&self, pid: u32, path: &Path, ours: &Path) -> Option<bool> {
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        match (self.stat_as(pid, path).map(identity), rustix::fs::stat(ours).map(identity)) {
            (Ok(theirs), Ok(ours)) => Some(theirs == ours),
            (Err(Errno::NOENT), Err(Errno::NOENT)) => {
                let namespace = |of: &str| fs::read_link(self.root.join(of).join("ns/mnt")).ok();
                Some(path == ours && namespace(&pid.to_string()) == namespace("self"))
            }
            (Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::SRCH), _) => Some(false),
            (Ok(_), Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => Some(false),
            // Such as a denied permission, or no descriptor left.
            _ => None,
        }
    }

    /// As [`looks_at`](Self::looks_at); `false` if this user may not look.
    pub fn sees(&self, pid: u32, path: &Path, ours: &Path) -> bool {
        self.looks_at(pid, path, ours) == Some(true)
    }

    /// The entry that `path` leads to for `pid`.
    #[cfg(target_os = "linux")]
    fn stat_as(&self, pid: u32, path: &Path) -> rustix::io::Result<rustix::fs::Stat> {
        use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, open};

        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = open(self.file(pid, "root"), flags | OFlags::DIRECTORY, Mode::empty())?;
        // Links in the path lead to places below that root, too.
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(entry) => rustix::fs::fstat(entry),
            // Before Linux 5.6, or filtered by a sandbox.
            Err(Errno::NOSYS | Errno::PERM) => {
                rustix::fs::statat(&root, path.strip_prefix("/").unwrap_or(path), AtFlags::empty())
            }
            Err(errno) => Err(errno),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn stat_as(&self, _: u32, _: &Path) -> rustix::io::Result<rustix::fs::Stat> {
        Err(Errno::NOSYS)
    }
}
