//! Directories that only their owner may write: which ones are, and how they are made.
//!
//! A user who may write in a home can make a profile whose gateway runs a command as the home's owner. So no directory
//! gets write permission for others, whatever the umask, and a home that has it is not used. A stricter umask counts.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use thiserror::Error;

use crate::fsutil::attributes::regular;
use crate::home::{ProfileHome, RootHome};
use crate::shell::quote_path;

/// The value of `HERMES_OPEN_HOME` that allows homes which other users may write to.
pub const ALLOWED: &str = "1";
/// The permissions of others to write.
const OTHERS: u32 = 0o022;
/// The mode of directories.
const DIRECTORY: u32 = 0o755;
/// The mode of directories of logs, which hold conversations.
const LOGS: u32 = 0o750;
/// The mode of their files.
const LOG_FILE: u32 = 0o640;

/// A directory that other users than root and this one may write to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}, and could run programs as this user", match owner {
    Some(uid) => format!("`{}` belongs to uid {uid}, who may write to it", path.display()),
    None => format!("other users may write to `{}` (mode {mode:04o})", path.display()),
})]
pub struct OpenDirectory {
    /// The directory.
    pub path: PathBuf,
    /// Its owner, if that is another user.
    pub owner: Option<u32>,
    /// Its permissions.
    pub mode: u32,
}

impl OpenDirectory {
    /// The command that closes it; that of root, if another user owns it.
    pub fn remedy(&self) -> String {
        let path = quote_path(&self.path);
        match self.owner {
            Some(_) => format!("chown {} {path} && chmod go-w {path}", me()),
            None => format!("chmod go-w {path}"),
        }
    }
}

/// The directories that nobody else may write to: the root home, `profiles/`, and the homes of `profiles`, each once.
pub fn homes<'a>(
    root: &RootHome,
    profiles: impl IntoIterator<Item = &'a ProfileHome>,
) -> Vec<PathBuf> {
    let mut homes = vec![root.path().to_owned(), root.profiles()];
    let others = profiles.into_iter().filter(|home| home.path() != root.path());
    homes.extend(others.map(|home| home.path().to_owned()));
    homes
}

/// Whether others may write to the directory at `path`, which may be a link to it. One that is missing is closed; one
/// that can't be reached is for others to report.
pub fn open_directory(path: &Path) -> Option<OpenDirectory> {
    let metadata = path.metadata().ok().filter(Metadata::is_dir)?;
    // Root may use any user's home (`HERMES_AS_ROOT`).
    let is_owned = is_owned(&metadata) || me() == 0;
    if is_owned && metadata.mode() & OTHERS == 0 {
        return None;
    }
    let owner = (!is_owned).then(|| metadata.uid());
    Some(OpenDirectory { path: path.to_owned(), owner, mode: metadata.mode() & 0o7777 })
}

/// Removes the permission of others to write to a directory of this user. Follows no link at its end.
pub fn close_directory(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
    let directory = std::fs::File::from(directory);
    let mode = directory.metadata()?.mode() & 0o7777 & !OTHERS;
    directory.set_permissions(Permissions::from_mode(mode))
}

/// Whether only this user and root may replace entries in the directory. In a sticky one, others may create
/// entries but not replace this user's: `sticky` allows that.
pub fn is_closed(metadata: &Metadata, sticky: bool) -> bool {
    let is_sticky = sticky && metadata.mode() & 0o1000 != 0;
    is_owned(metadata) && (metadata.mode() & OTHERS == 0 || is_sticky)
}

fn is_owned(metadata: &Metadata) -> bool {
    [me(), 0].contains(&metadata.uid())
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Creates the directory at `path` and those above it that are missing. Idempotent.
pub fn create_directory(path: &Path) -> io::Result<()> {
    create(path, DIRECTORY)
}

/// The same for a directory of logs, which other users can't read either.
pub fn create_log_directory(path: &Path) -> io::Result<()> {
    create(path, LOGS)
}

/// Opens the log at `path` to append to it, and creates it if it is missing. Other users can't read it afterwards. Does
/// not block on a FIFO.
pub fn append_to_log(path: &Path) -> io::Result<fs::File> {
    open_log(path, fs::OpenOptions::new().append(true), OFlags::NONBLOCK)
}

/// The same for a file that is read, too. Follows no link in its place, and refuses anything but a regular file.
pub fn append_to_journal(path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    regular(open_log(path, fs::OpenOptions::new().read(true).append(true), flags)?)
}

fn open_log(path: &Path, options: &mut fs::OpenOptions, flags: OFlags) -> io::Result<fs::File> {
    let flags = flags.bits().cast_signed();
    let file = options.create(true).mode(LOG_FILE).custom_flags(flags).open(path)?;
    // A former version created it for all to read.
    if file.metadata()?.mode() & 0o777 & !LOG_FILE != 0 {
        file.set_permissions(Permissions::from_mode(LOG_FILE))?;
    }
    Ok(file)
}

fn create(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| {
        let message = format!("failed to create directory `{}`: {error}", path.display());
        io::Error::new(error.kind(), message)
    })
}
