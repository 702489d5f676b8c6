//! A wall clock for a test environment alone, which a test sets while its processes run.
//!
//! libfaketime answers the processes of the environment; monotonic clocks go on as they are, as when the
//! administrator sets a machine's clock. What the kernel writes, such as times of files, has the machine's time.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::libfaketime;

/// The wall clock of a test environment.
#[derive(Debug)]
pub struct Clock {
    library: String,
    /// The file with the difference from the machine's clock.
    offset: PathBuf,
}

impl Clock {
    /// A clock that reads its difference from the machine's clock from the file `offset`.
    ///
    /// # Panics
    ///
    /// If libfaketime is not installed.
    pub fn new(offset: PathBuf) -> Self {
        Self { library: libfaketime(), offset }
    }

    /// The file with the difference from the machine's clock, such as `-1h`.
    pub fn offset(&self) -> &Path {
        &self.offset
    }

    /// Gives a command, and all that it starts, this clock.
    pub fn apply(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.offset);
        // Read at every question, not every ten seconds.
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("NO_FAKE_STAT", "1");
    }
}
