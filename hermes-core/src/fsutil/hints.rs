//! What a user can do about a file that can't be read or replaced: the command that opens it, or its directory.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error_chain::{AS_OWNER, chain};
use crate::shell::quote_path;

/// The message of an error whose cause is a directory of this user that is closed to it.
#[derive(Debug)]
struct Closed {
    message: String,
    directory: PathBuf,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Closed {}

/// An error like `error` with this message, of a change in `directory`.
pub(super) fn error_in(directory: &Path, error: &io::Error, message: String) -> io::Error {
    match error.kind() == io::ErrorKind::PermissionDenied && is_closed(directory) {
        true => {
            let directory = directory.to_owned();
            io::Error::new(error.kind(), Closed { message, directory })
        }
        false => io::Error::new(error.kind(), message),
    }
}

/// The hint for a permission that was denied.
pub fn denied_hint(error: &(dyn Error + 'static)) -> String {
    let errors = chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    let closed = errors.filter_map(|error| error.get_ref()?.downcast_ref::<Closed>()).next();
    match closed {
        Some(closed) => opens(&closed.directory),
        None => AS_OWNER.to_owned(),
    }
}

/// What this user can do about the file at `path` that it can't read or replace; `None` if nothing is known.
pub fn file_hint(path: &Path) -> Option<String> {
    let metadata = path.symlink_metadata().ok();
    let parent = super::parent(path).ok();
    let quoted = quote_path(path);
    match metadata {
        Some(metadata) if metadata.is_symlink() && path.metadata().is_err() => {
            Some(format!("`rm {quoted}` removes the link"))
        }
        Some(_) if path.is_dir() => {
            Some(format!("`mv -T -- {quoted} {quoted}.old` moves the directory away"))
        }
        Some(metadata) if metadata.uid() == me() && access(path, Access::READ_OK).is_err() => {
            Some(format!("`chmod u+rw {quoted}` opens it"))
        }
        _ => parent.filter(|parent| is_closed(parent)).map(opens),
    }
}

fn opens(directory: &Path) -> String {
    format!("`chmod u+wx {}` opens the directory", quote_path(directory))
}

/// Whether the directory is this user's, and closed to changes all the same.
pub(super) fn is_closed(directory: &Path) -> bool {
    directory.metadata().is_ok_and(|metadata| metadata.uid() == me())
        && access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err()
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}
