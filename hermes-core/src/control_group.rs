//! Control groups of cgroup v2: which one a process is in, its controllers, its members; and the group of a gateway.
//!
//! Source: `Documentation/admin-guide/cgroup-v2.rst` of the kernel. A process does not leave its group by dropping its
//! session, its parent or its environment, so the group of a gateway has every process that it started.
//!
//! A gateway has a group if the tree's own group is writable for the tree's user: `hermes-DEVICE-INODE/gateway-NAME`
//! below it, with the device and inode of the root home, since trees of several homes may share a group. Its launcher
//! makes the group and enters it, and it is removed once nothing of the gateway is left.

mod limits;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::Access;

use crate::config::Resource;
use crate::home::RootHome;
use crate::name::ProfileName;
use crate::proc::Proc;

/// The file with the members of a group. A process that writes 0 enters the group.
const MEMBERS: &str = "cgroup.procs";
/// The file that kills all members (since Linux 5.14).
const KILL: &str = "cgroup.kill";
/// How often a launcher tries to enter a group that a stop removes at the same time.
const ATTEMPTS: usize = 8;

/// A control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroup {
    directory: PathBuf,
}

impl ControlGroup {
    /// The group of the process `pid`; `None` if it has ended, or no cgroup v2 is mounted where this process can see
    /// its group.
    pub fn of(proc: &Proc, pid: u32) -> Option<Self> {
        Unified::mounted(proc)?.group_of(proc, pid)
    }

    /// The group with this path, as the kernel and systemd name it: `/user.slice`.
    pub fn named(proc: &Proc, path: &str) -> Option<Self> {
        Unified::mounted(proc)?.group(path)
    }

    /// The group of the gateway `profile` of `root`, in the tree that the process `of_tree` belongs to: a supervisor, or
    /// a gateway. It may not exist. `None` if the tree's group can't be seen.
    pub fn of_gateway(
        proc: &Proc,
        of_tree: u32,
        root: &RootHome,
        profile: &ProfileName,
    ) -> Option<Self> {
        GatewayGroups::of(proc, root)?.group(proc, of_tree, profile)
    }

    /// Makes this group of a gateway, and moves this process into it. Returns whether it did: `false` if the tree's group
    /// is not writable.
    pub fn enter(&self) -> io::Result<bool> {
        let tree = self.directory.ancestors().nth(2).unwrap_or(&self.directory);
        if !may_write(tree) || !may_write(&tree.join(MEMBERS)) {
            return Ok(false);
        }
        let mut entered = Ok(());
        for _ in 0..ATTEMPTS {
            let made = fs::create_dir_all(&self.directory);
            entered = made.and_then(|()| fs::write(self.directory.join(MEMBERS), "0"));
            if !matches!(&entered, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                break;
            }
        }
        entered.map(|()| true)
    }

    /// The processes in it and in the groups below it. Empty if it does not exist.
    pub fn members(&self) -> BTreeSet<u32> {
        let mut members = BTreeSet::new();
        let mut groups = vec![self.directory.clone()];
        while let Some(group) = groups.pop() {
            let Ok(pids) = fs::read_to_string(group.join(MEMBERS)) else { continue };
            let pids = pids.lines().filter_map(|pid| pid.parse::<u32>().ok());
            // 0 is a process that has no ID in this PID namespace.
            members.extend(pids.filter(|pid| *pid != 0));
            groups.extend(below(&group));
        }
        members
    }

    /// Kills all its members, and those of the groups below it, at once. Fails before Linux 5.14.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.directory.join(KILL), "1")
    }

    /// Removes this group of a gateway, and the group above it after the last gateway. Fails if a process is left in it.
    /// Idempotent.
    pub fn remove(&self) -> io::Result<()> {
        let mut groups = vec![self.directory.clone()];
        let mut next = 0;
        while let Some(group) = groups.get(next) {
            groups.extend(below(group));
            next += 1;
        }
        for group in groups.iter().rev() {
            match fs::remove_dir(group) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // It fails while another gateway has a group.
        let _ = self.directory.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether a group below it can have a limit of `resource`.
    pub fn limits(&self, resource: Resource) -> bool {
        let controllers = self.directory.join("cgroup.controllers");
        let controllers = fs::read_to_string(controllers).unwrap_or_default();
        let mut controllers = controllers.split_ascii_whitespace();
        resource.controller().is_some_and(|wanted| controllers.any(|one| one == wanted))
    }
}

/// The groups of the gateways of one home. For many gateways, what they share is read once.
#[derive(Debug)]
pub struct GatewayGroups {
    mount: Unified,
    /// The name of the group above theirs.
    above: String,
}

impl GatewayGroups {
    /// Those of `root`; `None` if no cgroup v2 is mounted.
    pub fn of(proc: &Proc, root: &RootHome) -> Option<Self> {
        let home = fs::metadata(root.path()).ok()?;
        let above = format!("hermes-{:x}-{:x}", home.dev(), home.ino());
        Some(Self { mount: Unified::mounted(proc)?, above })
    }

    /// As [`ControlGroup::of_gateway`].
    pub fn group(&self, proc: &Proc, of_tree: u32, profile: &ProfileName) -> Option<ControlGroup> {
        let group = self.mount.group_of(proc, of_tree)?.directory;
        let mut ancestors = group.ancestors();
        let base = ancestors.find(|path| path.file_name() == Some(OsStr::new(&self.above)));
        let base = base.and_then(Path::parent).unwrap_or(&group);
        let directory = base.join(&self.above).join(format!("gateway-{profile}"));
        Some(ControlGroup { directory })
    }
}

/// Where cgroup v2 is mounted.
#[derive(Debug)]
struct Unified {
    /// The group that is mounted.
    root: PathBuf,
    point: PathBuf,
}

impl Unified {
    fn mounted(proc: &Proc) -> Option<Self> {
        let mounts = fs::read_to_string(proc.root.join("self/mountinfo")).ok()?;
        let mount =
            mounts.lines().filter_map(Mount::parse).find(|mount| mount.kind == "cgroup2")?;
        Some(Self { root: mount.root.into(), point: mount.point.into() })
    }

    fn group(&self, path: &str) -> Option<ControlGroup> {
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        Some(ControlGroup { directory: self.point.join(below) })
    }

    fn group_of(&self, proc: &Proc, pid: u32) -> Option<ControlGroup> {
        let groups = fs::read_to_string(proc.file(pid, "cgroup")).ok()?;
        self.group(groups.lines().find_map(|line| line.strip_prefix("0::"))?)
    }
}

fn may_write(path: &Path) -> bool {
    rustix::fs::access(path, Access::WRITE_OK).is_ok()
}

/// The groups directly below `group`.
fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let is_group = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(is_group).map(|entry| entry.path()).collect()
}

/// The controllers of cgroup v1, which only root can use.
pub fn legacy_controllers(proc: &Proc) -> BTreeSet<String> {
    let mounts = fs::read_to_string(proc.root.join("self/mountinfo")).unwrap_or_default();
    let legacy = mounts.lines().filter_map(Mount::parse).filter(|mount| mount.kind == "cgroup");
    legacy.flat_map(|mount| mount.options.split(',')).map(str::to_owned).collect()
}

/// A line of `mountinfo`, proc_pid_mountinfo(5).
struct Mount<'a> {
    /// The directory of the file system that is mounted.
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    /// The options of the file system.
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut file_system = file_system.split(' ');
        Some(Self {
            root: mount.next()?,
            point: mount.next()?,
            kind: file_system.next()?,
            options: file_system.nth(1)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proc file system of a process 7 in the group `group`, with these mounts.
    fn proc(group: &str, mounts: &str) -> (tempfile::TempDir, Proc) {
        let dir = tempfile::tempdir().unwrap();
        for process in ["7", "self"] {
            fs::create_dir(dir.path().join(process)).unwrap();
        }
        fs::write(dir.path().join("7/cgroup"), format!("3:memory:/m\n0::{group}\n")).unwrap();
        fs::write(dir.path().join("self/mountinfo"), mounts).unwrap();
        let root = dir.path().to_owned();
        (dir, Proc::at(root))
    }

    const UNIFIED: &str =
        "41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_group_of_a_process_is_found_below_the_mount() {
        let (_dir, hybrid) = proc(
            "/a/b",
            "33 31 0:30 / /c/memory rw - cgroup cgroup rw,memory\n\
             34 31 0:30 / /c/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             41 31 0:38 / /c/unified rw - cgroup2 cgroup2 rw\n",
        );
        let group = ControlGroup::of(&hybrid, 7).unwrap();
        assert_eq!(group.directory(), "/c/unified/a/b");
        let legacy = legacy_controllers(&hybrid);
        assert!(legacy.contains("memory") && legacy.contains("cpuacct"), "{legacy:?}");
        assert_eq!(ControlGroup::of(&hybrid, 8), None);

        let (_dir, unified) = proc("/a/b", UNIFIED);
        assert_eq!(ControlGroup::of(&unified, 7).unwrap().directory(), "/sys/fs/cgroup/a/b");
        assert!(!legacy_controllers(&unified).contains("memory"));
        // A container that has its own group alone, under the host's names.
        let own = UNIFIED.replace(" / /sys", " /a /sys");
        let (_dir, container) = proc("/a/b", &own);
        assert_eq!(ControlGroup::of(&container, 7).unwrap().directory(), "/sys/fs/cgroup/b");
        let (_dir, outside) = proc("/../x", &own);
        assert_eq!(ControlGroup::of(&outside, 7), None);
        let (_dir, none) = proc("/", "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n");
        assert_eq!(ControlGroup::of(&none, 7), None);
    }

    #[test]
    fn the_group_of_a_gateway_is_below_that_of_its_tree() {
        let home = tempfile::tempdir().unwrap();
        let (root, coder) = (RootHome::new(home.path()), "coder".parse().unwrap());
        let of = |group: &str| {
            let (_dir, proc) = proc(group, UNIFIED);
            let group = ControlGroup::of_gateway(&proc, 7, &root, &coder).unwrap();
            group.directory().strip_prefix("/sys/fs/cgroup").unwrap().to_owned()
        };
        let group = of("/a");
        let (parent, name) = (group.parent().unwrap(), group.file_name().unwrap());
        assert_eq!((parent.parent().unwrap(), name), (Path::new("a"), OsStr::new("gateway-coder")));
        assert!(parent.file_name().unwrap().to_string_lossy().starts_with("hermes-"));
        // By way of a gateway of the same tree.
        assert_eq!(of(&format!("/{}/gateway-other", parent.display())), group);
        // A tree in a gateway of another home's tree.
        let nested = of("/a/hermes-1-2/gateway-coder");
        assert_eq!(nested.ancestors().nth(2).unwrap(), "a/hermes-1-2/gateway-coder");
    }

    #[test]
    fn a_group_limits_what_it_has_a_controller_for() {
        let dir = tempfile::tempdir().unwrap();
        let group = ControlGroup { directory: dir.path().to_owned() };
        assert!(!group.limits(Resource::Memory));
        fs::write(dir.path().join("cgroup.controllers"), "cpuset memory pids\n").unwrap();
        let limited = Resource::ALL.map(|resource| group.limits(resource));
        assert_eq!(limited, [true, false, true, false]);
    }
}
