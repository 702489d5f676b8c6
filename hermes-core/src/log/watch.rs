//! Being told of changes in directories, by inotify(7).
//!
//! The kernel keeps what happened for a reader that is late, up to a limit, and says so when it is
//! over it. That is how it can be told how many archives came and went unseen. Of what another
//! machine writes to a shared file system nothing is told: logs are followed where they are written.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::directory::is_archive;

const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Watches the directories of any number of followers.
#[derive(Debug)]
pub struct Watch {
    /// None where the system has no more to give (`fs.inotify.max_user_instances`).
    inotify: Option<OwnedFd>,
    /// The archives that appeared in a directory since its follower last asked.
    appeared: HashMap<i32, BTreeSet<OsString>>,
    /// How often something was dropped.
    overflows: u64,
    /// Whether anything was told since it was last asked.
    told: bool,
}

impl Watch {
    /// A watch on nothing yet. Where the kernel gives none, it is blind and to be asked again from
    /// time to time.
    pub fn new() -> Self {
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        Self { inotify: inotify::init(flags).ok(), ..Self::blind() }
    }

    /// A watch that is never told anything.
    pub(super) fn blind() -> Self {
        Self { inotify: None, appeared: HashMap::new(), overflows: 0, told: false }
    }

    /// What becomes readable when there is something to be told; `None` if it is blind.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// How long nothing may be looked at again, though nothing was told; `None` for as long as that.
    pub fn timeout(&self) -> Option<Duration> {
        self.inotify.is_none().then_some(LOOK_AGAIN)
    }

    /// Watches which names come and go in the directory at `path`; nothing where there is none.
    pub fn names(&mut self, path: &Path) -> io::Result<bool> {
        let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
        self.add(path, names).map(|added| added != Added::Absent)
    }

    /// Watches the log directory at `path`, its files included; `None` where there is none, and
    /// then whatever there is on the way to it.
    pub(super) fn log(&mut self, path: &Path) -> io::Result<Option<i32>> {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::MODIFY;
        loop {
            match self.add(path, flags)? {
                Added::Here(watch) => return Ok(Some(watch)),
                Added::Blind => return Ok(None),
                Added::Absent => {}
            }
            let nearest = path.ancestors().skip(1).find(|parent| parent.exists());
            let Some(nearest) = nearest else { return Ok(None) };
            // Whatever appeared before the parent was watched is not told.
            let below = path.ancestors().take_while(|part| *part != nearest).last();
            if self.names(nearest)? && !below.is_some_and(Path::exists) {
                return Ok(None);
            }
        }
    }

    fn add(&mut self, path: &Path, flags: WatchFlags) -> io::Result<Added> {
        let Some(inotify) = &self.inotify else { return Ok(Added::Blind) };
        let ends = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        match inotify::add_watch(inotify, path, flags | ends) {
            Ok(watch) => Ok(Added::Here(watch)),
            Err(Errno::NOENT) => Ok(Added::Absent),
            // Out of watches: from here on it is all looked at again instead.
            Err(Errno::NOSPC | Errno::NOMEM) => {
                self.inotify = None;
                Ok(Added::Blind)
            }
            Err(errno) => Err(io::Error::new(
                io::Error::from(errno).kind(),
                format!("failed to watch `{}`: {errno}", path.display()),
            )),
        }
    }

    /// Takes in all that the kernel has to tell.
    pub fn take_in(&mut self) -> io::Result<()> {
        let Some(inotify) = &self.inotify else { return Ok(()) };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(inotify, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            self.told = true;
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                self.overflows += 1;
            }
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            let Some(name) = name.filter(|name| is_archive(name)) else { continue };
            if event.events().contains(ReadFlags::CREATE) {
                self.appeared.entry(event.wd()).or_default().insert(name.to_owned());
            }
        }
    }

    /// Whether anything was told since the last call. What a follower takes in while it looks may have
    /// happened behind its back, or to another one's directory: all are to look once more.
    pub fn was_told(&mut self) -> bool {
        std::mem::take(&mut self.told)
    }

    /// The archives of which it was told that they appeared in a directory, since the last call.
    pub(super) fn appeared(&mut self, watch: i32) -> BTreeSet<OsString> {
        self.appeared.remove(&watch).unwrap_or_default()
    }

    /// How often the kernel had too much to tell; `None` if it tells nothing.
    pub(super) fn overflows(&self) -> Option<u64> {
        self.inotify.as_ref().map(|_| self.overflows)
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Added {
    Here(i32),
    Absent,
    Blind,
}
