//! Changes to files that either happen whole or not at all, and that never replace by accident.
//!
//! What is being written has a temporary name and is locked (`flock(2)`) by its writer, so that after a
//! crash what nobody holds can be told from what somebody is about to publish.

use std::fs::{Metadata, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use tempfile::NamedTempFile;

/// What the names of temporary files begin with. Long enough to be nobody else's: the homes that they
/// stand in are the agents' own.
pub const TEMPORARY: &str = ".hermes-new-";

/// How much of a file is read at most, in bytes. What Hermes keeps, and what it reads of an agent's, is
/// far smaller.
pub const MAX_READ: u64 = 1024 * 1024;

/// Replaces the file at `path` by `bytes` with `mode`, durably: temporary file beside it, fsync,
/// rename, fsync of the directory. A reader sees the old file or the new one; after a crash one of
/// the two is there. Idempotent. Blocks until the bytes are on disk.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_durably_by_way_of(parent(path)?, path, bytes, mode)
}

/// The same, with the temporary file in the directory `staging` of the same file system.
pub fn write_durably_by_way_of(
    staging: &Path,
    path: &Path,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let persisted = staged(staging, bytes, mode)
        .and_then(|file| file.persist(path).map_err(|error| error.error));
    persisted.map_err(|error| unwritten(path, &error))?;
    sync_directory(parent(path)?)
}

/// Makes the file at `path` with `bytes` and `mode`, durably and at once; one that is there stays as it
/// is. Returns whether it made it. Of several callers one makes it, and all find it whole.
pub fn create_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let directory = parent(path)?;
    let made = staged(directory, bytes, mode)
        .and_then(|file| file.persist_noclobber(path).map_err(|error| error.error));
    match made {
        Ok(_) => sync_directory(directory).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(unwritten(path, &error)),
    }
}

/// A temporary file in `directory` whose bytes are on disk.
fn staged(directory: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = temporary(directory, mode)?;
    // The mode at creation is subject to the umask.
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn unwritten(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write `{}`: {error}", path.display()))
}

/// A new temporary file, locked.
fn temporary(directory: &Path, mode: u32) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory)?;
        // Where there are no locks, nothing is ever taken for what a crash left.
        let _ = file.as_file().lock();
        // It may have been taken for that before it was locked.
        if file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// What crashes left right in `directory` of files that were being written. Changes nothing.
pub fn unfinished(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let ours = entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        if ours && !entry.file_type()?.is_dir() && !is_in_use(&entry.path()) {
            left.push(entry.path());
        }
    }
    left.sort();
    Ok(left)
}

/// Removes what [`unfinished`] found, unless somebody has it now. Idempotent.
pub fn remove_unfinished(path: &Path) -> io::Result<()> {
    // The lock is held until it is gone: its writer may just be about to take it.
    match hold(path) {
        Holder::Us(_) | Holder::Nobody => remove_file_if_there(path).map(drop),
        Holder::Other => Ok(()),
    }
}

/// Whether the file or directory at `path` is locked by somebody who works on it, or can't be looked at.
pub fn is_in_use(path: &Path) -> bool {
    matches!(hold(path), Holder::Other)
}

/// Who has the lock of a file or a directory.
enum Holder {
    Us(#[expect(dead_code, reason = "held until it is dropped")] std::fs::File),
    Nobody,
    Other,
}

fn hold(path: &Path) -> Holder {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // What can't be locked, as a link or a FIFO, has no writer that would.
    let file = match rustix::fs::open(path, flags, Mode::empty()).map(std::fs::File::from) {
        Ok(file) if file.metadata().is_ok_and(|found| found.is_file() || found.is_dir()) => file,
        Ok(_) => return Holder::Nobody,
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOENT) => return Holder::Nobody,
        Err(_) => return Holder::Other,
    };
    match file.try_lock() {
        Ok(()) => Holder::Us(file),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Holder::Other,
    }
}

/// Renames `from` to `to` unless `to` exists, which is `AlreadyExists`. One system call
/// (`renameat2(2)` with `RENAME_NOREPLACE`), so two callers can't both succeed.
pub fn rename_exclusively(from: &Path, to: &Path) -> io::Result<()> {
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(|errno| {
        let error = io::Error::from(errno);
        let message =
            format!("failed to rename `{}` to `{}`: {error}", from.display(), to.display());
        io::Error::new(error.kind(), message)
    })
}

/// Makes the entries of `directory` durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Makes everything below `directory` durable. One call for any number of files; it waits for what
/// others wrote to the same file system, too.
pub fn sync_all_below(directory: &Path) -> io::Result<()> {
    let directory = fs::File::open(directory)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&directory)?;
    #[cfg(not(target_os = "linux"))]
    {
        rustix::fs::sync();
        directory.sync_all()?;
    }
    Ok(())
}

/// Removes the file at `path`; one that is not there is no error. Returns whether it was there.
pub fn remove_file_if_there(path: &Path) -> io::Result<bool> {
    absent_is_fine(fs::remove_file(path))
}

/// Removes the directory at `path` and all below it, following no link; one that is not there is
/// no error. Returns whether it was there.
pub fn remove_tree_if_there(path: &Path) -> io::Result<bool> {
    absent_is_fine(fs::remove_dir_all(path))
}

/// Opens what is at `path` for reading, at once: a FIFO would keep whoever opens it waiting for its
/// writer, and a terminal would become this process's own.
pub fn open_to_read(path: &Path) -> io::Result<fs::File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// The same, and a device, a FIFO or a socket, which may never end, is `InvalidData`.
pub fn open_file(path: &Path) -> io::Result<fs::File> {
    open_with_metadata(path).map(|(file, _)| file)
}

fn open_with_metadata(path: &Path) -> io::Result<(fs::File, Metadata)> {
    let file = open_to_read(path)?;
    let found = file.metadata()?;
    // Reading a directory has an error of its own.
    match found.is_file() || found.is_dir() {
        true => Ok((file, found)),
        false => Err(invalid(path, "no file")),
    }
}

/// The bytes of the file at `path`, at most [`MAX_READ`]. What is larger, or no file, is `InvalidData`:
/// agents write beside us, and nothing that they leave may hold up a command or fill the memory.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = read_up_to(path, MAX_READ + 1)?;
    match bytes.len() as u64 > MAX_READ {
        true => Err(invalid(path, &format!("larger than {} KiB", MAX_READ / 1024))),
        false => Ok(bytes),
    }
}

/// At most the first `max` bytes of the file at `path`, opened like [`open_file`]. What is in it when it is
/// opened is read, and where the file system tells how much that is, not a call is made to see its end.
pub fn read_up_to(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let (file, found) = open_with_metadata(path)?;
    let mut bytes = Vec::with_capacity(1024);
    // Files of the kernel's own have no size.
    let there = if found.is_file() && found.len() > 0 { found.len() } else { max };
    file.take(max.min(there)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of the file at `path`, otherwise like [`read`].
pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The bytes of the file at `path`, or `None` if there is none; otherwise like [`read`].
pub fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn invalid(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is {what}", path.display()))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| {
        let message = format!("`{}` has no directory", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_that_create_a_file_one_does_and_all_find_it_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let made: Vec<_> = std::thread::scope(|scope| {
            let create = |n: u8| {
                let path = &path;
                scope.spawn(move || {
                    let made = create_durably(path, &[n; 4096], 0o600).unwrap();
                    (made.then_some(n), fs::read(path).unwrap())
                })
            };
            let all: Vec<_> = (0..8).map(create).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let makers: Vec<_> = made.iter().filter_map(|(made, _)| *made).collect();
        assert_eq!(makers.len(), 1);
        assert!(made.iter().all(|(_, read)| *read == [makers[0]; 4096]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_durable_write_replaces_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_durably(&path, b"one", 0o644).unwrap();
        write_durably(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn nothing_is_waited_for_and_nothing_read_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(read_if_there(&path).unwrap(), None);
        let refused = |what: &str| {
            let error = read_if_there(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert_eq!(error.to_string(), format!("`{}` is {what}", path.display()));
            fs::remove_file(&path).unwrap();
        };
        rustix::fs::mkfifoat(CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        refused("no file");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        refused("no file");
        fs::File::create(&path).unwrap().set_len(MAX_READ + 1).unwrap();
        refused("larger than 1024 KiB");
        fs::File::create(&path).unwrap().set_len(MAX_READ).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MAX_READ);
    }

    #[test]
    fn what_is_being_written_is_told_from_what_a_crash_left() {
        let dir = tempfile::tempdir().unwrap();
        let written = temporary(dir.path(), 0o600).unwrap();
        let left = dir.path().join(format!("{TEMPORARY}left"));
        let link = dir.path().join(format!("{TEMPORARY}link"));
        let agents = dir.path().join(".hermes-notes");
        fs::write(&left, "half").unwrap();
        fs::write(&agents, "mine").unwrap();
        std::os::unix::fs::symlink(&agents, &link).unwrap();
        assert_eq!(unfinished(dir.path()).unwrap(), [left.clone(), link.clone()]);
        for path in [written.path(), &left, &link] {
            remove_unfinished(path).unwrap();
        }
        assert!(written.path().exists() && agents.exists());
        assert!(!left.exists() && link.symlink_metadata().is_err());
    }

    #[test]
    fn an_exclusive_rename_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&a).unwrap();
        fs::create_dir(&b).unwrap();
        let error = rename_exclusively(&a, &b).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(a.exists());
    }
}
