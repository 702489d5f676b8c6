//! One owner per home: the tree that runs its gateways.
//!
//! Two containers on one volume would each start every gateway. So the s6-svscan that runs a home's gateways
//! holds an `fcntl(2)` lock on the home. `hermes up` takes the lock just before it executes s6-svscan, as
//! `s6-setlock` does: the kernel releases it when s6-svscan ends, and no child inherits it. Only the lock
//! decides; the content of the lock file describes the owner to people.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hermes_core::DriverError;
use hermes_core::Proc;
use hermes_core::RootHome;
use hermes_core::home::env;
use hermes_core::lock;
use hermes_core::process_lock::{self, Holder};
use jiff::Timestamp;

use crate::tree::Tree;

/// The name of the field with the scan directory.
const SCANDIR_FIELD: &str = "scandir=";

/// The tree that runs a home's gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its s6-svscan.
    pub svscan: Holder,
    /// The owner's description of itself: host, container, boot id, scan directory, start time.
    pub about: String,
}

impl Owner {
    /// Whether the owner is `tree`: its s6-svscan, or a `hermes up --adopt` on its scan directory, by whatever path.
    pub fn runs(&self, tree: &Tree) -> bool {
        let Some(pid) = self.svscan.pid else { return false };
        if tree.scandir.svscan().is_ok_and(|svscan| svscan == Some(self.svscan)) {
            return true;
        }
        let scandir = canonical(tree.scandir.path());
        // In another mount namespace the same path is another scan directory.
        self.about.contains(&scandir_field(&scandir))
            && tree.proc.looks_at(pid, &scandir, &scandir).unwrap_or(true)
    }

    /// The scan directory that it names, if it runs on this machine and sees the same directory there, which may
    /// have been removed since.
    pub(crate) fn scandir_here(&self, proc: &Proc) -> Option<PathBuf> {
        let pid = self.svscan.pid?;
        // A holder on another host may have a number, too.
        if !self.about.contains(&format!(" boot={} ", boot_id())) {
            return None;
        }
        let (_, rest) = self.about.split_once(SCANDIR_FIELD)?;
        let scandir = PathBuf::from(unquote(rest)?);
        proc.sees(pid, &scandir, &scandir).then_some(scandir)
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
    let about = process_lock::content(&lock)?.trim_end().to_owned();
    Ok(Some(Owner { svscan, about }))
}

/// The owner of the tree's home, if it is another tree. A file system without locks has none.
pub(crate) fn other_owner(tree: &Tree) -> io::Result<Option<Owner>> {
    if !tree.has_owner {
        return Ok(None);
    }
    match owner(&tree.root) {
        Err(error) if lock::are_unsupported(&error) => Ok(None),
        owner => Ok(owner?.filter(|owner| !owner.runs(tree))),
    }
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
        Err(error) if lock::are_unsupported(&error) => {
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

/// Makes this process the owner of the home, as [`claim`] does, if the lock's file was removed or replaced: its
/// s6-svscan holds the lock on a file that nobody finds any more. Whether it was. Fails if another tree has become the
/// owner. Does not wait.
pub(crate) fn hold_again(tree: &Tree) -> Result<bool, DriverError> {
    if !tree.has_owner || owner(&tree.root)?.is_some_and(|owner| owner.runs(tree)) {
        return Ok(false);
    }
    claim(tree, Duration::ZERO).map(|()| true)
}

/// The error of a command for the tree that is the owner.
pub fn elsewhere(owner: &Owner) -> DriverError {
    DriverError::unreachable(format!("another tree runs its gateways: {owner}")).with_hint(
        "run the command there; if that is this machine, --scandir names its scan directory",
    )
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

/// Describes this process in one line.
fn about(tree: &Tree) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Docker and Podman create these files; a container's host name identifies it.
    let contained =
        ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists());
    format!(
        "host={host} container={} boot={} {} since={:.0}\n",
        if contained { host.as_str() } else { "-" },
        boot_id(),
        scandir_field(tree.scandir.path()),
        Timestamp::now(),
    )
}

/// The field with the canonical path, because processes may use different paths: in the image one is a link.
fn scandir_field(scandir: &Path) -> String {
    format!("{SCANDIR_FIELD}{:?}", canonical(scandir))
}

/// Reads the string that `text` begins with, in the notation of [`scandir_field`].
fn unquote(text: &str) -> Option<OsString> {
    let mut bytes = Vec::new();
    let mut rest = text.strip_prefix('"')?.chars();
    loop {
        match rest.next()? {
            '"' => return Some(OsString::from_vec(bytes)),
            '\\' => match rest.next()? {
                't' => bytes.push(b'\t'),
                'n' => bytes.push(b'\n'),
                'r' => bytes.push(b'\r'),
                '0' => bytes.push(0),
                // A byte that is not UTF-8.
                'x' => {
                    let (digits, after) = rest.as_str().split_at_checked(2)?;
                    bytes.push(u8::from_str_radix(digits, 16).ok()?);
                    rest = after.chars();
                }
                'u' => {
                    let (digits, after) = rest.as_str().strip_prefix('{')?.split_once('}')?;
                    let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                    bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
                    rest = after.chars();
                }
                other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            },
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

/// Identifies this boot of the machine; empty if the system does not report it.
fn boot_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_in_the_field_is_read_back() {
        let paths: [&[u8]; 6] = [
            b"/run/user/1000/hermes/service",
            b"/a b/c\"d' since=x",
            b"/back\\slash\\x41",
            b"/tab\tline\nnul-free\r\x1b",
            b"/not UTF-8 \xff\xfe\xc3",
            "/\u{fc}ber/\u{200b}\u{1f600}".as_bytes(),
        ];
        for path in paths {
            let path = PathBuf::from(OsString::from_vec(path.to_vec()));
            let field = scandir_field(&path);
            let text = format!("{} since=now", field.strip_prefix(SCANDIR_FIELD).unwrap());
            assert_eq!(unquote(&text).map(PathBuf::from), Some(path), "{text}");
        }
        for text in ["", "/x", "\"/x", "\"/x\\", "\"\\x4\"", "\"\\u{110000}\""] {
            assert_eq!(unquote(text), None, "{text}");
        }
    }
}
