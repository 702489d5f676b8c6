//! Watches nothing: where the kernel has no inotify(7), followers look again and again.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use super::POLL_INTERVAL;

/// A watch without events.
#[derive(Debug, Default)]
pub struct Watch;

impl Watch {
    /// A watch without directories.
    pub fn new() -> Self {
        Self
    }

    /// Nothing to wait on.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// How long to wait before polling again.
    pub fn max_wait(&mut self) -> Option<Duration> {
        Some(POLL_INTERVAL)
    }

    pub(super) fn names(&mut self, _: &Path) -> io::Result<bool> {
        Ok(true)
    }

    pub(crate) fn log(&mut self, _: &Path) -> io::Result<Option<i32>> {
        Ok(None)
    }

    pub(crate) fn take_in(&mut self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn appeared(&mut self, _: i32) -> Vec<OsString> {
        Vec::new()
    }

    pub(super) fn overflows(&self) -> Option<u64> {
        None
    }
}
