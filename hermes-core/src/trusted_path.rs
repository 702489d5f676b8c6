//! The way to a path: who, beside root, decides what it leads to.
//!
//! Whoever may write in a directory on the way can put another thing, or a link, in the place of what
//! is there. So a path is as trustworthy as the least of the directories and links that it is followed
//! through. Where all of them are root's, nobody can change that between a look and an act.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;

/// As many as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Somebody but root who decides what a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct UntrustedOwner {
    /// Where on the way.
    pub at: PathBuf,
    /// The uid and gid of its owner; `None` where everybody may write.
    pub owner: Option<(u32, u32)>,
}

/// The first one on the way to `path`, which is absolute, or at its end; `None` if only root decides. What
/// is not there will be its maker's.
pub fn untrusted_owner(path: &Path) -> io::Result<Option<UntrustedOwner>> {
    stranger_to(Trusted::of_this_namespace()?, path)
}

fn stranger_to(trusted: Trusted, path: &Path) -> io::Result<Option<UntrustedOwner>> {
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
        if let Some(owner) = judge(&trusted, &metadata, pending.is_empty()) {
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

/// The steps of a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let named = |step: &Component<'_>| !matches!(step, Component::CurDir);
    let steps = path.components().filter(named);
    steps.map(|step| step.as_os_str().to_owned()).rev().collect()
}

/// Who else may change what is there, if anybody may: its owner, or everybody (`Some(None)`).
fn judge(trusted: &Trusted, metadata: &Metadata, last: bool) -> Option<Option<(u32, u32)>> {
    if !trusted.owner(metadata.uid()) {
        return Some(Some((metadata.uid(), metadata.gid())));
    }
    // In a sticky directory everybody may make entries, but not replace those of others.
    let kept = metadata.mode() & 0o1000 != 0 && !last;
    let open = metadata.is_dir() && metadata.mode() & 0o002 != 0;
    (open && !kept).then_some(None)
}

/// Whose directories are as good as root's own.
struct Trusted {
    user: u32,
    /// The users that this namespace has. Of the others, who made the namespace is one: whatever runs in it
    /// as root is theirs already (user_namespaces(7)).
    mapped: Vec<(u32, u32)>,
}

impl Trusted {
    fn of_this_namespace() -> io::Result<Self> {
        let map = fs::read_to_string("/proc/self/uid_map")?;
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().filter_map(|number| number.parse().ok());
            Some((numbers.next()?, numbers.nth(1)?))
        };
        Ok(Self { user: 0, mapped: map.lines().filter_map(range).collect() })
    }

    fn owner(&self, uid: u32) -> bool {
        let is_mapped = self.mapped.iter().any(|(first, count)| uid.wrapping_sub(*first) < *count);
        uid == self.user || uid == 0 || !is_mapped
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// As root sees it, in the place of whoever runs the test.
    fn untrusted_owner(path: &Path) -> io::Result<Option<UntrustedOwner>> {
        let user = rustix::process::geteuid().as_raw();
        stranger_to(Trusted { user, ..Trusted::of_this_namespace()? }, path)
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
        for (at, mode, whose) in [
            (home.clone(), 0o777, Some(None)),
            (home.clone(), 0o1777, Some(None)),
            (dir.path().join("a"), 0o777, Some(None)),
            (dir.path().join("a"), 0o1777, None),
        ] {
            chmod(&at, mode);
            let found = untrusted_owner(&home).unwrap();
            assert_eq!(found.map(|it| it.owner), whose, "{mode:o} on {}", at.display());
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
        // The end is the same either way; one of them leads through what is open to all.
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
        let root = Trusted { user: 0, mapped: vec![(0, 1), (100, 10)] };
        let trusted = [0, 100, 109, 110, 65_534].map(|uid| root.owner(uid));
        assert_eq!(trusted, [true, false, false, true, true]);
        let dir = tempfile::tempdir().unwrap();
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let other = Trusted { user: uid + 1, mapped: vec![(uid, 2)] };
        let found = stranger_to(other, dir.path()).unwrap().map(|it| (it.at, it.owner));
        // Root is nobody's stranger.
        let expected = (uid != 0).then(|| (dir.path().to_owned(), Some((uid, gid))));
        assert_eq!(found, expected);
    }
}
