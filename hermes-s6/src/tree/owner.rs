//! One owner per home: the tree that runs its gateways.
//!
//! Two containers on one volume would each start every gateway. So the s6-svscan that runs a home's gateways
//! holds an `fcntl(2)` lock on the home. `hermes up` takes the lock just before it executes s6-svscan, as
//! `s6-setlock` does: the kernel releases it when s6-svscan ends, and no child inherits it. Only the lock
//! decides; the content of the lock file describes the owner to people.

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
    /// The owner's description of itself: host, container, boot id, scan directory, start time.
    pub about: String,
}

impl Owner {
    /// Whether the owner is a tree on `scandir`, by whatever path, in this process's pid namespace.
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

/// The tree that runs the gateways of `root`; `None` if there is none. Does not wait.
pub fn owner(root: &RootHome) -> io::Result<Option<Owner>> {
    let lock = root.owner_lock();
    let Some(svscan) = process_lock::holder(&lock)? else { return Ok(None) };
    let about = fsutil::read_if_there(&lock)?.unwrap_or_default();
    Ok(Some(Owner { svscan, about: String::from_utf8_lossy(&about).trim_end().to_owned() }))
}

/// Makes this process the owner of the tree's home until it ends, also across exec. Blocks while another
/// process is the owner, until `timeout` at most; the error then names that owner.
pub fn claim(tree: &Tree, timeout: Duration) -> Result<(), DriverError> {
    let lock = tree.root.owner_lock();
    match process_lock::hold(&lock, &about(tree), timeout) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(svscan)) => {
            let current = owner(&tree.root)?;
            let gone = || Owner { svscan, about: "it has just ended".to_owned() };
            Err(taken(&current.unwrap_or_else(gone)))
        }
        Err(error) if has_no_locks(&error) => {
            let lock = lock.display();
            let reason = format!("the file system of `{lock}` does not support locks: {error}");
            let hint = format!(
                "{}=off disables the lock; make sure that no second tree runs these gateways",
                env::OWNER_LOCK
            );
            Err(DriverError::unreachable(reason).with_hint(hint))
        }
        Err(error) => Err(DriverError::from(error)),
    }
}

/// The error that another tree is the owner.
pub fn taken(owner: &Owner) -> DriverError {
    let hint = format!(
        "stop that tree, or set {}={} to supervise no gateways here",
        env::ROLE,
        env::ROLE_CLIENT
    );
    DriverError::unreachable(format!("another tree runs its gateways: {owner}")).with_hint(hint)
}

fn has_no_locks(error: &io::Error) -> bool {
    let unsupported = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL];
    unsupported.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Describes this process in one line.
fn about(tree: &Tree) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let boot = "/proc/sys/kernel/random/boot_id";
    let boot = std::fs::read_to_string(boot).unwrap_or_default();
    // Docker and Podman create these files; a container's host name identifies it.
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

/// The field with the canonical path, because processes may use different paths: in the image one is a link.
fn scandir_field(scandir: &Path) -> String {
    let path = std::fs::canonicalize(scandir).unwrap_or_else(|_| scandir.to_owned());
    format!("scandir={path:?}")
}
