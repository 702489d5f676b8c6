//! Unpacks an untrusted archive into a directory.
//!
//! Creates each member by its last name in an open directory, which it reached without following a link.
//! Never writes to or replaces an existing file.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawMode, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::error::{ArchiveError, Fault};
use super::members::{Kind, Member, Members};
use super::secret::is_secret;
use super::taken::is_trace;
use super::{Limits, path};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW);

/// An open archive whose first member has been read.
pub struct Archive<'a> {
    members: Members<'a>,
    first: Member,
}

impl<'a> Archive<'a> {
    /// Reads an archive up to its first member. Detects the compression from the first bytes.
    pub fn open(input: impl Read + 'a, limits: Limits) -> Result<Self, ArchiveError> {
        let mut members = Members::new(input, limits)?;
        let first = members.next()?.ok_or(ArchiveError::Empty)?;
        Ok(Self { members, first })
    }

    /// The name of the archive's top directory.
    pub fn top(&self) -> &str {
        &self.first.path[0]
    }

    /// Unpacks the content of the top directory into the directory `into`, which should be empty and
    /// private to the caller. Blocks until everything is read and written. After an error, the files
    /// written so far remain.
    ///
    /// The caller owns all files. Modes lose special bits and write permission for others; secrets get
    /// mode 0600, also those that are links to other members. Traces of a running process are skipped.
    pub fn unpack(self, into: &Path) -> Result<(), ArchiveError> {
        let Self { mut members, first } = self;
        let top = first.path[0].clone();
        let root = rustix::fs::openat(CWD, into, DIRECTORY, Mode::empty())
            .map_err(|errno| failed(&into.display().to_string(), errno))?;
        let mut mode = 0o755;
        let mut secret_links = Vec::new();
        let mut next = Some(first);
        while let Some(member) = next {
            if member.path[0] != top {
                return Err(fault(&member, Fault::SecondTop));
            }
            match &member.path[1..] {
                [] if matches!(member.kind, Kind::Directory) => mode = directory_mode(&member),
                [] => return Err(fault(&member, Fault::TopIsNoDirectory)),
                [parents @ .., name] => unpack(&root, parents, name, &member, &mut members)?,
            }
            let is_link = matches!(member.kind, Kind::Symlink(_) | Kind::Hardlink(_));
            let path: PathBuf = member.path[1..].iter().collect();
            if is_link && path.ancestors().any(is_secret) {
                secret_links.push((into.join(path), member.shown));
            }
            next = members.next()?;
        }
        // The target of a symbolic link may follow it in the archive.
        for (path, shown) in secret_links {
            close_target(&path).map_err(|source| ArchiveError::Write { entry: shown, source })?;
        }
        // Set last, so that other users can't read the directory before it is complete.
        set_mode(&root, mode).map_err(|errno| failed(&top, errno))
    }
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("first", &self.first).finish_non_exhaustive()
    }
}

/// Creates one member, called `name` in the directory `parents` below `root`.
fn unpack(
    root: &OwnedFd,
    parents: &[String],
    name: &str,
    member: &Member,
    members: &mut Members<'_>,
) -> Result<(), ArchiveError> {
    let path_below_top: PathBuf = member.path[1..].iter().collect();
    if path_below_top.ancestors().any(is_trace) {
        return Ok(());
    }
    let is_below_secret = path_below_top.ancestors().any(is_secret);
    // Logs hold conversations.
    let logs = if path_below_top.starts_with("logs") { 0o750 } else { 0o777 };
    let parent = directory(root, parents).map_err(|errno| failed_at(member, errno))?;
    let made = match &member.kind {
        Kind::Directory => {
            let closed = if is_below_secret { 0o700 } else { 0o777 };
            make_directory(&parent, name, directory_mode(member) & closed & logs)
        }
        Kind::File => {
            let mode = match is_below_secret {
                true => 0o600,
                false => member.mode & 0o755 & logs | 0o600,
            };
            return make_file(&parent, name, mode, member, members);
        }
        Kind::Symlink(target) => {
            let target = path::link(target, parents.len()).map_err(|it| fault(member, it))?;
            rustix::fs::symlinkat(target, &parent, name)
        }
        Kind::Hardlink(target) => return make_hardlink(root, &parent, name, target, member),
    };
    made.map_err(|errno| failed_at(member, errno))
}

/// Opens a directory below `root` and creates missing ones: not every archive has members for
/// directories.
fn directory(root: &OwnedFd, names: &[String]) -> rustix::io::Result<OwnedFd> {
    let mut directory = rustix::fs::openat(root, ".", DIRECTORY, Mode::empty())?;
    for name in names {
        directory = match rustix::fs::openat(&directory, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => {
                make_directory(&directory, name, 0o755)?;
                rustix::fs::openat(&directory, name, DIRECTORY, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(directory)
}

/// Creates a directory, or sets the mode of an existing one: an archive may name a directory twice.
fn make_directory(parent: &OwnedFd, name: &str, mode: u32) -> rustix::io::Result<()> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    set_mode(&rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?, mode)
}

/// Closes the target of a link to other users. Links lead to members only, so the target is one.
fn close_target(link: &Path) -> io::Result<()> {
    let mode = match fs::metadata(link) {
        Ok(metadata) if metadata.is_dir() => 0o700,
        Ok(_) => 0o600,
        // It leads to nothing, or in a circle.
        Err(_) => return Ok(()),
    };
    fs::set_permissions(link, Permissions::from_mode(mode))
}

fn make_file(
    parent: &OwnedFd,
    name: &str,
    mode: u32,
    member: &Member,
    members: &mut Members<'_>,
) -> Result<(), ArchiveError> {
    let file = rustix::fs::openat(parent, name, NEW_FILE, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| failed_at(member, errno))?;
    let mut file = File::from(file);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = members.contents(&mut buffer)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read])
            .map_err(|source| ArchiveError::Write { entry: member.shown.clone(), source })?;
    }
    let omitted = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let modified = Timespec { tv_sec: member.mtime, tv_nsec: 0 };
    let times = Timestamps { last_access: omitted, last_modification: modified };
    // A time that the file system does not support is ignored.
    let _ = rustix::fs::futimens(&file, &times);
    set_mode(&file, mode).map_err(|errno| failed(&member.shown, errno))
}

/// The target must be a file that was unpacked before.
fn make_hardlink(
    root: &OwnedFd,
    parent: &OwnedFd,
    name: &str,
    target: &[String],
    member: &Member,
) -> Result<(), ArchiveError> {
    if target.first() != member.path.first() {
        return Err(fault(member, Fault::LinkOutside));
    }
    let Some((target, parents)) = target[1..].split_last() else {
        return Err(fault(member, Fault::LinkToNothing));
    };
    let nothing = |_| fault(member, Fault::LinkToNothing);
    let mut from = rustix::fs::openat(root, ".", DIRECTORY, Mode::empty()).map_err(nothing)?;
    for name in parents {
        from = rustix::fs::openat(&from, name, DIRECTORY, Mode::empty()).map_err(nothing)?;
    }
    let stat = rustix::fs::statat(&from, target, AtFlags::SYMLINK_NOFOLLOW).map_err(nothing)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(fault(member, Fault::LinkToNothing));
    }
    rustix::fs::linkat(&from, target, parent, name, AtFlags::empty())
        .map_err(|errno| failed_at(member, errno))
}

/// The owner needs access to create files in the directory.
fn directory_mode(member: &Member) -> u32 {
    member.mode & 0o755 | 0o700
}

fn set_mode(file: impl std::os::fd::AsFd, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode as RawMode))
}

/// The error for a failed system call that was to create a member.
fn failed_at(member: &Member, errno: Errno) -> ArchiveError {
    match errno {
        Errno::EXIST => fault(member, Fault::Twice),
        // Links are not followed, so a link is not a directory here.
        Errno::NOTDIR | Errno::LOOP => fault(member, Fault::BelowNoDirectory),
        errno => failed(&member.shown, errno),
    }
}

fn failed(entry: &str, errno: Errno) -> ArchiveError {
    ArchiveError::Write { entry: entry.to_owned(), source: errno.into() }
}

fn fault(member: &Member, fault: Fault) -> ArchiveError {
    ArchiveError::Entry { entry: member.shown.clone(), fault }
}
