//! Atomic and durable changes to files, and reads that do not block.
//!
//! A file being written has a temporary name, and its writer holds a lock (`flock(2)`) on it. So an
//! unlocked temporary file is a leftover of a crash.

pub(crate) mod attributes;
mod closed;
mod confined;
mod hints;
mod obstacles;
mod removal;
mod rename;

use std::fs::{Metadata, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{Mode, OFlags};
use tempfile::{NamedTempFile, TempDir};

pub(crate) use closed::DIRECTORY;
pub(crate) use confined::resolve;
pub use confined::{confine, open_to_read};
pub use hints::{denied_hint, file_hint};
pub use obstacles::{Obstacles, obstacles};
pub use removal::{empty_directory, open_directories, remove_tree_if_there};
pub use rename::{check_renamable, persist_exclusively, rename_exclusively};

/// The name prefix of temporary files. Long enough to be unique in the homes, where agents write files
/// too.
pub const TEMPORARY: &str = ".hermes-new-";

/// The largest file that [`read`] accepts, in bytes. The files that Hermes reads are far smaller.
pub const MAX_READ: u64 = 1024 * 1024;

/// Creates or replaces the file at `path` with `bytes` and `mode`, durably: temporary file beside it,
/// fsync, rename, fsync of the directory. Readers see the old file or the new one, also after a crash.
/// Idempotent. Blocks until the bytes are on disk.
pub fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_durably_by_way_of(parent(path)?, path, bytes, mode)
}

/// Like [`write_durably`], with the temporary file in `staging`, a directory on the same file system.
pub fn write_durably_by_way_of(
    staging: &Path,
    path: &Path,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let persisted = staged(staging, bytes, mode)
        .and_then(|file| file.persist(path).map_err(|error| error.error));
    persisted.map_err(|error| write_error(path, &error))?;
    sync_directory(parent(path)?)
}

/// Like [`write_durably`], for a file that exists, with its metadata `old`: keeps its mode and owner.
/// `PermissionDenied` if this user can't give the new file to that owner.
pub fn replace_durably(path: &Path, bytes: &[u8], old: &Metadata) -> io::Result<()> {
    let replaced = staged(parent(path)?, bytes, old.mode() & 0o777).and_then(|file| {
        let new = file.as_file().metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid())).map_err(
                |error| {
                    let cause = format!("its owner would change: {error}");
                    io::Error::new(io::ErrorKind::PermissionDenied, cause)
                },
            )?;
            file.as_file().sync_all()?;
        }
        file.persist(path).map_err(|error| error.error)
    });
    replaced.map_err(|error| write_error(path, &error))?;
    sync_directory(parent(path)?)
}

/// Creates the file at `path` with `bytes` and `mode`, durably and atomically; keeps an existing file.
/// Returns whether it created the file. Of several concurrent callers exactly one creates it.
pub fn create_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let directory = parent(path)?;
    let created = staged(directory, bytes, mode).and_then(|file| persist_exclusively(file, path));
    match created {
        Ok(_) => sync_directory(directory).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(write_error(path, &error)),
    }
}

/// A temporary file in `directory` whose bytes are on disk.
fn staged(directory: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = temporary(directory, mode)?;
    // The umask applies to the mode at creation.
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    // By itself it would name its temporary path in an error.
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn write_error(path: &Path, error: &io::Error) -> io::Error {
    let message = format!("failed to write `{}`: {error}", path.display());
    hints::error_in(path.parent().unwrap_or(path), error, message)
}

/// A new directory in `directory` whose name begins with `prefix`. Dropping it removes it.
pub fn hidden_directory(directory: &Path, prefix: &str) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(prefix).tempdir_in(directory).map_err(|error| {
        // Its message has the temporary path.
        let cause = io::Error::from(error.kind());
        let message = format!("failed to create a directory in `{}`: {cause}", directory.display());
        hints::error_in(directory, &error, message)
    })
}

/// A new temporary file, locked.
fn temporary(directory: &Path, mode: u32) -> io::Result<NamedTempFile> {
    loop {
        let create = |path: &Path| {
            let mut options = std::fs::OpenOptions::new();
            OpenOptionsExt::mode(options.read(true).write(true).create_new(true), mode).open(path)
        };
        let file = tempfile::Builder::new().prefix(TEMPORARY).make_in(directory, create)?;
        // On a file system without locks, no file is ever taken for a leftover.
        let _ = file.as_file().lock();
        // Another process may have removed the file as a leftover before it was locked.
        if file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// The unlocked temporary files directly in `directory`: leftovers of crashes. Changes nothing.
pub fn unfinished(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = with_prefix(directory, TEMPORARY)?;
    files.retain(|path| path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir()));
    Ok(unfinished_among(files))
}

/// As [`unfinished`], among these files.
pub fn unfinished_among(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(TEMPORARY.as_bytes()) && !is_in_use(path)
    });
    files.sort();
    files
}

/// The entries of `directory` whose names begin with `prefix`.
pub fn with_prefix(directory: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes a file that [`unfinished`] returned, unless another process has locked it since. Idempotent.
pub fn remove_unfinished(path: &Path) -> io::Result<()> {
    // Holds the lock until the file is removed, since its writer may just be about to take the lock.
    match try_hold(path) {
        Holder::Us(_) | Holder::Nobody => remove_file_if_there(path).map(drop),
        Holder::Other => Ok(()),
    }
}

/// Whether `file` is the file at `path`. A link there is another file.
pub(crate) fn is_at(file: &fs::File, path: &Path) -> io::Result<bool> {
    let file = file.metadata()?;
    match path.symlink_metadata() {
        Ok(there) => Ok((file.dev(), file.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether another process has locked the file or directory at `path`, or it can't be opened.
pub fn is_in_use(path: &Path) -> bool {
    matches!(try_hold(path), Holder::Other)
}

/// The holder of the lock on a file or directory.
enum Holder {
    Us(#[expect(dead_code, reason = "held until it is dropped")] std::fs::File),
    Nobody,
    Other,
}

/// Takes the lock on the file or directory at `path` if it is free.
fn try_hold(path: &Path) -> Holder {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Writers only lock files and directories, so others, such as links and FIFOs, have no holder.
    let file = match rustix::fs::open(path, flags, Mode::empty()).map(std::fs::File::from) {
        Ok(file) if file.metadata().is_ok_and(|it| it.is_file() || it.is_dir()) => file,
        Ok(_) => return Holder::Nobody,
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOENT) => return Holder::Nobody,
        Err(_) => return Holder::Other,
    };
    match file.try_lock() {
        Ok(()) => Holder::Us(file),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Holder::Other,
    }
}

/// Makes the entries of `directory` durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Makes everything below `directory` durable, with one system call for any number of files. Also waits
/// for other processes' writes to the same file system.
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

/// Whether there is an entry at `path`, even a dangling link. An entry that this user may not see is an error.
pub fn exists(path: &Path) -> io::Result<bool> {
    existed(path.symlink_metadata().map(drop))
}

/// Removes the file at `path`. Returns whether it existed.
pub fn remove_file_if_there(path: &Path) -> io::Result<bool> {
    existed(fs::remove_file(path))
}

/// Like [`open_to_read`], but refuses devices, FIFOs and sockets with `InvalidData`: reading one may never
/// end.
pub fn open_file(path: &Path) -> io::Result<fs::File> {
    open_with_metadata(path).map(|(file, _)| file)
}

fn open_with_metadata(path: &Path) -> io::Result<(fs::File, Metadata)> {
    let file = open_to_read(path)?;
    let metadata = file.metadata()?;
    // Reading a directory fails with an error of its own.
    match metadata.is_file() || metadata.is_dir() {
        true => Ok((file, metadata)),
        false => Err(invalid(path, "not a file")),
    }
}

/// The bytes of the file at `path`. A file larger than [`MAX_READ`], or not a regular one, is
/// `InvalidData`: an agent's files must not block a command or fill its memory.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = read_up_to(path, MAX_READ + 1)?;
    match bytes.len() as u64 > MAX_READ {
        true => Err(invalid(path, &format!("larger than {} KiB", MAX_READ / 1024))),
        false => Ok(bytes),
    }
}

/// At most the first `max` bytes of the file at `path`, opened like [`open_file`]. Reads at most the size
/// that the file has when it is opened, which saves the system call that would find the end.
pub fn read_up_to(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open_with_metadata(path)?;
    let mut bytes = Vec::with_capacity(1024);
    // Files in `/proc` report the size 0.
    let size = if metadata.is_file() && metadata.len() > 0 { metadata.len() } else { max };
    file.take(max.min(size)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Like [`read`], as text.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Like [`read`]; `None` if the file is absent.
pub fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn invalid(path: &Path, reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is {reason}", path.display()))
}

fn existed(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| {
        let message = format!("`{}` has no parent directory", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_concurrent_callers_creates_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let results: Vec<_> = std::thread::scope(|scope| {
            let create = |n: u8| {
                let path = &path;
                scope.spawn(move || {
                    let created = create_durably(path, &[n; 4096], 0o600).unwrap();
                    (created.then_some(n), fs::read(path).unwrap())
                })
            };
            let all: Vec<_> = (0..8).map(create).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let creators: Vec<_> = results.iter().filter_map(|(creator, _)| *creator).collect();
        assert_eq!(creators.len(), 1);
        assert!(results.iter().all(|(_, read)| *read == [creators[0]; 4096]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file remains");
    }

    #[test]
    fn a_durable_write_replaces_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_durably(&path, b"one", 0o644).unwrap();
        write_durably(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file remains");
    }

    #[test]
    fn reads_neither_block_nor_fill_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(read_if_there(&path).unwrap(), None);
        let refused = |reason: &str| {
            let error = read_if_there(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert_eq!(error.to_string(), format!("`{}` is {reason}", path.display()));
            fs::remove_file(&path).unwrap();
        };
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        refused("not a file");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        refused("not a file");
        fs::File::create(&path).unwrap().set_len(MAX_READ + 1).unwrap();
        refused("larger than 1024 KiB");
        fs::File::create(&path).unwrap().set_len(MAX_READ).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MAX_READ);
    }

    #[test]
    fn only_unlocked_temporary_files_are_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let locked = temporary(dir.path(), 0o600).unwrap();
        let leftover = dir.path().join(format!("{TEMPORARY}left"));
        let link = dir.path().join(format!("{TEMPORARY}link"));
        let agents = dir.path().join(".hermes-notes");
        fs::write(&leftover, "half").unwrap();
        fs::write(&agents, "mine").unwrap();
        std::os::unix::fs::symlink(&agents, &link).unwrap();
        assert_eq!(unfinished(dir.path()).unwrap(), [leftover.clone(), link.clone()]);
        for path in [locked.path(), &leftover, &link] {
            remove_unfinished(path).unwrap();
        }
        assert!(locked.path().exists() && agents.exists());
        assert!(!leftover.exists() && link.symlink_metadata().is_err());
    }

    #[test]
    fn what_cannot_be_seen_is_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(!exists(&path).unwrap());
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(exists(&path).unwrap());
        // Below a link to itself there is nothing to see.
        let turn = dir.path().join("loop");
        std::os::unix::fs::symlink(&turn, &turn).unwrap();
        assert!(exists(&turn.join("f")).is_err());
    }
}
