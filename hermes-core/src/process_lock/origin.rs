//! Whether a gateway was started by a supervisor or by hand, as the file of its lock records.
//!
//! A gateway that has lost its supervisor looks like one that somebody started by hand. The first must end if nobody
//! wants it; the second is its starter's.

use std::path::Path;

use jiff::Timestamp;

use super::content;

/// The end of the line of a gateway that a supervisor started.
const SUPERVISED: &str = "under a supervisor";

/// The content of the lock's file of a gateway, which is this process.
pub fn of_this_process(supervised: bool) -> String {
    let (pid, now) = (std::process::id(), Timestamp::now());
    match supervised {
        true => format!("pid {pid} since {now} {SUPERVISED}\n"),
        false => format!("pid {pid} since {now}\n"),
    }
}

/// Whether a supervisor started the gateway that took the lock at `path`. A file that can't be read says no.
pub fn is_supervised(path: &Path) -> bool {
    content(path).is_ok_and(|text| text.lines().any(|line| line.ends_with(SUPERVISED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervised_gateway_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_supervised(&path));
        for supervised in [true, false] {
            std::fs::write(&path, of_this_process(supervised) + "taker 1 2 3 4 5 boot\n").unwrap();
            assert_eq!(is_supervised(&path), supervised);
        }
    }
}
