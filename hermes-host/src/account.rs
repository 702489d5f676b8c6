//! Whose gateways they are: the account by passwd(5), and not what the environment says of it.
//!
//! `HOME` and `USER` are a shell's, and survive `su` and `sudo`; what a service manager knows of a user
//! it knows from passwd.

use std::io;
use std::path::{Path, PathBuf};

use flate2::Crc;
use fs_err as fs;
use hermes_core::RootHome;
use nix::unistd::{Uid, User};

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its home directory.
    pub home: PathBuf,
}

impl Account {
    /// The account of this number; one that is unknown is `NotFound`.
    pub fn of(uid: u32) -> io::Result<Self> {
        let user = User::from_uid(Uid::from_raw(uid))?.ok_or_else(|| {
            let why = format!("there is no account with the uid {uid}");
            io::Error::new(io::ErrorKind::NotFound, why)
        })?;
        Ok(Self { name: user.name, uid, home: user.dir })
    }

    /// Whether `root` is the home that this account's gateways have where nobody says otherwise.
    pub fn is_default(&self, root: &RootHome) -> bool {
        resolved(root.path()) == resolved(&self.home.join(".hermes"))
    }
}

/// Eight hexadecimal digits that tell the services of one root home from those of another. Two homes
/// may share them; what a service says of its home decides.
pub fn tag(root: &RootHome) -> String {
    let mut crc = Crc::new();
    crc.update(resolved(root.path()).as_os_str().as_encoded_bytes());
    format!("{:08x}", crc.sum())
}

/// Without links, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_account_has_a_name_and_a_home_and_an_unknown_one_is_told() {
        let me = Account::of(rustix::process::getuid().as_raw()).unwrap();
        assert!(!me.name.is_empty() && me.home.is_absolute());
        assert_eq!(Account::of(u32::MAX - 7).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_home_is_the_same_however_one_gets_there() {
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
