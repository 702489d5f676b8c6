//! Logs in directories: `logs/gateways/PROFILE` below the root home, which s6-log or launchd writes to.
//!
//! Sources: `s6-log.html`, `src/daemontools-extras/s6-log.c`. s6-log appends whole lines to `current`.
//! A rotation renames that to `previous`, makes a new `current`, marks `previous` as finished, links
//! it as `@<TAI64N>.s`, unlinks `previous`, and unlinks the oldest archives where there are too many.
//! A new logger continues a `current` that was finished in order, and links any other one
//! as `@<TAI64N>.u`. So
//!
//! - s6-log never writes to a file after `current` has become another file;
//! - the names of archives sort by the time of their rotation, and a file's inode stays the same under all its names;
//! - for a moment there is no `current`, and for another one a file has two names.
//!
//! s6-log reads the wall clock for names when it starts, and counts on with another clock. If the wall clock was set
//! back between two loggers, newer archives have earlier names. Nothing else orders the files: their own times and the
//! stamps in them are of the wall clock, and inodes are used again. So stored lines are read in the order of the names, as s6-log removes the files. A follower is not misled: inotify announces archives in the order
//! in which they are made.
//!
//! Files are identified by inode, and kept open while that matters: the inode number of a
//! removed file may be used again once no process has the file open.
//!
//! s6-log splits lines over 8,192 bytes (`-l`), and a logger that was killed leaves half a line. Nothing here joins
//! the parts: each is a line that is marked as cut.
//!
//! | file | what it does |
//! |---|---|
//! | `directory` | the files of one log directory at one moment |
//! | `begin`, `tail` | which files are read, and where the last lines begin |
//! | `reader` | the lines of one file |
//! | `lines` | the lines that one directory holds |
//! | `follow` | the lines that one directory gets, across rotations |
//! | `merge` | several logs in the order of time |

mod begin;
mod directory;
mod follow;
mod lines;
mod merge;
mod reader;
mod tail;

use std::io;
use std::iter;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::follow::Follower;
use self::lines::DirectoryLines;
use self::merge::Merge;
use super::logs::{Event, Follow, Lines, Logs};
use super::profiles::Profiles;
use super::selection::Selection;
use super::watch::Watch;
use crate::home::RootHome;
use crate::manager::ManagerError;
use crate::name::ProfileName;
use crate::store::Store;

/// The logs in the log directories of a root home.
#[derive(Debug)]
pub struct LogFiles {
    root: RootHome,
    zone: TimeZone,
}

impl LogFiles {
    /// The logs of the gateways of `root`. `zone` is that of stamps in local time, which has to be guessed: a logger of
    /// the Python agent's writes its own. Nothing is read yet.
    pub fn new(root: RootHome, zone: TimeZone) -> Self {
        Self { root, zone }
    }

    fn directory(&self, profile: &ProfileName) -> PathBuf {
        self.root.gateway_logs(profile)
    }
}

impl Logs for LogFiles {
    fn exists(&self, profile: &ProfileName) -> Result<bool, ManagerError> {
        self.directory(profile).try_exists().map_err(|error| failed_to_read(profile, error))
    }

    /// All files are open from the beginning, so that a slow reader misses none.
    fn read(&self, profiles: &[ProfileName], selection: &Selection) -> Result<Lines, ManagerError> {
        let mut logs = Vec::new();
        for profile in profiles {
            let lines = DirectoryLines::read(&self.directory(profile), selection, &self.zone)
                .map_err(|error| failed_to_read(profile, error))?;
            logs.push((profile.clone(), lines));
        }
        let mut merge = Merge::new(logs.len());
        Ok(Box::new(iter::from_fn(move || {
            let next = |place: usize| {
                let (profile, lines) = &mut logs[place];
                let line = lines.next_line().map_err(|error| failed_to_read(profile, error))?;
                Ok(line.map(|line| (line.time, line)))
            };
            merge.next(next).transpose()
        })))
    }

    fn follow(
        &self,
        profiles: &[ProfileName],
        selection: &Selection,
    ) -> Result<Box<dyn Follow>, ManagerError> {
        let mut watch = Watch::new();
        let mut logs = Vec::new();
        for profile in profiles {
            let directory = self.directory(profile);
            let follower = Follower::begin(&directory, selection, &self.zone, &mut watch)
                .map_err(|error| failed_to_read(profile, error))?;
            logs.push(Followed { profile: profile.clone(), follower: Some(follower) });
        }
        let merge = Merge::new(logs.len());
        let profiles = Profiles::new(Store::new(self.root.clone()), profiles);
        Ok(Box::new(FollowedFiles { watch, profiles, logs, merge }))
    }
}

fn time(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Line(line) => line.time,
        Event::Removed(_) | Event::Ended => None,
    }
}

fn failed_to_read(profile: &ProfileName, error: io::Error) -> ManagerError {
    ManagerError::of(&format!("read the log of `{profile}`"), error.into())
}

/// The log directories of some profiles, followed.
#[derive(Debug)]
struct FollowedFiles {
    watch: Watch,
    profiles: Profiles,
    logs: Vec<Followed>,
    merge: Merge<Event>,
}

#[derive(Debug)]
struct Followed {
    profile: ProfileName,
    /// None after the end of the log.
    follower: Option<Follower>,
}

impl Followed {
    fn next(&mut self, watch: &mut Watch) -> Result<Option<Event>, ManagerError> {
        let Some(follower) = &mut self.follower else { return Ok(None) };
        follower.next(watch).map_err(|error| failed_to_read(&self.profile, error))
    }

    /// Ends the log; the lines that went with its directory are the last event before that.
    fn end(&mut self, watch: &mut Watch) -> Result<Option<Event>, ManagerError> {
        let Some(mut follower) = self.follower.take() else { return Ok(None) };
        let removed = follower.end(watch).map_err(|error| failed_to_read(&self.profile, error))?;
        Ok(removed.map(Event::Removed))
    }
}

impl Follow for FollowedFiles {
    fn next(&mut self) -> Result<Option<(usize, Event)>, ManagerError> {
        let Self { watch, profiles, logs, merge } = self;
        profiles.look(watch)?;
        let event = merge.next(|place| {
            let event = logs[place].next(watch)?;
            Ok::<_, ManagerError>(event.map(|event| (time(&event), event)))
        })?;
        if event.is_some() {
            return Ok(event);
        }
        let Some(place) = profiles.first_ending() else { return Ok(None) };
        if let Some(event) = logs[place].end(watch)? {
            return Ok(Some((place, event)));
        }
        Ok(profiles.next_ended().map(|place| (place, Event::Ended)))
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.watch.fd().into_iter().collect()
    }

    fn max_wait(&mut self) -> Option<Duration> {
        self.watch.max_wait()
    }
}

#[cfg(test)]
mod tests;
