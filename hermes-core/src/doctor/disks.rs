//! Checks free space and inodes of the home, the logs and the backend's directory of services.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;

use crate::diagnostics::{Check, Remedy, Room, ServiceDirectory, Severity, Snapshot};
use crate::shell::quote_path;
use crate::size;

const MIB: u64 = 1 << 20;

/// Below the needed room a log can't be rotated, and an agent can't work; below the wanted room the disk is
/// soon full.
const HOME: Room = Room { needed: 16 * MIB, wanted: 1024 * MIB };
/// The free part of a file system, in percent, above which nothing is reported.
const LITTLE: u64 = 5;
/// Enough entries for a new slot or profile.
const ENTRIES_NEEDED: u64 = 64;
/// Enough entries for a few dozen of them.
const ENTRIES_WANTED: u64 = 2048;

/// The free room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    bytes: u64,
    of_bytes: u64,
    entries: u64,
    /// 0 if the file system does not count them.
    of_entries: u64,
}

pub(super) fn check(snapshot: &Snapshot, directory: Option<&ServiceDirectory>) -> Check {
    let mut check = Check::new("disk");
    let root = snapshot.root.path();
    let mut places = vec![(root.to_owned(), HOME), (root.join("logs/gateways"), HOME)];
    places.extend(directory.map(|directory| (directory.path.clone(), directory.room)));
    let (mut devices, mut seen) = (Vec::new(), Vec::new());
    for (place, room) in places {
        // A missing directory will be created on the file system of its parent.
        let Some((path, device)) = place
            .ancestors()
            .find_map(|path| Some((path.to_owned(), fs::metadata(path).ok()?.dev())))
        else {
            continue;
        };
        if devices.contains(&device) {
            continue;
        }
        devices.push(device);
        match free(&path) {
            Ok(free) => {
                seen.push(format!("{} at `{}`", shown(free), path.display()));
                judge(&mut check, &path, free, room);
            }
            Err(error) => check.partial(format!("`{}`: {error}", path.display())),
        }
    }
    check.with_evidence(seen.join(", "))
}

fn free(path: &Path) -> std::io::Result<Free> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Free {
        bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        of_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        entries: stat.f_favail,
        of_entries: stat.f_files,
    })
}

fn judge(check: &mut Check, path: &Path, free: Free, room: Room) {
    for (severity, what) in verdicts(free, room) {
        let problem = format!("the file system of `{}` has {what}", path.display());
        let remedy =
            format!("make room on it: `du -xh {} | sort -h` shows what takes it", quote_path(path));
        check.find(severity, problem, Remedy::Do(remedy));
    }
}

/// The problem with the free room.
fn verdicts(free: Free, room: Room) -> Vec<(Severity, String)> {
    let little = |free: u64, of: u64| free.saturating_mul(100) < of.saturating_mul(LITTLE);
    let mut verdicts = Vec::new();
    let space = format!("{} free of {}", size::shown(free.bytes), size::shown(free.of_bytes));
    if free.bytes < room.needed {
        verdicts.push((Severity::Error, space));
    } else if free.bytes < room.wanted && little(free.bytes, free.of_bytes) {
        verdicts.push((Severity::Warning, space));
    }
    let entries = format!("{} inodes free of {}", free.entries, free.of_entries);
    if free.of_entries == 0 {
        // This file system creates inodes when needed.
    } else if free.entries < ENTRIES_NEEDED {
        verdicts.push((Severity::Error, entries));
    } else if free.entries < ENTRIES_WANTED && little(free.entries, free.of_entries) {
        verdicts.push((Severity::Warning, entries));
    }
    verdicts
}

fn shown(free: Free) -> String {
    let entries = match free.of_entries {
        0 => String::new(),
        _ => format!(" and {} inodes", free.entries),
    };
    format!("{} of {}{entries} free", size::shown(free.bytes), size::shown(free.of_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(bytes: u64, of_bytes: u64, entries: u64, of_entries: u64) -> Vec<Severity> {
        let free = Free { bytes, of_bytes, entries, of_entries };
        verdicts(free, HOME).into_iter().map(|(judgement, _)| judgement).collect()
    }

    #[test]
    fn little_is_a_warning_and_too_little_an_error() {
        const GIB: u64 = 1 << 30;
        assert_eq!(judged(20 * GIB, 1000 * GIB, 9000, 10_000), []);
        assert_eq!(judged(GIB - 1, 1000 * GIB, 9000, 10_000), [Severity::Warning]);
        // Little, but most of the file system.
        assert_eq!(judged(GIB - 1, 2 * GIB, 9000, 10_000), []);
        assert_eq!(judged(16 * MIB - 1, 20 * MIB, 9000, 10_000), [Severity::Error]);
        assert_eq!(judged(0, GIB, 0, 10_000), [Severity::Error, Severity::Error]);
        assert_eq!(judged(GIB, GIB, 63, 10_000_000), [Severity::Error]);
        assert_eq!(judged(GIB, GIB, 2000, 10_000_000), [Severity::Warning]);
        assert_eq!(judged(GIB, GIB, 0, 0), [], "a file system without a count of inodes");
    }
}
