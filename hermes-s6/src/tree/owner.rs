//! One owner per home: the tree that runs its gateways.
//!
//! Two containers on one volume would each start every gateway. So the s6-svscan that runs a home's
//! gateways holds an `fcntl(2)` lock on the home, taken just before its exec as `s6-setlock` does: the
//! lock dies exactly with it, and no supervisor or gateway inherits it. The lock is what counts; the
//! file says for people whose it is.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use hermes_core::DriverError;
use hermes_core::RootHome;
use hermes_core::fsutil;
use hermes_core::home::env;
use hermes_core::process_lock::{self, Holder};
use jiff::Timestamp;
use rustix::io::Errno;

use crate::tree::Tree;

/// The tree that runs a home's gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its s6-svscan.
    pub svscan: Holder,
    /// What it wrote of itself: host, container, boot id, scan directory, since when.
    pub about: String,
}

impl Owner {
    /// Whether it is a tree on `scandir`, under whichever of its paths, on this machine and to be seen from
    /// here.
    pub fn runs(&self, scandir: &Path) -> bool {
        self.svscan.pid.is_some() && self.about.contains(&scandir_field(scandir))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.svscan.pid {
            Some(pid) => write!(f, "s6-svscan {pid}: {}", self.about),
            None => {
                write!(f, "an s6-svscan in another container or on another host: {}", self.about)
            }
        }
    }
}

/// The tree that runs the gateways of `root` now, if one does.
pub fn owner(root: &RootHome) -> io::Result<Option<Owner>> {
    let lock = root.owner_lock();
    let Some(svscan) = process_lock::holder(&lock)? else { return Ok(None) };
    let about = fsutil::read_if_there(&lock)?.unwrap_or_default();
    Ok(Some(Owner { svscan, about: String::from_utf8_lossy(&about).trim_end().to_owned() }))
}

/// Makes this process the owner of the tree's home for the rest of its life, exec included. Blocks while
/// another one is, at most `timeout`; then it is named.
pub fn claim(tree: &Tree, timeout: Duration) -> Result<(), DriverError> {
    let lock = tree.root.owner_lock();
    match process_lock::hold(&lock, &about(tree), timeout) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(svscan)) => {
            let seen = owner(&tree.root)?;
            let owner = seen.unwrap_or(Owner { svscan, about: "just gone".to_owned() });
            Err(taken(&owner))
        }
        Err(error) if has_no_locks(&error) => {
            let saw = format!("the file system of `{}` has no locks: {error}", lock.display());
            let hint = format!(
                "{}=off goes on without; then nothing keeps two trees off one home",
                env::OWNER_LOCK
            );
            Err(DriverError::unreachable(saw).with_hint(hint))
        }
        Err(error) => Err(DriverError::from(error)),
    }
}

/// That another tree is the owner.
pub fn taken(owner: &Owner) -> DriverError {
    let hint = format!(
        "end that tree, or set {}={} where gateways are not to be supervised",
        env::ROLE,
        env::ROLE_CLIENT
    );
    DriverError::unreachable(format!("its gateways are run by {owner}")).with_hint(hint)
}

fn has_no_locks(error: &io::Error) -> bool {
    let none = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL];
    none.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Who this is, in one line.
fn about(tree: &Tree) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let boot = "/proc/sys/kernel/random/boot_id";
    let boot = std::fs::read_to_string(boot).unwrap_or_default();
    // Docker and Podman leave these marks; a container's host name is what it is called by.
    let contained =
        ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists());
    format!(
        "host={host} container={} boot={} {} since={:.0}\n",
        if contained { host.as_str() } else { "-" },
        boot.trim(),
        scandir_field(tree.scandir.path()),
        Timestamp::now(),
    )
}

/// Two processes may know the directory under two names; in the image one is a link.
fn scandir_field(scandir: &Path) -> String {
    let path = std::fs::canonicalize(scandir).unwrap_or_else(|_| scandir.to_owned());
    format!("scandir={path:?}")
}
