//! Trusted paths: whether only root can change which file a path leads to.
//!
//! A user who can write to a directory on a path can replace the next entry, for example by a link. So a
//! path is trusted only if root owns every directory and link that its resolution goes through. Then no
//! other user can change it between a check and the use.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

/// The kernel's limit on symbolic links in a path (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// An entry on a path that another user than root can change.
#[derive(Debug, PartialEq, Eq)]
pub struct UntrustedOwner {
    /// The directory, link or file.
    pub at: PathBuf,
    /// The uid and gid of its owner; `None` if every user may write to it.
    pub owner: Option<(u32, u32)>,
}

/// The first untrusted entry on the absolute path `path`, its end included; `None` if only root can change
/// the path. Stops at the first missing entry, whose creator will own it.
pub fn untrusted_owner(path: &Path) -> io::Result<Option<UntrustedOwner>> {
    first_untrusted(TrustedOwners::of_this_namespace()?, path)
}

fn first_untrusted(trusted: TrustedOwners, path: &Path) -> io::Result<Option<UntrustedOwner>> {
    let mut pending = steps(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(step) = pending.pop() {
        let next = match step.to_str() {
            Some("/") => PathBuf::from("/"),
            Some("..") => at.parent().unwrap_or(&at).to_owned(),
            _ => at.join(&step),
        };
        let metadata = match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?,
        };
        if let Some(owner) = untrusted_writer(&trusted, &metadata, pending.is_empty()) {
            return Ok(Some(UntrustedOwner { at: next, owner }));
        }
        if !metadata.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        pending.extend(steps(&fs::read_link(&next)?));
    }
    Ok(None)
}

/// The components of a path in reverse order.
fn steps(path: &Path) -> Vec<OsString> {
    let named = |step: &Component<'_>| !matches!(step, Component::CurDir);
    let steps = path.components().filter(named);
    steps.map(|step| step.as_os_str().to_owned()).rev().collect()
}

/// The untrusted user who can change an entry: its owner, or every user (`Some(None)`).
fn untrusted_writer(
    trusted: &TrustedOwners,
    metadata: &Metadata,
    last: bool,
) -> Option<Option<(u32, u32)>> {
    if !trusted.contains(metadata.uid()) {
        return Some(Some((metadata.uid(), metadata.gid())));
    }
    // In a sticky directory users can create entries, but not replace those of other users.
    let sticky = metadata.mode() & 0o1000 != 0 && !last;
    let writable = metadata.is_dir() && metadata.mode() & 0o002 != 0;
    (writable && !sticky).then_some(None)
}

/// The users who are trusted like root.
struct TrustedOwners {
    user: u32,
    /// The ranges of user IDs that this user namespace maps. Unmapped users are trusted, because the creator
    /// of the namespace is one, and controls every process in it anyway (user_namespaces(7)).
    mapped: Vec<(u32, u32)>,
}

impl TrustedOwners {
    fn of_this_namespace() -> io::Result<Self> {
        let map = fs::read_to_string("/proc/self/uid_map")?;
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().filter_map(|number| number.parse().ok());
            Some((numbers.next()?, numbers.nth(1)?))
        };
        Ok(Self { user: 0, mapped: map.lines().filter_map(range).collect() })
    }

    fn contains(&self, uid: u32) -> bool {
        let is_mapped = self.mapped.iter().any(|(first, count)| uid.wrapping_sub(*first) < *count);
        uid == self.user || uid == 0 || !is_mapped
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Trusts the user who runs the test in place of root.
    fn untrusted_owner(path: &Path) -> io::Result<Option<UntrustedOwner>> {
        let user = rustix::process::geteuid().as_raw();
        first_untrusted(TrustedOwners { user, ..TrustedOwners::of_this_namespace()? }, path)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_of_ones_own_is_ones_own_and_one_for_all_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a/home");
        fs::create_dir_all(&home).unwrap();
        assert_eq!(untrusted_owner(&home).unwrap(), None, "below a sticky /tmp");
        assert_eq!(untrusted_owner(&home.join("not/there")).unwrap(), None);
        for (at, mode, owner) in [
            (home.clone(), 0o777, Some(None)),
            (home.clone(), 0o1777, Some(None)),
            (dir.path().join("a"), 0o777, Some(None)),
            (dir.path().join("a"), 0o1777, None),
        ] {
            chmod(&at, mode);
            let found = untrusted_owner(&home).unwrap();
            assert_eq!(found.map(|it| it.owner), owner, "{mode:o} on {}", at.display());
            chmod(&at, 0o755);
        }
    }

    #[test]
    fn a_link_is_followed_through_every_directory_that_it_leads_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["open", "home", "straight"] {
            fs::create_dir(path(name)).unwrap();
        }
        // Both links lead to `home`, but one through a directory that every user can write to.
        symlink("../home", path("open/link")).unwrap();
        symlink("open/link", path("through")).unwrap();
        symlink(path("home"), path("straight/link")).unwrap();
        chmod(&path("open"), 0o777);
        assert_eq!(untrusted_owner(&path("straight/link")).unwrap(), None);
        let found = untrusted_owner(&path("through")).unwrap();
        assert_eq!(found, Some(UntrustedOwner { at: path("open"), owner: None }));
        symlink("circle", path("circle")).unwrap();
        untrusted_owner(&path("circle")).unwrap_err();
    }

    #[test]
    fn an_owner_counts_whom_this_namespace_has() {
        let root = TrustedOwners { user: 0, mapped: vec![(0, 1), (100, 10)] };
        let trusted = [0, 100, 109, 110, 65_534].map(|uid| root.contains(uid));
        assert_eq!(trusted, [true, false, false, true, true]);
        let dir = tempfile::tempdir().unwrap();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let other = TrustedOwners { user: uid + 1, mapped: vec![(uid, 2)] };
        let found = first_untrusted(other, dir.path()).unwrap().map(|it| (it.at, it.owner));
        // Root is always trusted.
        let expected = (uid != 0).then(|| (dir.path().to_owned(), Some((uid, gid))));
        assert_eq!(found, expected);
    }
}
