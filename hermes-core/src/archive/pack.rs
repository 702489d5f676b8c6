//! Packs a home into an archive, while the gateway may keep writing to the home.
//!
//! Reads only regular files that it reaches from the home's descriptor without following a link. A file
//! that disappears meanwhile is skipped. A file that grows or shrinks is stored with the size that it had
//! when it was opened: truncated, or filled up with zeros.

use std::ffi::{CString, OsStr};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::Format;
use super::error::{ArchiveError, Fault};
use super::path;
use super::secret;
use super::taken::{self, HomeKind, Include, LeftOut, Why};

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);
/// The entry may have been replaced between its stat and its open, by a link, a FIFO or a terminal.
const GUARDED: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The longest link target that fits in a tar header.
const SHORT_LINK: usize = 100;

/// The result of [`pack`].
#[derive(Debug, Default)]
pub struct Packed {
    /// The number of files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The entries of the home that are not in the archive.
    pub left_out: Vec<LeftOut>,
}

/// Writes the home at `home` to `out`, below a directory called `top`: the entries that exports take, and those of
/// `include`. Skips the file with the device and inode number `except`, which is the archive itself. Blocks until
/// everything is written.
///
/// `home` may be a link. Fails if `home` is another directory at the end: then the home was deleted or
/// renamed meanwhile, and the archive may be incomplete.
pub fn pack(
    home: &Path,
    kind: HomeKind,
    include: &[Include],
    top: &str,
    format: Format,
    out: &mut dyn Write,
    except: Option<(u64, u64)>,
) -> Result<Packed, ArchiveError> {
    let failed = |source| ArchiveError::Write { entry: "the archive".to_owned(), source };
    match format {
        Format::Gzip => {
            let out = GzEncoder::new(out, flate2::Compression::default());
            let (out, packed) = write_tar(home, kind, include, top, out, except)?;
            out.finish().and_then(Write::flush).map_err(failed)?;
            Ok(packed)
        }
        Format::Zstd => {
            let mut out =
                zstd::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(failed)?;
            // Without a checksum, an import might not notice a flipped bit.
            out.include_checksum(true).map_err(failed)?;
            let (out, packed) = write_tar(home, kind, include, top, out, except)?;
            out.finish().and_then(Write::flush).map_err(failed)?;
            Ok(packed)
        }
    }
}

fn write_tar<W: Write>(
    home: &Path,
    kind: HomeKind,
    include: &[Include],
    top: &str,
    out: W,
    except: Option<(u64, u64)>,
) -> Result<(W, Packed), ArchiveError> {
    let failed = |errno: Errno| ArchiveError::Read {
        entry: home.display().to_string(),
        source: errno.into(),
    };
    let open = || -> rustix::io::Result<(OwnedFd, Stat)> {
        let directory = rustix::fs::openat(CWD, home, READ | OFlags::DIRECTORY, Mode::empty())?;
        let stat = rustix::fs::fstat(&directory)?;
        Ok((directory, stat))
    };
    let (directory, stat) = open().map_err(failed)?;
    for it in include {
        check_include(&directory, kind, it)?;
    }
    let mut packer = Packer {
        kind,
        include,
        top: PathBuf::from(top),
        except,
        tar: Builder::new(out),
        packed: Packed::default(),
    };
    packer.add_directory(Path::new(""), &stat)?;
    packer.entries(&directory, Path::new(""), 0)?;
    let unchanged = open().is_ok_and(|(_, now)| identity(&now) == identity(&stat));
    if !unchanged {
        return Err(failed(Errno::NOENT));
    }
    let out = packer.tar.into_inner().map_err(write_failed)?;
    Ok((out, packer.packed))
}

/// Refuses an include that is absent or below a link, and one that no export takes.
fn check_include(home: &OwnedFd, kind: HomeKind, include: &Include) -> Result<(), ArchiveError> {
    let path = include.path();
    for part in path.ancestors().filter(|part| *part != Path::new("")) {
        if let Some(why) = taken::why_left_out(part, true, kind, std::slice::from_ref(include)) {
            let left = LeftOut { path: part.to_owned(), why };
            return Err(include_failed(path, left));
        }
    }
    let failed = |errno: Errno| include_failed(path, io::Error::from(errno));
    let flags = READ | GUARDED | OFlags::DIRECTORY;
    let mut at = rustix::fs::openat(home, ".", flags, Mode::empty()).map_err(failed)?;
    for part in path.parent().into_iter().flatten() {
        at = rustix::fs::openat(&at, part, flags, Mode::empty()).map_err(failed)?;
    }
    let name = path.file_name().unwrap_or_default();
    rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW).map(drop).map_err(failed)
}

struct Packer<'a, W: Write> {
    kind: HomeKind,
    include: &'a [Include],
    top: PathBuf,
    except: Option<(u64, u64)>,
    tar: Builder<W>,
    packed: Packed,
}

impl<W: Write> Packer<'_, W> {
    /// Adds the entries of `directory`, whose path below the home is `below`, `depth` levels down.
    fn entries(
        &mut self,
        directory: &OwnedFd,
        below: &Path,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        let names = match names(directory) {
            // The directory was removed. If it is the home, the check at the end fails.
            Err(Errno::NOENT) => return Ok(()),
            names => names.map_err(|errno| read_failed(below, errno))?,
        };
        for name in names {
            let path = below.join(OsStr::from_bytes(name.to_bytes()));
            if let Err(fault) = path::name_of(name.to_bytes()) {
                self.leave_out(path, Why::Refused(fault));
            } else {
                match self.entry(directory, &name, &path, depth) {
                    // The entry was removed.
                    Err(Failure::Errno(Errno::NOENT)) => {}
                    // The entry was replaced by another file type.
                    Err(Failure::Errno(
                        Errno::INVAL | Errno::LOOP | Errno::NOTDIR | Errno::NXIO,
                    )) => {
                        self.leave_out(path, Why::Special);
                    }
                    Err(Failure::Errno(errno)) => return Err(read_failed(&path, errno)),
                    Err(Failure::Archive(error)) => return Err(error),
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &CString,
        path: &Path,
        depth: usize,
    ) -> Result<(), Failure> {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_directory = kind == FileType::Directory;
        if let Some(why) = taken::why_left_out(path, is_directory, self.kind, self.include) {
            self.leave_out(path.to_owned(), why);
            return Ok(());
        }
        // The top directory and the entry's own name count too.
        let too_long = self.top.join(path).as_os_str().len() > path::MAX_PATH;
        if too_long || depth + 2 > path::MAX_DEPTH {
            let fault = if too_long { Fault::LongName } else { Fault::Deep };
            self.leave_out(path.to_owned(), Why::Refused(fault));
            return Ok(());
        }
        match kind {
            FileType::Directory => {
                let flags = READ | GUARDED | OFlags::DIRECTORY;
                let inner = rustix::fs::openat(directory, name, flags, Mode::empty())?;
                self.add_directory(path, &rustix::fs::fstat(&inner)?)?;
                self.entries(&inner, path, depth + 1)?;
            }
            FileType::RegularFile => {
                let file = rustix::fs::openat(directory, name, READ | GUARDED, Mode::empty())?;
                let stat = rustix::fs::fstat(&file)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    self.leave_out(path.to_owned(), Why::Special);
                } else if self.except != Some(identity(&stat)) {
                    self.add_file(path, &stat, file.into())?;
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
                match path::link(target.to_bytes(), depth) {
                    Ok(target) => self.add_link(path, &stat, target)?,
                    Err(fault) => self.leave_out(path.to_owned(), Why::Refused(fault)),
                }
            }
            _ => self.leave_out(path.to_owned(), Why::Special),
        }
        Ok(())
    }

    fn add_directory(&mut self, path: &Path, stat: &Stat) -> Result<(), ArchiveError> {
        let mut header = header(EntryType::Directory, 0, stat);
        // In a tar, the path of a directory ends with a slash.
        let path = self.top.join(path).join("");
        self.tar.append_data(&mut header, path, io::empty()).map_err(write_failed)
    }

    fn add_file(&mut self, path: &Path, stat: &Stat, file: File) -> Result<(), ArchiveError> {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let mut contents = Exactly { file, remaining: size, failed: None };
        let mut header = header(EntryType::Regular, size, stat);
        if secret::is_secret(path) {
            header.set_mode(0o600);
        }
        let added = self.tar.append_data(&mut header, self.top.join(path), &mut contents);
        if let Some(source) = contents.failed {
            return Err(ArchiveError::Read { entry: path.display().to_string(), source });
        }
        self.packed.files += 1;
        self.packed.bytes += size;
        added.map_err(write_failed)
    }

    fn add_link(&mut self, path: &Path, stat: &Stat, target: &str) -> Result<(), ArchiveError> {
        let mut header = header(EntryType::Symlink, 0, stat);
        let path = self.top.join(path);
        let added = if target.len() <= SHORT_LINK {
            // `append_link` would normalize the target.
            header
                .set_link_name_literal(target)
                .and_then(|()| self.tar.append_data(&mut header, path, io::empty()))
        } else {
            self.tar.append_link(&mut header, path, target)
        };
        added.map_err(write_failed)
    }

    fn leave_out(&mut self, path: PathBuf, why: Why) {
        self.packed.left_out.push(LeftOut { path, why });
    }
}

/// Why an entry was not added: an error of a system call on it, or an error of the whole export.
enum Failure {
    Errno(Errno),
    Archive(ArchiveError),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// A reader of exactly `remaining` bytes: the file's first ones, then zeros.
struct Exactly {
    file: File,
    remaining: u64,
    /// The error of reading the file, to distinguish it from errors of writing the archive.
    failed: Option<io::Error>,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..length];
        let read = match self.file.read(buffer) {
            Ok(0) => {
                buffer.fill(0);
                length
            }
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                return Err(kind.into());
            }
        };
        self.remaining -= read as u64;
        Ok(read)
    }
}

/// The names in a directory, sorted, so that the same home gives the same archive.
fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Omits the owner: imported files belong to the importing user.
fn header(kind: EntryType, size: u64, stat: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode(stat));
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[expect(clippy::useless_conversion, reason = "its fields have other types on other systems")]
fn mode(stat: &Stat) -> u32 {
    (stat.st_mode & 0o777).into()
}

#[expect(clippy::unnecessary_cast, reason = "its fields have other types on other systems")]
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn include_failed(path: &Path, reason: impl Display) -> ArchiveError {
    ArchiveError::Include { entry: path.display().to_string(), reason: reason.to_string() }
}

fn read_failed(path: &Path, errno: Errno) -> ArchiveError {
    ArchiveError::Read { entry: path.display().to_string(), source: errno.into() }
}

fn write_failed(source: io::Error) -> ArchiveError {
    ArchiveError::Write { entry: "the archive".to_owned(), source }
}
