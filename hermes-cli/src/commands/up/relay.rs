//! Passes on what `up` and the processes of its tree print, in whole lines, whether somebody reads it or not.
//!
//! All loggers of a tree share its stdout, and s6-log writes to it without waiting (`s6-log.html`). A pipe that is
//! nearly full then takes a part of a line, and the rest comes after another logger's lines; a pipe that nobody
//! reads holds up a logger's end. So the tree's stdout and stderr are sockets of type `SOCK_SEQPACKET` (unix(7)),
//! which take a write as a whole or not at all. Threads in `up` copy each to the stream that `up` was started with.
//! They wait for its reader while that reads. If it stops, they discard lines, count them, and tell it how many
//! once it reads again. The log files have all lines.
//!
//! A socket refuses what is larger than its buffer, and s6-log then prints no more. With its option `-b`, which the
//! slots' scripts set, s6-log writes 8 KiB of lines at once, each with its profile's name. This exceeds
//! [`BUFFER`] only with thousands of empty lines at once, and a name of over 48 characters.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anstream::AutoStream;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, sockopt};
use rustix::pipe::PIPE_BUF;

use crate::called;

/// The buffer of a socket; the kernel takes twice as much, or twice `net.core.wmem_max` if that is less (socket(7)).
const BUFFER: usize = 1 << 18;
/// How many bytes may wait for the reader.
const CAPACITY: usize = 1 << 20;
/// For how long a reader may take nothing before lines are discarded, and the end waits for no one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Redirects stdout and stderr of this process, and of those that it starts, until it is dropped. To drop it takes
/// [`PATIENCE`] at most for each.
pub(super) struct Relay {
    streams: Vec<(Stream, OwnedFd, Arc<Queue>)>,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl Relay {
    /// Fails without a change if a descriptor or thread can't be had.
    pub(super) fn start() -> io::Result<Self> {
        // Messages keep their colours: the original decides on them, not the socket.
        AutoStream::choice(&io::stderr()).write_global();
        io::stdout().flush()?;
        let streams = [
            (Stream::Stdout, io::stdout().as_fd().try_clone_to_owned()?),
            (Stream::Stderr, io::stderr().as_fd().try_clone_to_owned()?),
        ];
        let started = streams.map(|(stream, original)| {
            let (queue, socket) = Queue::start(original.try_clone()?)?;
            Ok((stream, original, queue, socket))
        });
        let started = started.into_iter().collect::<io::Result<Vec<_>>>()?;
        let mut relay = Self { streams: Vec::new() };
        for (stream, original, queue, socket) in started {
            stream.redirect(&socket)?;
            relay.streams.push((stream, original, queue));
        }
        Ok(relay)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let Ok(null) = File::options().write(true).open("/dev/null") else { return };
        let deadline = Instant::now() + PATIENCE;
        for (stream, original, queue) in &self.streams {
            // The queue ends when no process has the socket as its output.
            let _ = stream.redirect(&null);
            // Whoever prints to a stream that nobody reads waits.
            if queue.is_empty_by(deadline) {
                let _ = stream.redirect(original);
            }
        }
    }
}

impl Stream {
    fn redirect(self, to: impl AsFd) -> io::Result<()> {
        match self {
            Self::Stdout => rustix::stdio::dup2_stdout(to),
            Self::Stderr => rustix::stdio::dup2_stderr(to),
        }
        .map_err(Into::into)
    }
}

/// What goes through one stream, on its way to the reader.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What comes next.
    waiting: Vec<u8>,
    /// How many bytes were taken from the socket and not written yet.
    bytes: usize,
    /// How many lines were discarded since the reader took something.
    discarded: usize,
    /// Whether the reader has taken nothing for [`PATIENCE`].
    is_stalled: bool,
    /// Whether no more messages come.
    is_closed: bool,
}

impl Queue {
    /// A queue that `original` is the end of, and the socket that is its beginning.
    fn start(original: OwnedFd) -> io::Result<(Arc<Self>, OwnedFd)> {
        let (socket, reader) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        sockopt::set_socket_send_buffer_size(&socket, BUFFER)?;
        let longest = sockopt::socket_send_buffer_size(&socket)?;
        let queue = Arc::new(Self::default());
        let (filled, emptied) = (Arc::clone(&queue), Arc::clone(&queue));
        thread::Builder::new().spawn(move || filled.fill(&reader, longest))?;
        thread::Builder::new().spawn(move || emptied.empty(File::from(original)))?;
        Ok((queue, socket))
    }

    fn fill(&self, reader: &OwnedFd, longest: usize) {
        let mut buffer = vec![0; longest];
        loop {
            match rustix::net::recv(reader, &mut *buffer, RecvFlags::empty()) {
                // An empty message, or the end.
                Ok((_, 0)) if !has_hung_up(reader) => {}
                Ok((_, length)) if length > 0 => self.push(&buffer[..length]),
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn push(&self, message: &[u8]) {
        let mut state = self.lock();
        let mut left = state.bytes;
        while state.bytes + message.len() > CAPACITY && !state.is_stalled {
            let (next, wait) =
                self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.is_stalled = wait.timed_out() && state.bytes == left;
            left = state.bytes;
        }
        if state.bytes + message.len() > CAPACITY {
            state.discarded += message.iter().filter(|byte| **byte == b'\n').count();
        } else {
            state.bytes += message.len();
            state.waiting.extend_from_slice(message);
        }
        self.changed.notify_all();
    }

    fn empty(&self, mut original: File) {
        while let Some(bytes) = self.next() {
            for part in parts(&bytes) {
                // Without a reader, the rest of what is printed goes nowhere.
                let _ = write(&mut original, part);
                let mut state = self.lock();
                state.bytes -= part.len();
                state.is_stalled = false;
                self.changed.notify_all();
            }
        }
    }

    /// What to write next, or a line that says how many are missing here; `None` at the end.
    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                return Some(std::mem::take(&mut state.waiting));
            }
            let discarded = std::mem::take(&mut state.discarded);
            if discarded > 0 {
                let notice = format!(
                    "hermes: {discarded} lines are missing here, since nobody read this output; \
                     `hermes gateway logs` has those of the gateways\n"
                );
                let notice = called::named(&notice).into_owned();
                state.bytes += notice.len();
                return Some(notice.into_bytes());
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Blocks until all has come and was written, until `deadline` at most; whether none waits.
    fn is_empty_by(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), left, |state| state.bytes > 0 || !state.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.bytes == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_hung_up(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    let polled = rustix::event::poll(&mut fds, Some(&Default::default()));
    polled.is_err() || fds[0].revents().contains(PollFlags::HUP)
}

/// Parts of `bytes` that a pipe takes as a whole (pipe(7)) and that end with a line, as far as lines allow.
fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let limit = rest.len().min(PIPE_BUF);
        let end = rest[..limit].iter().rposition(|byte| *byte == b'\n');
        let (part, after) = rest.split_at(end.map_or(limit, |end| end + 1));
        rest = after;
        Some(part)
    })
}

/// Writes all of `bytes`, also if another process made the stream one that does not block.
fn write(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                rustix::event::poll(&mut [PollFd::new(to, PollFlags::OUT)], None)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_with_lines_and_fit_a_pipe() {
        let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
        for lines in [vec![1; 9000], vec![4095, 2, 4096, 4097, 3], vec![10_000], vec![]] {
            let message: Vec<u8> = lines.iter().flat_map(|length| line(*length)).collect();
            let parts: Vec<_> = parts(&message).collect();
            assert_eq!(parts.concat(), message);
            assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= PIPE_BUF));
            let cut = parts.iter().filter(|part| !part.ends_with(b"\n")).count();
            let long = lines.iter().map(|length| (length - 1) / PIPE_BUF).sum::<usize>();
            assert_eq!(cut, long, "{lines:?}");
        }
    }
}
