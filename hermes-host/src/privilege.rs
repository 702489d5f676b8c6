//! What root does as root, while all else is done as the owner of the home.
//!
//! A gateway of the system's manager belongs to a plain user, and so do all files of its profile: root
//! that wrote there would follow that user's links and leave files that they can't change. So a command
//! of root's takes the user's identity, for file systems and all else, and root's back for what the
//! service manager is told and for files that are its own. credentials(7): the saved user id stays 0.

use std::io;

#[cfg(target_os = "linux")]
use rustix::process::{Gid, Uid};
#[cfg(target_os = "linux")]
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Makes this thread, and those that it starts from now on, act as the given user but for what
/// `raised` does. For root alone, before there are other threads.
#[cfg(target_os = "linux")]
pub fn lower(uid: u32, gid: u32) -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(None::<Gid>, Gid::from_raw(gid), None::<Gid>)?;
    set_thread_res_uid(None::<Uid>, Uid::from_raw(uid), None::<Uid>)?;
    Ok(())
}

/// Does `work`: launchd has nothing that root does for another user.
#[cfg(not(target_os = "linux"))]
pub(crate) fn raised<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    work()
}

/// Does `work` as root, where root was lowered before; otherwise as who this is.
#[cfg(target_os = "linux")]
pub(crate) fn raised<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if uid.is_root() || !rustix::process::getuid().is_root() {
        return work();
    }
    set_thread_res_uid(None::<Uid>, Uid::ROOT, None::<Uid>)?;
    set_thread_res_gid(None::<Gid>, Gid::ROOT, None::<Gid>)?;
    let done = work();
    set_thread_res_gid(None::<Gid>, gid, None::<Gid>)?;
    set_thread_res_uid(None::<Uid>, uid, None::<Uid>)?;
    done
}
