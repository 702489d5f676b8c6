//! Waiting for what s6-supervise announces, and for the end of processes, with a deadline.
//!
//! Sources: `fifodir.html`, `src/libs6/ftrig1_make.c`, `ftrigw_notifyb_nosig.c`. A listener makes a
//! FIFO in the `event/` directory under a name that s6 recognises (`ftrig1:`, a TAI64N label, `:`,
//! six characters) and keeps it open for reading; s6-supervise writes one character for each
//! change. Not every change is announced (a service that is down and no longer wanted up, for
//! one), so a wait also asks again by itself, ever more slowly.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use hermes_core::DriverError;
use hermes_core::fsutil::TEMPORARY;
pub use hermes_core::process::Process;
use hermes_core::wait;
pub use hermes_core::wait::Poll;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// A subscription to the changes of one service. Dropping it ends it.
#[derive(Debug)]
pub struct Events {
    directory: OwnedFd,
    name: String,
    fifo: File,
    // Kept open so that the FIFO never reports the end of its writers.
    _writer: OwnedFd,
}

impl Events {
    /// Subscribes at the `event/` directory at `path`. It may move afterwards, as a staged slot does.
    pub fn subscribe(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty())?;
        let name = loop {
            let name = listener_name();
            // Under another name until it has a reader: s6 removes listeners that have none.
            match rustix::fs::mkfifoat(&directory, hidden(&name), Mode::from_raw_mode(0o622)) {
                Ok(()) => break name,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        let made = Self::open(&directory, &name);
        let (fifo, writer) = made.inspect_err(|_| {
            let _ = rustix::fs::unlinkat(&directory, hidden(&name), AtFlags::empty());
        })?;
        Ok(Self { directory, name, fifo, _writer: writer })
    }

    fn open(directory: &OwnedFd, name: &str) -> io::Result<(File, OwnedFd)> {
        let hidden = hidden(name);
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let reader = rustix::fs::openat(directory, &hidden, flags | OFlags::RDONLY, Mode::empty())?;
        // The umask bites at mkfifo, and the supervisor may be another user.
        rustix::fs::fchmod(&reader, Mode::from_raw_mode(0o622))?;
        let writer = rustix::fs::openat(directory, &hidden, flags | OFlags::WRONLY, Mode::empty())?;
        rustix::fs::renameat(directory, &hidden, directory, name)?;
        Ok((reader.into(), writer))
    }

    /// Takes what was announced since the last call.
    fn drain(&mut self) {
        let mut buffer = [0; 64];
        while matches!(self.fifo.read(&mut buffer), Ok(n) if n > 0) {}
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // A FIFO without a reader is removed by s6 at its next event.
        let _ = rustix::fs::unlinkat(&self.directory, self.name.as_str(), AtFlags::empty());
    }
}

/// What a listener is called until it is one. Boot removes what a crash leaves by this name.
fn hidden(name: &str) -> String {
    format!("{TEMPORARY}{name}")
}

/// A name that s6 takes for a listener's. Only its form matters; nobody reads the label.
fn listener_name() -> String {
    let now = jiff::Timestamp::now();
    let seconds = (1_u64 << 62) + 37 + now.as_second().cast_unsigned();
    // std's hasher is seeded at random for each instance.
    let random = RandomState::new().hash_one(seconds) & 0xff_ffff;
    format!("ftrig1:@{seconds:016x}{:08x}:{random:06x}", now.subsec_nanosecond())
}

/// Looks until `look` is done, whenever `events` are announced, one of `processes` ends, or a pause
/// (2 ms at first, 100 ms at last) is over. Blocks until `deadline` at most, looks a last time
/// then, and answers `None` if it is still not done.
pub fn until<T>(
    events: &mut [Events],
    processes: &[Process],
    deadline: Instant,
    look: impl FnMut() -> Result<Poll<T>, DriverError>,
) -> Result<Option<T>, DriverError> {
    wait::until_idling(deadline, |timeout| idle(events, processes, timeout), look)
}

/// Blocks until something is announced (`true`) or the time is over.
fn idle(events: &mut [Events], processes: &[Process], timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap_or_default();
    // A process that has ended stays readable for ever; waiting on it would not wait.
    let living = processes.iter().filter(|process| !process.has_ended());
    let mut fds: Vec<_> = events
        .iter()
        .map(|events| PollFd::new(&events.fifo, PollFlags::IN))
        .chain(living.map(|process| PollFd::new(process, PollFlags::IN)))
        .collect();
    // An interrupted wait only looks a little earlier.
    let announced = matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(n) if n > 0);
    drop(fds);
    events.iter_mut().for_each(Events::drain);
    announced
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_name_of_a_listener_has_the_form_that_s6_looks_for() {
        let name = listener_name();
        assert!(name.starts_with("ftrig1:@"));
        assert_eq!(name.len(), "ftrig1".len() + 33);
    }

    #[test]
    fn a_subscription_leaves_nothing_behind_even_if_its_directory_moves() {
        let dir = tempfile::tempdir().unwrap();
        let (event, moved) = (dir.path().join("event"), dir.path().join("moved"));
        std::fs::create_dir(&event).unwrap();
        let events = Events::subscribe(&event).unwrap();
        assert_eq!(std::fs::read_dir(&event).unwrap().count(), 1);
        std::fs::rename(&event, &moved).unwrap();
        drop(events);
        assert_eq!(std::fs::read_dir(&moved).unwrap().count(), 0);
    }

    #[test]
    fn the_end_of_a_process_is_seen_and_a_signal_afterwards_is_no_error() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::open(child.id()).unwrap().unwrap();
        assert!(!process.has_ended());
        drop(child.stdin.take());
        let processes = [process];
        let deadline = Instant::now() + Duration::from_secs(10);
        let ended = until(&mut [], &processes, deadline, || {
            let ended = processes[0].has_ended();
            Ok(if ended { Poll::Done(()) } else { Poll::Wait })
        });
        assert_eq!(ended.unwrap(), Some(()));
        child.wait().unwrap();
        processes[0].signal(rustix::process::Signal::KILL).unwrap();
        assert!(Process::open(child.id()).unwrap().is_none());
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_looks_when_it_was_asked_to() {
        let start = Instant::now();
        let mut looks = 0;
        let seen = until(&mut [], &[], start + Duration::from_millis(30), || {
            looks += 1;
            Ok(Poll::<()>::WaitUntil(start + Duration::from_millis(1)))
        });
        assert_eq!(seen.unwrap(), None);
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(looks >= 2);
    }
}
