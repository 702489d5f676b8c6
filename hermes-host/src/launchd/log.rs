//! The file that launchd appends a gateway's lines to: `current` in the directory where s6-log would keep
//! them, so that they are read in the same way. launchd adds no time and rotates nothing, and holds the file
//! open for as long as the job runs; so a large one is put aside when its gateway is about to be started.

use std::io;
use std::path::Path;

use fs_err as fs;
use hermes_core::fsutil;
use jiff::Timestamp;

/// The file's name.
pub(super) const CURRENT: &str = "current";
/// A larger one is put aside, in bytes.
const LARGE: u64 = 10_000_000;
/// So many are kept that were put aside.
const KEPT: usize = 5;

/// Makes the directory, and puts a large file aside. For when no job has it open.
pub(super) fn make_room(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let current = directory.join(CURRENT);
    if !fs::metadata(&current).is_ok_and(|metadata| metadata.len() > LARGE) {
        return Ok(());
    }
    fs::rename(&current, directory.join(archive(Timestamp::now())))?;
    let mut archives = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('@') && name.ends_with(".s") {
            archives.push(path);
        }
    }
    archives.sort();
    let old = archives.len().saturating_sub(KEPT);
    archives[..old].iter().try_for_each(|path| fsutil::remove_file_if_there(path).map(drop))
}

/// The name that s6-log would give (`s6-log.html`): `@`, a TAI64N label, `.s`.
fn archive(now: Timestamp) -> String {
    let seconds = (1_u64 << 62) + 37 + now.as_second().cast_unsigned();
    format!("@{seconds:016x}{:08x}.s", now.subsec_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_put_aside_and_the_newest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("logs");
        make_room(&directory).unwrap();
        let current = directory.join(CURRENT);
        let names = || {
            let entries = fs::read_dir(&directory).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        fs::write(&current, "small").unwrap();
        make_room(&directory).unwrap();
        assert_eq!(names(), [CURRENT]);
        let first = directory.join(archive(Timestamp::UNIX_EPOCH));
        fs::write(&first, "first").unwrap();
        for _ in 0..KEPT {
            fs::File::create(&current).unwrap().set_len(LARGE + 1).unwrap();
            make_room(&directory).unwrap();
        }
        assert_eq!(names().len(), KEPT);
        assert!(!first.exists() && !current.exists());
    }

    #[test]
    fn an_archive_is_called_as_s6_log_calls_it() {
        let time = Timestamp::new(1_700_000_000, 0x1f3c_5e0c).unwrap();
        assert_eq!(archive(time), "@400000006553f1251f3c5e0c.s");
    }
}
