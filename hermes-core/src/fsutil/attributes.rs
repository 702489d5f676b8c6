//! What the kernel knows about a file or directory beyond its mode, as far as the platform reports it.

use std::io;
use std::path::Path;

use fs_err as fs;

/// Attributes that keep a file or directory from being renamed or removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// A file system is mounted here.
    pub mount_point: bool,
    /// It can't be changed, not even by root: `chattr +i` or `chattr +a`.
    pub immutable: bool,
}

/// Reads the attributes of `path` itself, also if it is a link.
#[cfg(target_os = "linux")]
pub(super) fn attributes(path: &Path) -> io::Result<Attributes> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let Ok(found) = statx(CWD, path, flags, StatxFlags::TYPE) else {
        // Older kernels and some containers have no statx(2).
        return Ok(Attributes { mount_point: has_other_device(path)?, immutable: false });
    };
    let has = |attribute| found.stx_attributes.contains(attribute);
    let mount_point = match found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        true => has(StatxAttributes::MOUNT_ROOT),
        false => has_other_device(path)?,
    };
    let immutable = has(StatxAttributes::IMMUTABLE) || has(StatxAttributes::APPEND);
    Ok(Attributes { mount_point, immutable })
}

/// Reads the attributes of `path` itself, also if it is a link.
#[cfg(not(target_os = "linux"))]
pub(super) fn attributes(path: &Path) -> io::Result<Attributes> {
    Ok(Attributes { mount_point: has_other_device(path)?, immutable: false })
}

/// Refuses an open file that is not a regular one: reading a FIFO or a device may never end.
pub(crate) fn regular(file: fs::File) -> io::Result<fs::File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file")),
    }
}

fn has_other_device(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let parent = super::parent(path)?;
    Ok(path.symlink_metadata()?.dev() != parent.metadata()?.dev())
}

/// Whether directories on the file system of `path` may lie in a layer, or on a disk, that they can't be moved off.
#[cfg(target_os = "linux")]
pub(super) fn has_layers(path: &Path) -> io::Result<bool> {
    // OVERLAYFS_SUPER_MAGIC, FUSE_SUPER_MAGIC (mergerfs, fuse-overlayfs) and AUFS_SUPER_MAGIC.
    const LAYERED: [rustix::fs::FsWord; 3] = [0x794c_7630, 0x6573_5546, 0x6175_6673];
    Ok(LAYERED.contains(&rustix::fs::statfs(path)?.f_type))
}

/// Whether directories on the file system of `path` may lie in a layer, or on a disk, that they can't be moved off.
#[cfg(not(target_os = "linux"))]
pub(super) fn has_layers(_path: &Path) -> io::Result<bool> {
    Ok(false)
}
