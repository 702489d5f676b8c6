//! Switches from root to an unprivileged user, since in production `hermes` does not run as root.

use anyhow::{Context, Result};
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The user and group that programs run as if root runs the task.
const USER: u32 = 10_000;

/// Makes this thread, its new files and its child processes an unprivileged user's until it is dropped. Does nothing if
/// the thread does not run as root.
pub(crate) struct PlainUser {
    was_root: bool,
}

impl PlainUser {
    /// The whole thread switches, and not each command: std starts a process that changes its user in a slower way.
    pub(crate) fn switch() -> Result<Self> {
        let was_root = rustix::process::geteuid().is_root();
        if was_root {
            let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
            set_thread_groups(&[])
                .and_then(|()| set_thread_res_gid(gid, gid, Gid::ROOT))
                // The saved user id is the way back. exec does not pass it on.
                .and_then(|()| set_thread_res_uid(uid, uid, Uid::ROOT))
                .with_context(|| format!("failed to switch to uid {USER}"))?;
        }
        Ok(Self { was_root })
    }
}

impl Drop for PlainUser {
    fn drop(&mut self) {
        if self.was_root {
            set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
                .and_then(|()| set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT))
                .expect("root is the saved user");
        }
    }
}
