//! The receivers of a gateway's readiness: s6-supervise, systemd, a file, or none.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hermes_core::events::{Recorder, What};
use hermes_core::fsutil;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use sd_notify::NotifyState;

use crate::inherited;

/// The receivers of a gateway's readiness.
#[derive(Debug)]
pub struct Notification {
    /// The pipe from which s6-supervise reads a newline (`notifywhenup.html`). A slot's `run` also passes it
    /// as standard input, because descriptor 3 could be anything. The pipe can't be opened by its path: it
    /// belongs to the supervisor, which may run as another user.
    pipe: Option<File>,
    /// Whether systemd waits at its socket.
    systemd: bool,
    /// For launchd, which has no readiness: a file for the process ID of the ready gateway, and that ID.
    file: Option<(PathBuf, u32)>,
    /// The journal, for a gateway's readiness.
    events: Option<Recorder>,
}

impl Notification {
    /// The receivers that this process inherited: a pipe as standard input, systemd's socket. Call it once:
    /// the result has its own descriptor of the pipe.
    pub fn inherited() -> Self {
        let stdin = io::stdin();
        let kind = rustix::fs::fstat(&stdin).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let pipe = || stdin.as_fd().try_clone_to_owned().ok();
        Self {
            pipe: if kind == Ok(FileType::Fifo) { pipe().map(File::from) } else { None },
            systemd: inherited::has_systemd_socket(),
            file: None,
            events: None,
        }
    }

    /// The file at `path`, for the gateway process `pid`.
    pub fn to_file(path: PathBuf, pid: u32) -> Self {
        Self { pipe: None, systemd: false, file: Some((path, pid)), events: None }
    }

    /// The same receivers, and the journal `events`.
    #[must_use]
    pub fn recorded(self, events: Recorder) -> Self {
        Self { events: Some(events), ..self }
    }

    /// The journal, if there is one.
    pub(crate) fn events(&self) -> Option<&Recorder> {
        self.events.as_ref()
    }

    /// The path of the file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Whether there is a receiver.
    pub(crate) fn has_receiver(&self) -> bool {
        self.systemd || self.pipe.is_some() || self.file.is_some()
    }

    /// Whether this process was to notify s6-supervise, which has ended: nobody reads the pipe any more.
    pub(crate) fn has_lost_supervisor(&self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        // Of a pipe that is only for input, as of a shell's, the end of the writer is no error.
        let mut polled = [PollFd::new(pipe, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&at_once))
            .is_ok_and(|_| polled[0].revents().contains(PollFlags::ERR))
    }

    /// The pipe, as standard input of the process that will notify in place of this one. That process
    /// inherits the address of systemd's socket anyway.
    pub(crate) fn into_stdin(self) -> Stdio {
        self.pipe.map_or_else(Stdio::null, Stdio::from)
    }

    /// Notifies all receivers that the gateway is ready, and returns whether systemd was notified. Ignores
    /// failures: a receiver that is not notified reports a timeout.
    pub fn ready(self) -> bool {
        if let Some(events) = self.events {
            events.record(What::Ready, "");
        }
        if let Some(mut pipe) = self.pipe {
            // Fails for a pipe that is only for input, or that has no reader; neither is a supervisor's.
            let _ = pipe.write_all(b"\n");
        }
        if let Some((path, pid)) = self.file {
            let _ = fsutil::write_durably(&path, format!("{pid}\n").as_bytes(), 0o644);
        }
        self.systemd && sd_notify::notify(&[NotifyState::Ready]).is_ok()
    }

    /// Notifies only systemd, for a `gateway.command` without `ready_url`, which is not probed: systemd waits
    /// for every gateway, while the slot's configuration keeps s6 from waiting.
    pub(crate) fn ready_unprobed(self) {
        Self { pipe: None, systemd: self.systemd, file: None, events: None }.ready();
    }
}
