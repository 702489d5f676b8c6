//! An archive, which anybody may have made, into a directory.
//!
//! Every member is made by its own name in a directory that is open already, and to which no link
//! led. Nothing that is there is ever written to or replaced.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawMode, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::error::{ArchiveError, Fault};
use super::members::{Kind, Member, Members};
use super::{Limits, omit, path};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW);

/// An archive that is open, and whose top directory is known.
pub struct Archive<'a> {
    members: Members<'a>,
    first: Member,
}

impl<'a> Archive<'a> {
    /// Begins to read an archive, as far as its first member. How it is compressed is told by its
    /// bytes.
    pub fn open(input: impl Read + 'a, limits: Limits) -> Result<Self, ArchiveError> {
        let mut members = Members::new(input, limits)?;
        let first = members.next()?.ok_or(ArchiveError::Empty)?;
        Ok(Self { members, first })
    }

    /// The name of the one directory at its top.
    pub fn top(&self) -> &str {
        &self.first.path[0]
    }

    /// Unpacks what is in the top directory into the directory at `into`, which should be empty and
    /// nobody else's. Blocks until all is read and written. On an error, what was written so far is
    /// there.
    ///
    /// Files belong to whoever calls this. Of a mode, nobody but the owner gets to write, and special
    /// bits go; secrets are the owner's alone. What is only true of a running process is passed
    /// over.
    pub fn unpack(self, into: &Path) -> Result<(), ArchiveError> {
        let Self { mut members, first } = self;
        let top = first.path[0].clone();
        let root = rustix::fs::openat(CWD, into, DIRECTORY, Mode::empty())
            .map_err(|errno| failed(&into.display().to_string(), errno))?;
        let mut mode = 0o755;
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
            next = members.next()?;
        }
        // Last, so that others look into it when it is whole, if at all.
        set_mode(&root, mode).map_err(|errno| failed(&top, errno))
    }
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("first", &self.first).finish_non_exhaustive()
    }
}

/// Makes one member, called `name` in the directory at `parents` below `root`.
fn unpack(
    root: &OwnedFd,
    parents: &[String],
    name: &str,
    member: &Member,
    members: &mut Members<'_>,
) -> Result<(), ArchiveError> {
    let place: PathBuf = member.path[1..].iter().collect();
    if place.ancestors().any(omit::is_trace) {
        return Ok(());
    }
    let parent = directory(root, parents).map_err(|errno| failed_at(member, errno))?;
    let made = match &member.kind {
        Kind::Directory => make_directory(&parent, name, directory_mode(member)),
        Kind::File => {
            let mode = match place.ancestors().any(omit::is_secret) {
                true => 0o600,
                false => member.mode & 0o755 | 0o600,
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

/// Opens a directory below `root`, and makes what is missing of it: not every archive has members
/// for its directories.
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

/// One that is there stays, and gets the mode: archives may name a directory again.
fn make_directory(parent: &OwnedFd, name: &str, mode: u32) -> rustix::io::Result<()> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    set_mode(&rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?, mode)
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
    // A time that this file system can't hold is no reason to refuse the file.
    let _ = rustix::fs::futimens(&file, &times);
    set_mode(&file, mode).map_err(|errno| failed(&member.shown, errno))
}

/// The target was unpacked before, so it is a file in this very tree, or there is none.
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

/// The owner always gets in, or there could be nothing in it.
fn directory_mode(member: &Member) -> u32 {
    member.mode & 0o755 | 0o700
}

fn set_mode(file: impl std::os::fd::AsFd, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode as RawMode))
}

/// What the system says where a member is about to be made.
fn failed_at(member: &Member, errno: Errno) -> ArchiveError {
    match errno {
        Errno::EXIST => fault(member, Fault::Twice),
        // A link is none to whom it doesn't lead.
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
