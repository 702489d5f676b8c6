//! Where a gateway says that it is ready: to s6-supervise, to systemd, in a file, or to nobody.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hermes_core::fsutil;
use rustix::fs::FileType;
use sd_notify::NotifyState;

/// The variable that names systemd's socket (sd_notify(3)).
pub(super) const SOCKET: &str = "NOTIFY_SOCKET";

/// Who is to be told.
pub(crate) struct Notification {
    /// The pipe that s6-supervise gave, which a newline tells (`notifywhenup.html`). A slot's `run` passes
    /// it on as standard input, too, which is what a program may use without knowing what else a
    /// descriptor 3 could be. It can't be opened anew by its path: the pipe is the supervisor's, who may be
    /// another user.
    pipe: Option<File>,
    /// Whether systemd listens.
    socket: bool,
    /// The file that has the number of a gateway that is ready, and that number: launchd listens to nobody.
    file: Option<(PathBuf, u32)>,
}

impl Notification {
    /// Those that this process was started by.
    pub(crate) fn inherited() -> Self {
        let stdin = io::stdin();
        let kind = rustix::fs::fstat(&stdin).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let pipe = || stdin.as_fd().try_clone_to_owned().ok();
        Self {
            pipe: if kind == Ok(FileType::Fifo) { pipe().map(File::from) } else { None },
            socket: env::var_os(SOCKET).is_some(),
            file: None,
        }
    }

    /// Whoever reads this file, for the gateway that is the process `pid`.
    pub(crate) fn in_file(path: PathBuf, pid: u32) -> Self {
        Self { pipe: None, socket: false, file: Some((path, pid)) }
    }

    /// That file.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// Whether there is anybody who may listen.
    pub(super) fn is_heard(&self) -> bool {
        self.socket || self.pipe.is_some() || self.file.is_some()
    }

    /// The pipe, as the standard input of a process that tells in this one's place; the socket it
    /// inherits.
    pub(super) fn into_pipe(self) -> Stdio {
        self.pipe.map_or_else(Stdio::null, Stdio::from)
    }

    /// Says that the gateway is ready; `true` if systemd was told.
    pub(crate) fn ready(self) -> bool {
        if let Some(mut pipe) = self.pipe {
            // One that only gives input is no supervisor's, and one without reader has nobody to tell.
            let _ = pipe.write_all(b"\n");
        }
        if let Some((path, pid)) = self.file {
            // Whoever waits for it says that it never came.
            let _ = fsutil::write_durably(&path, format!("{pid}\n").as_bytes(), 0o644);
        }
        // Not told, systemd goes on waiting, and `status` says so.
        self.socket && sd_notify::notify(&[NotifyState::Ready]).is_ok()
    }

    /// Tells systemd alone, which waits for every gateway: this one will never say more. s6 knows from the
    /// configuration that it is not to wait.
    pub(super) fn says_no_more(self) {
        Self { pipe: None, socket: self.socket, file: None }.ready();
    }
}
