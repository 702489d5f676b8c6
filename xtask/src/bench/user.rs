//! A plain user: what is measured is never root's, as in production.

use anyhow::{Context, Result};
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Who everything runs as where root runs the bench.
const USER: u32 = 10_000;

/// As long as it lives, this thread (with the files that it makes and the processes that it starts) is a
/// plain user's. Nothing changes where it is one already.
pub(super) struct PlainUser {
    was_root: bool,
}

impl PlainUser {
    /// Not by a user of each command's own: a process that changes its user is started in a slower way.
    pub(super) fn become_one() -> Result<Self> {
        let was_root = rustix::process::geteuid().is_root();
        if was_root {
            let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
            set_thread_groups(&[])
                .and_then(|()| set_thread_res_gid(gid, gid, Gid::ROOT))
                // The saved user is the way back. It is not handed down to what is executed.
                .and_then(|()| set_thread_res_uid(uid, uid, Uid::ROOT))
                .context("failed to become a plain user")?;
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
