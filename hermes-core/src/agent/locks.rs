//! The lock that the agent's gateway holds while it runs, whoever started it: `gateway.lock` in its home, by `flock(2)`.
//!
//! The file names its last holder, and stays when that has ended. So the kernel's list of locks decides, or else whether
//! the named process has the file open: some file systems have other device numbers than that list. To take the lock
//! for a test would keep a gateway that starts just then from it.

use std::sync::OnceLock;

use fs_err as fs;
use serde::Deserialize;

use crate::fsutil;
use crate::home::ProfileHome;
use crate::proc::{Flocks, Proc};

/// The locks of the agent's gateways. Reads the kernel's list once, when a home has such a file.
#[derive(Debug, Default)]
pub struct Locks {
    proc: Proc,
    flocks: OnceLock<Flocks>,
}

/// The file, as its holder writes it.
#[derive(Deserialize)]
struct Record {
    pid: u32,
}

impl Locks {
    /// The process that holds the lock of the gateway at `home`; `None` if none does, or if it is in another PID
    /// namespace.
    pub fn holder(&self, home: &ProfileHome) -> Option<u32> {
        let path = home.agent_lock();
        let metadata = fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        let flocks = self.flocks.get_or_init(|| self.proc.flocks());
        flocks.holder(&metadata).or_else(|| {
            let record: Record = serde_json::from_slice(&fsutil::read(&path).ok()?).ok()?;
            self.proc.has_open(record.pid, &path).then_some(record.pid)
        })
    }

    /// As [`holder`](Self::holder), unless the holder is one of `own` or descends from one.
    pub fn stranger(&self, home: &ProfileHome, own: &[u32]) -> Option<u32> {
        let holder = self.holder(home)?;
        let ancestry = self.proc.ancestry(holder);
        (!own.iter().any(|pid| ancestry.contains(pid))).then_some(holder)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{ProfileName, RootHome};

    #[test]
    fn the_holder_is_the_one_that_the_kernel_names() {
        let dir = tempfile::tempdir().unwrap();
        let home = RootHome::new(dir.path()).profile(&ProfileName::default_profile());
        let holder = || Locks::default().holder(&home);
        assert_eq!(holder(), None, "no file");
        let this = std::process::id();
        let record = |pid: u32| format!(r#"{{"pid":{pid},"kind":"hermes-gateway"}}"#);
        fs::write(home.agent_lock(), record(this)).unwrap();
        assert_eq!(holder(), None, "a file alone says nothing");
        let file = fs::File::open(home.agent_lock()).unwrap();
        assert_eq!(holder(), Some(this), "it has the file open");
        fs::write(home.agent_lock(), record(1)).unwrap();
        assert_eq!(holder(), None, "another process than the recorded one has it open");
        file.file().lock().unwrap();
        assert_eq!(holder(), Some(this), "the kernel lists it, whatever the file says");
        let parent = std::os::unix::process::parent_id();
        assert_eq!(Locks::default().stranger(&home, &[parent]), None, "it descends from it");
        assert_eq!(Locks::default().stranger(&home, &[u32::MAX]), Some(this));
        drop(file);
        fs::remove_file(home.agent_lock()).unwrap();
        fs::create_dir(home.agent_lock()).unwrap();
        assert_eq!(holder(), None, "a directory");
    }
}
