//! Waits with a deadline for the events of s6-supervise and for processes to end.
//!
//! Sources: `fifodir.html`, `src/libs6/ftrig1_make.c`, `ftrigw_notifyb_nosig.c`. A listener creates
//! a FIFO in the `event/` directory under a name that s6 recognises (`ftrig1:`, a TAI64N label, `:`,
//! six characters) and keeps it open for reading; s6-supervise writes one character per change. Some
//! changes have no event (for example, a service that is down stops being wanted up), so a wait also polls,
//! at growing intervals.

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

/// A subscription to the events of one service. Dropping it removes its FIFO.
#[derive(Debug)]
pub struct Events {
    directory: OwnedFd,
    name: String,
    fifo: File,
    // Kept open so that the FIFO never reaches end of file.
    _writer: OwnedFd,
}

impl Events {
    /// Subscribes in the `event/` directory at `path`. The directory may be moved afterwards, as a staged
    /// slot is.
    pub fn subscribe(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty())?;
        let name = loop {
            let name = listener_name();
            // s6 removes listeners without a reader, so the FIFO has another name until it has one.
            match rustix::fs::mkfifoat(&directory, hidden(&name), Mode::from_raw_mode(0o622)) {
                Ok(()) => break name,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        let opened = Self::open(&directory, &name);
        let (fifo, writer) = opened.inspect_err(|_| {
            let _ = rustix::fs::unlinkat(&directory, hidden(&name), AtFlags::empty());
        })?;
        Ok(Self { directory, name, fifo, _writer: writer })
    }

    fn open(directory: &OwnedFd, name: &str) -> io::Result<(File, OwnedFd)> {
        let hidden = hidden(name);
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let reader = rustix::fs::openat(directory, &hidden, flags | OFlags::RDONLY, Mode::empty())?;
        // mkfifo applies the umask, and the supervisor may run as another user.
        rustix::fs::fchmod(&reader, Mode::from_raw_mode(0o622))?;
        let writer = rustix::fs::openat(directory, &hidden, flags | OFlags::WRONLY, Mode::empty())?;
        rustix::fs::renameat(directory, &hidden, directory, name)?;
        Ok((reader.into(), writer))
    }

    /// Discards the events received since the last call.
    fn drain(&mut self) {
        let mut buffer = [0; 64];
        while matches!(self.fifo.read(&mut buffer), Ok(n) if n > 0) {}
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // If this fails, s6 removes the FIFO at its next event, since it has no reader.
        let _ = rustix::fs::unlinkat(&self.directory, self.name.as_str(), AtFlags::empty());
    }
}

/// The name of a listener's FIFO until it has a reader. Boot removes leftover files with this prefix.
fn hidden(name: &str) -> String {
    format!("{TEMPORARY}{name}")
}

/// A new name of the form that s6 requires of a listener. s6 does not interpret the label.
fn listener_name() -> String {
    let now = jiff::Timestamp::now();
    let seconds = (1_u64 << 62) + 37 + now.as_second().cast_unsigned();
    // Each RandomState has a random seed.
    let random = RandomState::new().hash_one(seconds) & 0xff_ffff;
    format!("ftrig1:@{seconds:016x}{:08x}:{random:06x}", now.subsec_nanosecond())
}

/// Calls `poll` until it returns [`Poll::Done`]: after each event, when one of `processes` ends, and after
/// pauses that grow from 2 ms to 100 ms. Blocks until `deadline` at most, then calls `poll` once more and
/// returns `None` if that is not `Done` either.
pub fn until<T>(
    events: &mut [Events],
    processes: &[Process],
    deadline: Instant,
    poll: impl FnMut() -> Result<Poll<T>, DriverError>,
) -> Result<Option<T>, DriverError> {
    wait::until_idling(deadline, |timeout| idle(events, processes, timeout), poll)
}

/// Blocks until an event arrives or a process ends (`true`), or until `timeout` is over (`false`).
fn idle(events: &mut [Events], processes: &[Process], timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).unwrap_or_default();
    // The descriptor of an ended process stays readable, so poll(2) would return at once.
    let living = processes.iter().filter(|process| !process.has_ended());
    let mut fds: Vec<_> = events
        .iter()
        .map(|events| PollFd::new(&events.fifo, PollFlags::IN))
        .chain(living.filter_map(Process::fd).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)))
        .collect();
    // An interrupted wait only polls a little earlier.
    let woken = matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(n) if n > 0);
    drop(fds);
    events.iter_mut().for_each(Events::drain);
    woken
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn listener_names_have_the_form_that_s6_requires() {
        let name = listener_name();
        assert!(name.starts_with("ftrig1:@"));
        assert_eq!(name.len(), "ftrig1".len() + 33);
    }

    #[test]
    fn a_dropped_subscription_removes_its_fifo_from_a_moved_directory() {
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
    fn a_wait_sees_a_process_end_and_a_later_signal_succeeds() {
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
    fn a_wait_ends_at_its_deadline_and_polls_at_the_requested_time() {
        let start = Instant::now();
        let mut polls = 0;
        let seen = until(&mut [], &[], start + Duration::from_millis(30), || {
            polls += 1;
            Ok(Poll::<()>::WaitUntil(start + Duration::from_millis(1)))
        });
        assert_eq!(seen.unwrap(), None);
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(polls >= 2);
    }
}
