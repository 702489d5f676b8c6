//! The record of the process that took a lock, in the lock's file.
//!
//! A process can lose an `fcntl(2)` lock without noticing: any close of any descriptor of the file in that
//! process releases it. The record still identifies the process. It names the file that it was written to, so
//! a copy of the file means nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::clock::Moment;

/// The first word of the record's line.
const MARK: &str = "taker";
/// More than the content of any lock's file.
const MAX_CONTENT: usize = 4096;

/// The process that took a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taker {
    /// Its process ID.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// The inode of its PID namespace.
    namespace: u64,
    /// Device and inode of the lock's file.
    file: (u64, u64),
    /// The machine's boot in which it started; empty if unknown.
    boot: String,
}

impl Taker {
    /// This process, as the taker of the lock on `file`. `None` where the system does not report when a process
    /// started.
    pub(super) fn this_process(file: &File) -> Option<Self> {
        let pid = std::process::id();
        let (start, namespace) = (start_time(pid)?, namespace()?);
        let boot = Moment::now().boot().to_owned();
        Some(Self { pid, start, namespace, file: identity(file).ok()?, boot })
    }

    /// The taker that the lock's file at `path` records, whether it still runs or not. A file that can't be read
    /// records none. A process that holds the lock must not call this: it would lose the lock.
    pub fn recorded_at(path: &Path) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).ok()?;
        Self::recorded_in(&File::from(file))
    }

    /// The taker that `file` records.
    pub(super) fn recorded_in(file: &File) -> Option<Self> {
        let mut content = [0; MAX_CONTENT];
        let len = file.read_at(&mut content, 0).ok()?;
        Self::parse(&content[..len], file)
    }

    /// The record in the content of `file`, if it was written to this file.
    fn parse(content: &[u8], file: &File) -> Option<Self> {
        let text = std::str::from_utf8(content).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(MARK)?.strip_prefix(' '))?;
        let mut fields = line.split(' ');
        let mut next = || fields.next()?.parse::<u64>().ok();
        let (pid, start, namespace) = (u32::try_from(next()?).ok()?, next()?, next()?);
        let recorded = (next()?, next()?);
        let boot = fields.next().unwrap_or_default().to_owned();
        let taker = Self { pid, start, namespace, file: recorded, boot };
        (identity(file).ok()? == taker.file).then_some(taker)
    }

    /// The line of the record.
    pub(super) fn line(&self) -> String {
        let Self { pid, start, namespace, file: (device, inode), boot } = self;
        format!("{MARK} {pid} {start} {namespace} {device} {inode} {boot}\n")
    }

    /// Whether the process started in this boot of the machine, and not before `start`, in clock ticks since then.
    pub fn started_since(&self, start: u64) -> bool {
        !self.boot.is_empty() && self.boot == Moment::now().boot() && self.start >= start
    }

    /// Whether the process still runs, and in this process's PID namespace. A zombie has ended.
    pub fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.start) && namespace() == Some(self.namespace)
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// When the process started, unless it has ended.
fn start_time(pid: u32) -> Option<u64> {
    crate::proc::Proc::default().living_since(pid)
}

/// The inode of this process's PID namespace.
fn namespace() -> Option<u64> {
    fs_err::metadata("/proc/self/ns/pid").ok().map(|metadata| metadata.ino())
}
