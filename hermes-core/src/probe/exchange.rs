//! One request and its answer on one connection, without blocking.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType};

use super::{Failure, Target};

/// The length of the beginning of an answer, such as "HTTP/1.1 200".
const STATUS: usize = 12;
/// How much of an answer is read, and how long after its status: a server whose client leaves earlier may log an
/// error.
const MAX_ANSWER: usize = 64 << 10;
const REST: Duration = Duration::from_millis(100);

/// A connection and what has passed on it.
#[derive(Debug)]
pub(super) struct Exchange {
    stream: TcpStream,
    address: SocketAddr,
    /// What is still to be sent.
    request: Vec<u8>,
    status: [u8; STATUS],
    received: usize,
    /// When the status had been read, plus [`REST`].
    until: Option<Instant>,
}

impl Exchange {
    /// Begins to connect to `address`.
    pub(super) fn begin(address: SocketAddr, target: &Target) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket(family)?;
        match net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(Self {
            stream: TcpStream::from(socket),
            address,
            request: target.request(),
            status: [0; STATUS],
            received: 0,
            until: None,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The event to wait for.
    pub(super) fn awaited(&self) -> Option<PollFd<'_>> {
        let flags = if self.request.is_empty() { PollFlags::IN } else { PollFlags::OUT };
        Some(PollFd::from_borrowed_fd(self.stream.as_fd(), flags))
    }

    /// When it ends without another event.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Goes on as far as it can. Returns the status, or why there is none; `None` while it is in progress. At the
    /// deadline (`is_last`) a known status counts.
    pub(super) fn advance(&mut self, now: Instant, is_last: bool) -> Option<Result<u16, Failure>> {
        match self.pass() {
            Ok(true) => Some(self.parsed()),
            Ok(false) if self.until.is_some_and(|until| is_last || now >= until) => {
                Some(self.parsed())
            }
            Ok(false) => {
                if self.received >= STATUS && self.until.is_none() {
                    self.until = Some(now + REST);
                }
                None
            }
            Err(_) if self.received >= STATUS => Some(self.parsed()),
            Err(error) => Some(Err(Failure::Connection(words(&error)))),
        }
    }

    /// Sends and receives what is possible now; whether the answer is at its end.
    fn pass(&mut self) -> io::Result<bool> {
        let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        while !self.request.is_empty() {
            match self.stream.write(&self.request) {
                Ok(written) => drop(self.request.drain(..written)),
                // A connection in progress.
                Err(error)
                    if would_block(&error) || error.kind() == io::ErrorKind::NotConnected =>
                {
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut buffer = [0; 4096];
        while self.received < MAX_ANSWER {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(length) => {
                    let known = self.received.min(STATUS);
                    let new = length.min(STATUS - known);
                    self.status[known..known + new].copy_from_slice(&buffer[..new]);
                    self.received += length;
                }
                Err(error) if would_block(&error) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn parsed(&self) -> Result<u16, Failure> {
        let digits = || str::from_utf8(&self.status[9..]).ok()?.parse().ok();
        match self.received {
            0 => Err(Failure::Connection("the connection was closed without an answer".to_owned())),
            STATUS.. if self.status.starts_with(b"HTTP/1.") => digits().ok_or(Failure::NotHttp),
            _ => Err(Failure::NotHttp),
        }
    }
}

/// The kind of a failure of a connection, without its number.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => error.to_string(),
    }
}

/// A socket that does not block, and that no program which is started meanwhile gets.
#[cfg(target_os = "linux")]
fn socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let flags = net::SocketFlags::CLOEXEC | net::SocketFlags::NONBLOCK;
    net::socket_with(family, SocketType::STREAM, flags, None)
}

/// A socket that does not block.
#[cfg(not(target_os = "linux"))]
fn socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let socket = net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}
