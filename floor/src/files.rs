//! Reads and writes small files and finds holders of locks, with the fewest possible system calls.

use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, Pid};

/// How long any wait may take; generous, for slow machines.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(300);

/// Reads into `buffer` with one call and returns the number of bytes; 0 if the file does not exist.
pub(crate) fn read(path: &str, buffer: &mut [u8]) -> Result<usize, Errno> {
    match rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => rustix::io::read(&file, buffer),
        Err(Errno::NOENT) => Ok(0),
        Err(errno) => Err(errno),
    }
}

/// Creates and writes a file, which must not exist.
pub(crate) fn write(path: &str, bytes: &[u8], mode: u32) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(mode))?;
    rustix::io::write(&file, bytes).map(drop)
}

/// The process that holds the `fcntl(2)` lock on the file, if any.
pub(crate) fn holder(path: &str) -> Result<Option<Pid>, Errno> {
    match rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => {
            let query = Flock::from(FlockType::WriteLock);
            Ok(rustix::process::fcntl_getlk(&file, &query)?.and_then(|lock| lock.pid))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Writes bytes into a FIFO, which must have a reader.
pub(crate) fn send(path: &str, bytes: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fifo = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    rustix::io::write(&fifo, bytes).map(drop)
}

/// The names in a directory.
pub(crate) fn names(path: &str) -> Result<Vec<String>, Errno> {
    let entries = entries(path)?;
    Ok(entries.into_iter().map(|(name, _)| name).collect())
}

/// Removes a directory with everything in it.
pub(crate) fn remove_all(path: &str) -> Result<(), Errno> {
    for (name, kind) in entries(path)? {
        let path = [path, "/", &name].concat();
        match kind {
            FileType::Directory => remove_all(&path)?,
            _ => rustix::fs::unlinkat(CWD, path, AtFlags::empty())?,
        }
    }
    rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR)
}

fn entries(path: &str) -> Result<Vec<(String, FileType)>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut entries = Vec::new();
    for entry in Dir::new(rustix::fs::openat(CWD, path, flags, Mode::empty())?)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            entries.push((name, entry.file_type()));
        }
    }
    Ok(entries)
}
