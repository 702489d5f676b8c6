//! A control group of cgroup v2 for the tree of one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use hermes_core::Proc;
use hermes_core::control_group::ControlGroup;

use crate::{TestEnv, eventually, is_root};

/// A group of its own for a tree, as a container or systemd delegates one. Dropping it removes it, once the processes in
/// it have ended.
#[derive(Debug)]
pub struct TestGroup {
    directory: PathBuf,
}

impl TestGroup {
    /// A new group below this process's own, which the environment's user owns; `None` if this process can't make one.
    pub fn new(env: &TestEnv) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let own = ControlGroup::of(&Proc::default(), std::process::id())?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hermes-test-{}-{number}", std::process::id());
        let directory = own.directory().join(name);
        fs::create_dir(&directory).ok().filter(|()| is_root())?;
        let group = Self { directory };
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            env.give(&group.directory.join(file));
        }
        Some(group)
    }

    /// Moves a process into the group. Its children that run already stay where they are.
    #[track_caller]
    pub fn take(&self, pid: u32) {
        fs::write(self.directory.join("cgroup.procs"), pid.to_string()).expect("a live process");
    }

    /// The names of the groups of gateways below it.
    pub fn gateways(&self) -> Vec<String> {
        let homes = below(&self.directory);
        let gateways = homes.iter().flat_map(|home| below(home));
        let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        gateways.filter_map(name).collect()
    }
}

fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn remove(group: &Path) -> std::io::Result<()> {
    below(group).iter().try_for_each(|below| remove(below))?;
    fs::remove_dir(group)
}

impl Drop for TestGroup {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = fs::write(self.directory.join("cgroup.kill"), "1");
        }
        eventually("the group is empty", || remove(&self.directory).ok());
    }
}

/// Returns from a test that needs a control group of its own, and prints that it was not run.
///
/// Evaluates to the [`TestGroup`].
#[macro_export]
macro_rules! require_control_group {
    ($env:expr) => {{
        $crate::require_root!();
        match $crate::TestGroup::new($env) {
            Some(group) => group,
            None => {
                fn marker() {}
                $crate::tell_not_run(std::any::type_name_of_val(&marker), "needs a cgroup v2");
                return;
            }
        }
    }};
}
