//! Who is notified that a gateway is ready: s6-supervise, systemd, a file, or nobody.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hermes_core::fsutil;
use rustix::fs::FileType;
use sd_notify::NotifyState;

use crate::inherited;

/// The receivers of a gateway's readiness.
#[derive(Debug)]
pub struct Notification {
    /// The pipe that s6-supervise reads a newline from (`notifywhenup.html`). A slot's `run` passes it on as
    /// standard input, too, so that a program finds it without knowing what else a descriptor 3 could be. It
    /// can't be opened anew by its path: the pipe is the supervisor's, who may be another user.
    pipe: Option<File>,
    /// Whether systemd waits at its socket.
    systemd: bool,
    /// For launchd, which knows no readiness: the file that holds the number of a gateway that is ready, and
    /// that number.
    file: Option<(PathBuf, u32)>,
}

impl Notification {
    /// The receivers that this process was started with: a pipe as standard input, systemd's socket. Call it
    /// once: what is returned has a descriptor of its own for the pipe.
    pub fn inherited() -> Self {
        let stdin = io::stdin();
        let kind = rustix::fs::fstat(&stdin).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let pipe = || stdin.as_fd().try_clone_to_owned().ok();
        Self {
            pipe: if kind == Ok(FileType::Fifo) { pipe().map(File::from) } else { None },
            systemd: inherited::has_systemd_socket(),
            file: None,
        }
    }

    /// The file at `path`, for the gateway that is the process `pid`.
    pub fn to_file(path: PathBuf, pid: u32) -> Self {
        Self { pipe: None, systemd: false, file: Some((path, pid)) }
    }

    /// That file.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Whether anybody may wait for it.
    pub(crate) fn has_receiver(&self) -> bool {
        self.systemd || self.pipe.is_some() || self.file.is_some()
    }

    /// The pipe, as the standard input of a process that notifies in this one's place. The socket is
    /// inherited anyway.
    pub(crate) fn into_stdin(self) -> Stdio {
        self.pipe.map_or_else(Stdio::null, Stdio::from)
    }

    /// Notifies all of them that the gateway is ready, and returns whether systemd was among them. A failure
    /// is left to whoever waits, and reports that readiness never came.
    pub fn ready(self) -> bool {
        if let Some(mut pipe) = self.pipe {
            // A pipe that only gives input is no supervisor's, and one without reader has no receiver.
            let _ = pipe.write_all(b"\n");
        }
        if let Some((path, pid)) = self.file {
            let _ = fsutil::write_durably(&path, format!("{pid}\n").as_bytes(), 0o644);
        }
        self.systemd && sd_notify::notify(&[NotifyState::Ready]).is_ok()
    }

    /// Notifies systemd alone, for a gateway without `ready_url`, which nobody will probe: systemd waits for
    /// every gateway, while s6 knows from the configuration that it is not to wait.
    pub(crate) fn ready_unprobed(self) {
        Self { pipe: None, systemd: self.systemd, file: None }.ready();
    }
}
