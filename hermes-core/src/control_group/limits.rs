//! The limits of a gateway's group, and the controllers that they need.
//!
//! A group has the controllers that the group above it enables for those below, and one that enables any has no
//! processes of its own ("no internal process constraint"). So before the first limit, all processes of the tree's group
//! move into a leaf below it. That is done only where the group was delegated: elsewhere it has other processes, too.
//! systemd marks such a group by the attribute `user.delegate`; a container's own group is at the mount point.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use rustix::io::Errno;

use super::{ATTEMPTS, ControlGroup, MEMBERS, may_write};
use crate::config::{Resource, Resources};

/// The file with the controllers that a group enables for those below it.
const ENABLED: &str = "cgroup.subtree_control";
/// The group of the tree's own processes, beside those of the gateways.
const TREE: &str = "tree";
/// The period of `cpu.max`, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

impl ControlGroup {
    /// Whether this group of a gateway can have a limit of `resource`.
    pub fn can_limit(&self, resource: Resource) -> bool {
        let (home, tree) = (self.above(1), self.above(2));
        home.limits(resource) || (tree.limits(resource) && tree.is_delegated())
    }

    /// Sets the limits of this group of a gateway, which exists. A resource that the group can't limit is left out.
    pub fn limit(&self, resources: &Resources) -> io::Result<()> {
        let wanted = |resource: &Resource| resource.limit(resources).is_some();
        let wanted = Resource::ALL.into_iter().filter(wanted);
        self.enable(wanted.filter(|resource| self.can_limit(*resource)).collect())?;
        for resource in Resource::ALL {
            let (file, limit) = match (resource, resource.limit(resources)) {
                (Resource::Memory, limit) => ("memory.max", limit.map(|bytes| bytes.to_string())),
                (Resource::Cpu, limit) => {
                    ("cpu.max", limit.map(|cpu| format!("{} {PERIOD}", cpu * PERIOD / 100)))
                }
                (Resource::Tasks, limit) => ("pids.max", limit.map(|tasks| tasks.to_string())),
                (Resource::Files, _) => continue,
            };
            let path = self.directory.join(file);
            if path.exists() {
                fs::write(path, limit.unwrap_or_else(|| "max".to_owned()))?;
            }
        }
        Ok(())
    }

    /// Enables the controllers of `resources` for this group of a gateway.
    fn enable(&self, resources: Vec<Resource>) -> io::Result<()> {
        let (home, tree) = (self.above(1), self.above(2));
        let add = |group: &Self, resources: &[Resource]| {
            let names = resources.iter().filter_map(|resource| resource.controller());
            let names: Vec<_> = names.map(|name| format!("+{name}")).collect();
            if names.is_empty() {
                return Ok(());
            }
            fs::write(group.directory.join(ENABLED), names.join(" "))
        };
        let missing: Vec<_> =
            resources.iter().copied().filter(|resource| !home.limits(*resource)).collect();
        if !missing.is_empty() {
            tree.vacate(&home.directory.join(TREE))?;
            add(&tree, &missing)?;
        }
        add(&home, &resources)
    }

    /// Moves the processes of this group into the group `leaf` below it.
    fn vacate(&self, leaf: &Path) -> io::Result<()> {
        fs::create_dir_all(leaf)?;
        // A process may start another one before it is moved.
        for _ in 0..ATTEMPTS {
            let members = fs::read_to_string(self.directory.join(MEMBERS))?;
            if members.is_empty() {
                break;
            }
            for pid in members.lines() {
                match fs::write(leaf.join(MEMBERS), pid) {
                    Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                    moved => moved?,
                }
            }
        }
        Ok(())
    }

    /// Whether this process may rearrange the processes of the group.
    fn is_delegated(&self) -> bool {
        let group = &self.directory;
        if ![MEMBERS, ENABLED].iter().all(|file| may_write(&group.join(file))) {
            return false;
        }
        let mut value = [0; 1];
        if rustix::fs::getxattr(group, "user.delegate", &mut value) == Ok(1) && value == *b"1" {
            return true;
        }
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let is_mount = group.parent().is_some_and(|above| device(above) != device(group));
        // The machine's own root group has no such file.
        is_mount && group.join("cgroup.events").exists()
    }

    /// The group `levels` above this one.
    fn above(&self, levels: usize) -> Self {
        let directory = self.directory.ancestors().nth(levels).unwrap_or(&self.directory);
        Self { directory: directory.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Directories like those of a tree's group and of a gateway's below it, with these controllers at the latter's.
    fn groups(enabled: &str) -> (tempfile::TempDir, PathBuf, ControlGroup) {
        // `/tmp` may be a tmpfs, which has attributes of users since Linux 6.6 only.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let tree = dir.path().join("tree");
        let gateway = tree.join("hermes-1-2/gateway-coder");
        fs::create_dir_all(&gateway).unwrap();
        for (file, text) in [(MEMBERS, ""), (ENABLED, ""), ("cgroup.controllers", "cpu memory")] {
            fs::write(tree.join(file), text).unwrap();
        }
        fs::write(tree.join("hermes-1-2/cgroup.controllers"), enabled).unwrap();
        (dir, tree, ControlGroup { directory: gateway })
    }

    const ALL: Resources =
        Resources { memory: Some(1 << 30), cpu: Some(150), tasks: Some(64), files: Some(99) };

    #[test]
    fn limits_are_written_in_the_kernels_units() {
        let (_dir, tree, gateway) = groups("cpu memory pids");
        for file in ["memory.max", "cpu.max", "pids.max"] {
            fs::write(gateway.directory.join(file), "max").unwrap();
        }
        let read = |file: &str| fs::read_to_string(gateway.directory.join(file)).unwrap();
        gateway.limit(&ALL).unwrap();
        let limits = ["memory.max", "cpu.max", "pids.max"].map(read);
        assert_eq!(limits, ["1073741824", "150000 100000", "64"]);
        assert_eq!(fs::read_to_string(tree.join(ENABLED)).unwrap(), "", "enabled already");
        let enabled = fs::read_to_string(tree.join("hermes-1-2").join(ENABLED)).unwrap();
        assert_eq!(enabled, "+memory +cpu +pids");
        // A limit that is configured no more.
        gateway.limit(&Resources { tasks: None, ..ALL }).unwrap();
        assert_eq!(read("pids.max"), "max");
    }

    #[test]
    fn a_group_that_was_not_delegated_is_left_as_it_is() {
        let (_dir, tree, gateway) = groups("");
        assert!(!gateway.can_limit(Resource::Memory));
        gateway.limit(&ALL).unwrap();
        assert!(!tree.join("hermes-1-2").join(TREE).exists());
        assert_eq!(fs::read_to_string(tree.join(ENABLED)).unwrap(), "");
        assert!(!gateway.directory.join("memory.max").exists());
    }

    #[test]
    fn a_delegated_group_enables_the_controllers_that_it_has() {
        let (_dir, tree, gateway) = groups("");
        let mark = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&tree, "user.delegate", b"1", mark).expect("an attribute");
        let can = Resource::ALL.map(|resource| gateway.can_limit(resource));
        assert_eq!(can, [true, true, false, false]);
        gateway.limit(&ALL).unwrap();
        assert!(tree.join("hermes-1-2").join(TREE).is_dir());
        assert_eq!(fs::read_to_string(tree.join(ENABLED)).unwrap(), "+memory +cpu");
    }
}
