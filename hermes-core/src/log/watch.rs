//! Watches directories for changes, by inotify(7).
//!
//! The kernel queues events for a late reader, up to a limit, and reports an overflow. So a follower knows
//! how many archives appeared and disappeared between two listings of a log directory. There are no events
//! for writes of another machine to a shared file system: logs are followed on the machine that writes them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::POLL_INTERVAL;

/// Watches the directories of any number of followers.
#[derive(Debug)]
pub struct Watch {
    /// `None` if the user has no inotify instance left (`fs.inotify.max_user_instances`).
    inotify: Option<OwnedFd>,
    /// The names that appeared in a log directory since its follower last asked.
    appeared: HashMap<i32, Vec<OsString>>,
    /// How often the kernel dropped events.
    overflows: u64,
    /// Whether there were events since this was last asked.
    changed: bool,
}

impl Watch {
    /// A watch without directories. It is blind if the user has no inotify instance left; then followers
    /// poll instead.
    pub fn new() -> Self {
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        let inotify = inotify::init(flags).inspect_err(|errno| report("inotify_init1", *errno));
        Self { inotify: inotify.ok(), ..Self::blind() }
    }

    /// A watch without events.
    pub(super) fn blind() -> Self {
        Self { inotify: None, appeared: HashMap::new(), overflows: 0, changed: false }
    }

    /// Readable when there are events; `None` if it is blind.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// How long to wait for events before polling again; `None` for no limit. Zero if there were events
    /// since the last call, because one follower may have taken an event after its listing, or an event for
    /// another follower.
    pub fn max_wait(&mut self) -> Option<Duration> {
        if std::mem::take(&mut self.changed) {
            return Some(Duration::ZERO);
        }
        self.inotify.is_none().then_some(POLL_INTERVAL)
    }

    /// Watches which names come and go in the directory at `path`; nothing if there is none.
    pub(super) fn names(&mut self, path: &Path) -> io::Result<bool> {
        let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
        self.add(path, names).map(|added| added != Added::Absent)
    }

    /// Watches the log directory at `path`, its files included; if there is none, the nearest parent
    /// instead, with `None`.
    pub(crate) fn log(&mut self, path: &Path) -> io::Result<Option<i32>> {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::MODIFY;
        loop {
            match self.add(path, flags)? {
                Added::Here(watch) => {
                    self.appeared.entry(watch).or_default();
                    return Ok(Some(watch));
                }
                Added::Blind => return Ok(None),
                Added::Absent => {}
            }
            let nearest = path.ancestors().skip(1).find(|parent| parent.exists());
            let Some(nearest) = nearest else { return Ok(None) };
            // A directory created before the parent was watched causes no event.
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
            // No inotify watch is left, or a sandbox refuses the call: from now on followers poll.
            Err(errno @ (Errno::NOSPC | Errno::NOMEM | Errno::NOSYS | Errno::PERM)) => {
                report("inotify_add_watch", errno);
                self.inotify = None;
                Ok(Added::Blind)
            }
            Err(errno) => Err(io::Error::new(
                io::Error::from(errno).kind(),
                format!("failed to watch `{}`: {errno}", path.display()),
            )),
        }
    }

    /// Takes all events from the kernel.
    pub(crate) fn take_in(&mut self) -> io::Result<()> {
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
            self.changed = true;
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                self.overflows += 1;
            }
            let created = event.file_name().filter(|_| event.events().contains(ReadFlags::CREATE));
            if let Some(name) = created
                && let Some(names) = self.appeared.get_mut(&event.wd())
            {
                names.push(OsStr::from_bytes(name.to_bytes()).to_owned());
            }
        }
    }

    /// The names that appeared in a log directory since the last call, the first one first.
    pub(crate) fn appeared(&mut self, watch: i32) -> Vec<OsString> {
        self.appeared.get_mut(&watch).map(std::mem::take).unwrap_or_default()
    }

    /// How often the kernel dropped events; `None` if it has none.
    pub(super) fn overflows(&self) -> Option<u64> {
        self.inotify.as_ref().map(|_| self.overflows)
    }
}

/// Reports once that a sandbox refuses `call`.
fn report(call: &str, errno: Errno) {
    static REPORTED: Once = Once::new();
    if matches!(errno, Errno::NOSYS | Errno::PERM) {
        REPORTED.call_once(|| ::log::warn!("{call} failed ({errno}): logs are polled"));
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
