//! The files in a log directory at one moment, while s6-log keeps rotating them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fsutil;
use fs_err as fs;

/// The identity of a file, valid while the file is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self(metadata.dev(), metadata.ino()))
    }

    /// The identity of the file at `path`, if it exists.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        let metadata = present(fs::metadata(path))?;
        Ok(metadata.map(|metadata| Self(metadata.dev(), metadata.ino())))
    }
}

/// A log directory at a moment at which `current` was the newest file in it.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The names of the archives; they sort from the oldest to the newest.
    pub(super) archives: BTreeSet<OsString>,
    /// The file that s6-log is archiving and has not named yet. It is newer than all archives.
    pub(super) previous: Option<File>,
    /// The file that s6-log writes to. Missing during a rotation, or after a logger died during one.
    pub(super) current: Option<File>,
}

impl Snapshot {
    /// Lists the directory at `path`; `None` if it is absent.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let at = path.join("current");
        loop {
            let current = open(&at)?;
            // Opened before the listing: either it is named there, or it had no name yet.
            let previous = open(&path.join("previous"))?;
            let Some(archives) = archives(path)? else { return Ok(None) };
            let opened = current.as_ref().map(Identity::of).transpose()?;
            // A rotation happened meanwhile: a file may be missing from both results.
            if Identity::at(&at)? != opened {
                continue;
            }
            let previous = match previous {
                Some(file) if !is_named(path, &archives, &file)? => Some(file),
                _ => None,
            };
            return Ok(Some(Self { archives, previous, current }));
        }
    }
}

fn archives(path: &Path) -> io::Result<Option<BTreeSet<OsString>>> {
    let Some(entries) = present(fs::read_dir(path))? else { return Ok(None) };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.filter(|name| name.as_ref().map_or(true, |name| is_archive(name)));
    names.collect::<io::Result<_>>().map(Some)
}

fn is_named(path: &Path, archives: &BTreeSet<OsString>, file: &File) -> io::Result<bool> {
    let identity = Identity::of(file)?;
    for name in archives {
        if Identity::at(&path.join(name))? == Some(identity) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `name` is an archive's according to s6-log: `@`, a TAI64N label, `.s` or `.u`.
pub(super) fn is_archive(name: &OsStr) -> bool {
    let Some((b'@', rest)) = name.as_bytes().split_first() else { return false };
    let Some((label, suffix)) = rest.split_at_checked(24) else { return false };
    label.iter().all(u8::is_ascii_hexdigit) && matches!(suffix, b".s" | b".u")
}

/// Opens a file that may have been removed in the meantime.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    present(fsutil::open_file(path)).map(|file| file.map(fs::File::into_file))
}

/// Turns the error for an absent file into `None`.
pub(super) fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_name_that_s6_log_gives() {
        for name in ["@400000006562a2b81f3c5e0c.s", "@400000006562a2b81f3c5e0c.u"] {
            assert!(is_archive(name.as_ref()), "{name}");
        }
        for name in ["current", "@400000006562a2b81f3c5e0c", "@400000006562a2b81f3c5e0c.z", "@é"] {
            assert!(!is_archive(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn a_file_with_two_names_is_there_once_and_one_without_a_name_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let previous = dir.path().join("previous");
        std::fs::write(&previous, "x\n").unwrap();
        let seen = Snapshot::take(dir.path()).unwrap().unwrap();
        assert!(seen.previous.is_some() && seen.current.is_none());
        std::fs::hard_link(previous, dir.path().join("@400000006562a2b81f3c5e0c.s")).unwrap();
        let seen = Snapshot::take(dir.path()).unwrap().unwrap();
        assert!(seen.previous.is_none());
        assert_eq!(seen.archives.len(), 1);
    }
    #[test]
    fn whatever_is_named_was_finished_before_the_current_file_was_met() {
        let dir = tempfile::tempdir().unwrap();
        let [current, previous] = ["current", "previous"].map(|name| dir.path().join(name));
        let archive = |number: usize| dir.path().join(format!("@{number:024x}.s"));
        std::fs::write(&current, "").unwrap();
        std::thread::scope(|scope| {
            let logger = scope.spawn(|| {
                for number in 0..3_000 {
                    std::fs::rename(&current, &previous).unwrap();
                    std::fs::write(&current, "").unwrap();
                    std::fs::hard_link(&previous, archive(number)).unwrap();
                    std::fs::remove_file(&previous).unwrap();
                    let _ = number.checked_sub(20).map(|old| std::fs::remove_file(archive(old)));
                }
            });
            let mut mixed = 0;
            while !logger.is_finished() {
                let seen = Snapshot::take(dir.path()).unwrap().unwrap();
                let Some(current) = seen.current else { continue };
                mixed += usize::from(is_named(dir.path(), &seen.archives, &current).unwrap());
            }
            assert_eq!(mixed, 0);
        });
    }
}
