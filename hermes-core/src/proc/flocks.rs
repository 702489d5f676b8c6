//! The processes that hold `flock(2)` locks.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use fs_err as fs;

use super::Proc;

/// The `flock(2)` locks of this PID namespace at one moment, as the kernel lists them.
#[derive(Debug, Default)]
pub struct Flocks(BTreeMap<String, u32>);

impl Flocks {
    /// The process that holds the lock on the file with this metadata. A file system that reports other device
    /// numbers than the kernel's hides its holder.
    pub fn holder(&self, of: &Metadata) -> Option<u32> {
        // `Dev` is not the type of `dev()` on every system.
        let device = of.dev() as rustix::fs::Dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        self.0.get(&format!("{major:02x}:{minor:02x}:{}", of.ino())).copied()
    }
}

impl Proc {
    /// Reads them; none if they can't be read.
    pub fn flocks(&self) -> Flocks {
        let locks = fs::read_to_string(self.root.join("locks")).unwrap_or_default();
        let held = locks.lines().filter_map(|line| {
            // `1: FLOCK  ADVISORY  WRITE 123 00:2a:456 0 EOF`; with `->` after the number, a process that waits.
            let mut words = line.split_ascii_whitespace().skip(1);
            let kind = words.next()?;
            let (pid, file) = (words.nth(2)?.parse().ok()?, words.next()?.to_owned());
            (kind == "FLOCK").then_some((file, pid))
        });
        Flocks(held.collect())
    }
}
