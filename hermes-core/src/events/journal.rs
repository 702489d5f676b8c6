//! Appends events to the journal, and moves a full file to `.1`.
//!
//! A writer holds a lock on the file itself, and checks then that the file is still the journal. So nobody appends to
//! a file that was moved, and its followers know that they have read all of it.

use std::convert::Infallible;
use std::fs::TryLockError;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use jiff::Timestamp;

use super::{Event, What};
use crate::fsutil::is_at;
use crate::home::RootHome;
use crate::name::ProfileName;
use crate::restart::EXIT_RESTART;
use crate::status::Exit;
use crate::wait::{self, Poll};
use crate::writers;

/// The size at which the file is moved. An event has some hundred bytes.
pub(super) const ROTATE_AT: u64 = 1024 * 1024;
/// The most characters of a reason that are kept.
const MAX_WHY: usize = 1000;
/// How long to wait for other writers, of which each writes one line.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The journal of one root home.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

/// The journal for the events of one gateway.
#[derive(Debug, Clone)]
pub struct Recorder {
    journal: Journal,
    profile: ProfileName,
}

impl Journal {
    /// The journal in `root`. Reads and creates nothing.
    pub fn new(root: &RootHome) -> Self {
        Self { path: root.events() }
    }

    /// Appends an event that happens now. A failure is logged. Blocks while others append, at most two seconds.
    pub fn record(&self, profile: &ProfileName, event: What, why: impl Into<String>) {
        self.record_at(Timestamp::now(), profile, event, why.into());
    }

    /// The same for an event that happened at `time`.
    fn record_at(&self, time: Timestamp, profile: &ProfileName, event: What, mut why: String) {
        if let Some((end, _)) = why.char_indices().nth(MAX_WHY) {
            why.truncate(end);
            why.push('…');
        }
        let event = Event { time, profile: profile.clone(), event, why };
        if let Err(error) = self.append(&event, ROTATE_AT) {
            let path = self.path.display();
            log::warn!(
                "failed to record the event `{}` of `{profile}` in `{path}`: {error}",
                event.event
            );
        }
    }

    /// The journal for the events of `profile`.
    pub fn of(self, profile: &ProfileName) -> Recorder {
        Recorder { journal: self, profile: profile.clone() }
    }

    /// Its files, each of which may be missing.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        [self.path.clone(), self.rotated()]
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that was the journal before.
    pub(super) fn rotated(&self) -> PathBuf {
        self.path.with_added_extension("1")
    }

    /// Appends `event` to the journal, which is moved before that if it has `limit` bytes.
    pub(super) fn append(&self, event: &Event, limit: u64) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            writers::create_log_directory(directory)?;
        }
        let deadline = Instant::now() + TIMEOUT;
        let mut file = loop {
            let file = writers::append_to_journal(&self.path)?;
            lock(&file, deadline)?;
            match is_at(&file, &self.path)? {
                true if file.metadata()?.len() < limit => break file,
                true => fs::rename(&self.path, self.rotated())?,
                false if Instant::now() < deadline => {}
                false => return Err(io::Error::other("it is replaced again and again")),
            }
        };
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let before = file.metadata()?.len();
        // A writer that was killed, or the machine, may have left half a line.
        let mut last = [b'\n'];
        if before > 0 && file.file().read_at(&mut last, before - 1)? == 1 && last != [b'\n'] {
            line.insert(0, b'\n');
        }
        let written = file.write_all(&line);
        if written.is_err() {
            // A full disk may have taken half of it.
            let _ = file.set_len(before);
        }
        written
    }
}

impl Recorder {
    /// As [`Journal::record`].
    pub fn record(&self, event: What, why: impl Into<String>) {
        self.journal.record(&self.profile, event, why);
    }

    /// The same for an event that happened at `time`.
    pub fn record_at(&self, time: Timestamp, event: What, why: impl Into<String>) {
        self.journal.record_at(time, &self.profile, event, why.into());
    }

    /// Records that the gateway's process ended with `exit`, and no operator requested it.
    pub fn record_death(&self, exit: Exit) {
        self.record_death_at(Timestamp::now(), exit);
    }

    /// The same for a death at `time`.
    pub fn record_death_at(&self, time: Timestamp, exit: Exit) {
        match exit {
            Exit::Code(EXIT_RESTART) => {
                self.record_at(time, What::Requested, "restart, by the gateway itself");
            }
            exit => self.record_at(time, What::Died, exit.to_string()),
        }
    }

    /// The gateway's profile.
    pub fn profile(&self) -> &ProfileName {
        &self.profile
    }
}

/// Locks a file until it is closed. A file system without locks is no error: then two writers at the same time may
/// move a file that a follower has not read to its end.
fn lock(file: &fs::File, deadline: Instant) -> io::Result<()> {
    let Ok(locked) = wait::until(deadline, || {
        Ok::<_, Infallible>(match file.file().try_lock() {
            Err(TryLockError::WouldBlock) => Poll::Wait,
            Ok(()) | Err(TryLockError::Error(_)) => Poll::Done(()),
        })
    });
    locked.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "another process holds its lock"))
}
