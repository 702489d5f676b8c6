//! The account that gateways run as, from passwd(5) and not from the environment.
//!
//! `HOME` and `USER` survive `su` and `sudo`; service managers take a user's home from passwd, too.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use flate2::Crc;
use fs_err as fs;
use hermes_core::RootHome;

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The home directory.
    pub home: PathBuf,
}

impl Account {
    /// The account of this user id; `NotFound` if there is none. One that is not in `/etc/passwd` is asked of getent(1) in
    /// the system's directories or on `path`. Blocks until that ends.
    pub fn of(uid: u32, path: &OsStr) -> io::Result<Self> {
        find(uid, path)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no account has the uid {uid}"))
        })
    }

    /// Whether `root` is this account's default root home, `~/.hermes`.
    pub fn is_default(&self, root: &RootHome) -> bool {
        resolved(root.path()) == resolved(&self.home.join(".hermes"))
    }
}

#[cfg(target_os = "linux")]
fn find(uid: u32, path: &OsStr) -> io::Result<Option<Account>> {
    use crate::getent::Getent;
    use hermes_core::passwd::{self, Entry};

    let of = |Entry { name, uid, home }| Account { name, uid, home };
    if let Some(entry) = passwd::read(passwd::FILE.as_ref(), uid)? {
        return Ok(Some(of(entry)));
    }
    let Some(getent) = Getent::find(path) else { return Ok(None) };
    Ok(getent.account(uid)?.map(of))
}

/// macOS keeps its accounts in a directory service, which its C library asks.
#[cfg(not(target_os = "linux"))]
fn find(uid: u32, _: &OsStr) -> io::Result<Option<Account>> {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid))?;
    Ok(user.map(|user| Account { name: user.name, uid, home: user.dir }))
}

/// Eight hexadecimal digits, from the path of a root home, for the names of its services. Two homes may
/// share them, so each unit file and property list also records its home.
pub fn tag(root: &RootHome) -> String {
    let mut crc = Crc::new();
    crc.update(resolved(root.path()).as_os_str().as_encoded_bytes());
    format!("{:08x}", crc.sum())
}

/// The path with symbolic links resolved, if it exists.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_uid() {
        let me = Account::of(rustix::process::getuid().as_raw(), OsStr::new("")).unwrap();
        assert!(!me.name.is_empty() && me.home.is_absolute());
        let missing = Account::of(u32::MAX - 7, OsStr::new("")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_link_to_a_home_has_its_tag() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(".hermes");
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::symlink(&home, dir.path().join("link")).unwrap();
        let root = |path: &Path| RootHome::new(path);
        let (plain, link) = (root(&home), root(&dir.path().join("link")));
        assert_eq!(tag(&plain), tag(&link));
        assert_ne!(tag(&plain), tag(&root(dir.path())));
        assert_eq!(tag(&plain).len(), 8);
        let me = Account { name: "me".into(), uid: 1, home: dir.path().to_owned() };
        assert!(me.is_default(&link) && !me.is_default(&root(dir.path())));
    }
}
