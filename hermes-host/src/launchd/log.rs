//! The file that launchd appends a gateway's output to: `current`, in the directory and with the names that
//! s6-log uses, so that the same code reads both. launchd adds no timestamps and rotates nothing. It keeps the
//! file open while the job runs, so a large file is rotated before its gateway starts.

use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use fs_err as fs;
use hermes_core::log::line::NO_NEWLINE;
use hermes_core::{fsutil, tai64n, writers};
use jiff::Timestamp;

/// The file's name.
pub(super) const CURRENT: &str = "current";
/// A larger file is rotated, in bytes.
const LARGE: u64 = 10_000_000;
/// The number of rotated files that are kept.
const MAX_ARCHIVES: usize = 5;

/// Creates the directory and the file, which launchd would open to other users, and rotates a large file. No job may
/// have the file open.
pub(super) fn rotate(directory: &Path) -> io::Result<()> {
    writers::create_log_directory(directory)?;
    let current = directory.join(CURRENT);
    if writers::append_to_log(&current)?.metadata()?.len() <= LARGE {
        return Ok(());
    }
    fs::rename(&current, directory.join(archive_name(Timestamp::now())))?;
    writers::append_to_log(&current)?;
    let mut archives = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('@') && name.ends_with(".s") {
            archives.push(path);
        }
    }
    archives.sort();
    let old = archives.len().saturating_sub(MAX_ARCHIVES);
    archives[..old].iter().try_for_each(|path| fsutil::remove_file_if_there(path).map(drop))
}

/// Ends the last line of the log in `directory` if a gateway that has ended left it without a newline, so that the
/// next life's output is not joined to it.
pub(super) fn end_last_line(directory: &Path) -> io::Result<()> {
    let current = directory.join(CURRENT);
    let file = fsutil::open_file(&current)?;
    let mut last = [b'\n'];
    if let Some(at) = file.metadata()?.len().checked_sub(1) {
        file.file().read_exact_at(&mut last, at)?;
    }
    if last == [b'\n'] {
        return Ok(());
    }
    writers::append_to_log(&current)?.write_all(format!("{NO_NEWLINE}\n").as_bytes())
}

/// The name that s6-log gives a rotated file (`s6-log.html`): `@`, a TAI64N label, `.s`.
fn archive_name(now: Timestamp) -> String {
    format!("@{}.s", tai64n::to_hex(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_rotated_and_the_newest_kept() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("logs");
        rotate(&directory).unwrap();
        let current = directory.join(CURRENT);
        let names = || {
            let entries = fs::read_dir(&directory).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        fs::write(&current, "small").unwrap();
        rotate(&directory).unwrap();
        assert_eq!(names(), [CURRENT]);
        let first = directory.join(archive_name(Timestamp::UNIX_EPOCH));
        fs::write(&first, "first").unwrap();
        for _ in 0..MAX_ARCHIVES {
            fs::File::create(&current).unwrap().set_len(LARGE + 1).unwrap();
            rotate(&directory).unwrap();
        }
        assert_eq!(names().len(), MAX_ARCHIVES + 1);
        assert!(!first.exists());
        assert_eq!(fs::metadata(&current).unwrap().len(), 0);
    }

    #[test]
    fn archives_have_the_names_of_s6_log() {
        let time = Timestamp::new(1_700_000_000, 0x1f3c_5e0c).unwrap();
        assert_eq!(archive_name(time), "@400000006553f1251f3c5e0c.s");
    }
}
