//! Commands to s6-supervise and s6-svscan: single bytes written to a FIFO.
//!
//! Sources: `s6-svc.html`, `s6-svscanctl.html`, `src/libs6/s6_svc_write.c`. The FIFO is opened
//! for writing without blocking. No reader (`ENXIO`) or no FIFO (`ENOENT`) means that no supervisor runs:
//! a regular result ([`Sent::NoReader`]), not an error.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hermes_core::DriverError;
use hermes_core::error_chain::AS_OWNER;
use rustix::fs::OFlags;
use rustix::io::Errno;
use thiserror::Error;

/// Commands to s6-supervise (`s6-svc`).
pub mod service {
    /// `-U`: up; also removes the `down` file, so that a new supervisor starts the service too.
    pub const UP_FOR_GOOD: u8 = b'U';
    /// `-D`: down; also creates the `down` file, so that a new supervisor leaves the service down.
    pub const DOWN_FOR_GOOD: u8 = b'D';
    /// `-d`: down; the `down` file stays as it is.
    pub const DOWN: u8 = b'd';
    /// `-k`: SIGKILL.
    pub const KILL: u8 = b'k';
    /// `-h`: SIGHUP, which ends s6-log even with its option `-p`.
    pub const HANGUP: u8 = b'h';
    /// `-c`: SIGCONT, which resumes a suspended service.
    pub const CONTINUE: u8 = b'c';
    /// `-x`: the supervisor exits as soon as its service is down.
    pub const EXIT: u8 = b'x';
}

/// Commands to s6-svscan (`s6-svscanctl`).
pub mod scan {
    /// `-a`: scan for new services.
    pub const ALARM: u8 = b'a';
    /// `-n`: end the supervisors whose directory the last scan did not find.
    pub const NUKE: u8 = b'n';
}

/// Whether a command reached its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// A process has the FIFO open for reading.
    Delivered,
    /// No process reads the FIFO, or it does not exist.
    NoReader,
}

/// Writes `commands` to the FIFO at `path`. Returns at once; the reader executes them later.
pub fn send(path: &Path, commands: &[u8]) -> Result<Sent, ControlError> {
    let failed = |source| ControlError::Io { path: path.to_owned(), source };
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed())
        .open(path);
    let mut fifo = match opened {
        Ok(file) => file,
        Err(error) => {
            return match Errno::from_io_error(&error) {
                Some(Errno::NXIO | Errno::NOENT) => Ok(Sent::NoReader),
                _ => Err(failed(error)),
            };
        }
    };
    if !fifo.metadata().map_err(failed)?.file_type().is_fifo() {
        return Err(ControlError::NotAFifo { path: path.to_owned() });
    }
    match fifo.write_all(commands) {
        Ok(()) => Ok(Sent::Delivered),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Sent::NoReader),
        Err(error) => Err(failed(error)),
    }
}

impl From<ControlError> for DriverError {
    fn from(error: ControlError) -> Self {
        match &error {
            ControlError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::denied(error).with_hint(AS_OWNER)
            }
            _ => Self::new(error),
        }
    }
}

/// A command that could not be sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Opening or writing failed.
    #[error("failed to write to the control FIFO `{}`", path.display())]
    Io {
        /// The FIFO.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a FIFO.
    #[error("`{}` is not a FIFO", path.display())]
    NotAFifo {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode};

    use super::*;

    #[test]
    fn a_missing_reader_is_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        assert_eq!(send(&path, b"a").unwrap(), Sent::NoReader, "no FIFO");
        rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(send(&path, b"a").unwrap(), Sent::NoReader, "no reader");
        let _reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .unwrap();
        assert_eq!(send(&path, b"a").unwrap(), Sent::Delivered);
    }

    #[test]
    fn files_and_links_are_refused_and_stay_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(send(&file, b"a"), Err(ControlError::NotAFifo { .. })));
        assert!(matches!(send(&link, b"a"), Err(ControlError::Io { .. })));
        assert_eq!(std::fs::read(&file).unwrap(), b"text");
    }
}
