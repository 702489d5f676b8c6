//! Control groups of cgroup v2: which one a process is in, its controllers, its members.
//!
//! Source: `Documentation/admin-guide/cgroup-v2.rst` of the kernel. A process can't leave its group by dropping its
//! session, its parent or its environment, so the group of a gateway has every process that it started.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::config::Resource;
use crate::proc::Proc;

/// A control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlGroup {
    directory: PathBuf,
}

impl ControlGroup {
    /// The group of the process `pid`; `None` if it has ended, or no cgroup v2 is mounted where this process can see
    /// its group.
    pub fn of(proc: &Proc, pid: u32) -> Option<Self> {
        let groups = fs::read_to_string(proc.file(pid, "cgroup")).ok()?;
        Self::named(proc, groups.lines().find_map(|line| line.strip_prefix("0::"))?)
    }

    /// The group with this path, as the kernel and systemd name it: `/user.slice`.
    pub fn named(proc: &Proc, path: &str) -> Option<Self> {
        let mounts = fs::read_to_string(proc.root.join("self/mountinfo")).ok()?;
        let mount =
            mounts.lines().filter_map(Mount::parse).find(|mount| mount.kind == "cgroup2")?;
        let below = Path::new(path).strip_prefix(mount.root).ok()?;
        Some(Self { directory: Path::new(mount.point).join(below) })
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
        (dir, Proc { root })
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
    fn a_group_limits_what_it_has_a_controller_for() {
        let dir = tempfile::tempdir().unwrap();
        let group = ControlGroup { directory: dir.path().to_owned() };
        assert!(!group.limits(Resource::Memory));
        fs::write(dir.path().join("cgroup.controllers"), "cpuset memory pids\n").unwrap();
        let limited = Resource::ALL.map(|resource| group.limits(resource));
        assert_eq!(limited, [true, false, true, false]);
    }
}
