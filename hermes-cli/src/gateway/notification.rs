//! Where a gateway says that it is ready: to s6-supervise, to systemd, or to nobody.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::Stdio;

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
        }
    }

    /// Whether there is anybody who may listen.
    pub(super) fn is_heard(&self) -> bool {
        self.socket || self.pipe.is_some()
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
        // Not told, systemd goes on waiting, and `status` says so.
        self.socket && sd_notify::notify(&[NotifyState::Ready]).is_ok()
    }

    /// Tells systemd alone, which waits for every gateway: this one will never say more. s6 knows from the
    /// configuration that it is not to wait.
    pub(super) fn says_no_more(self) {
        Self { pipe: None, socket: self.socket }.ready();
    }
}
