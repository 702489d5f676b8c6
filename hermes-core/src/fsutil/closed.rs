//! Directories that may be closed to this user, whose mode is changed without following a link.

#[cfg(target_os = "linux")]
pub(super) use linux::Directory;
#[cfg(not(target_os = "linux"))]
pub(super) use others::Directory;
use rustix::fs::OFlags;

/// Opens a directory, even one that this user may not list, and refuses a link in its place.
#[cfg(target_os = "linux")]
pub(crate) const DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Opens a directory, and refuses a link in its place.
#[cfg(not(target_os = "linux"))]
pub(crate) const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::Permissions;
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use fs_err as fs;
    use rustix::fs::Mode;

    use super::DIRECTORY;

    /// A directory that is open, as nothing but a name.
    pub(in crate::fsutil) struct Directory(OwnedFd);

    impl Directory {
        /// The one at `path`; an error if a link stands there.
        pub(in crate::fsutil) fn at(path: &Path) -> io::Result<Self> {
            Ok(Self(rustix::fs::open(path, DIRECTORY, Mode::empty())?))
        }

        /// A path of it that can't be replaced by a link.
        pub(in crate::fsutil) fn path(&self) -> PathBuf {
            format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
        }

        /// Sets its mode. fchmod(2) refuses such a descriptor.
        pub(in crate::fsutil) fn set_mode(&self, mode: u32) -> io::Result<()> {
            fs::set_permissions(self.path(), Permissions::from_mode(mode))
        }
    }
}

/// Elsewhere a directory that is closed to this user can't be opened.
#[cfg(not(target_os = "linux"))]
mod others {
    use std::io;
    use std::path::{Path, PathBuf};

    use rustix::fs::{AtFlags, CWD, Mode, RawMode};

    /// A directory by its path.
    pub(in crate::fsutil) struct Directory(PathBuf);

    impl Directory {
        /// The one at `path`; an error if a link stands there.
        pub(in crate::fsutil) fn at(path: &Path) -> io::Result<Self> {
            match path.symlink_metadata()?.is_dir() {
                true => Ok(Self(path.to_owned())),
                false => Err(io::ErrorKind::NotADirectory.into()),
            }
        }

        pub(in crate::fsutil) fn path(&self) -> PathBuf {
            self.0.clone()
        }

        /// Sets its mode, or that of a link that has taken its place.
        pub(in crate::fsutil) fn set_mode(&self, mode: u32) -> io::Result<()> {
            let mode = Mode::from_bits_truncate(mode as RawMode);
            Ok(rustix::fs::chmodat(CWD, &self.0, mode, AtFlags::SYMLINK_NOFOLLOW)?)
        }
    }
}
