//! Lets a command of root work as the owner of the home, and as root only where it must.
//!
//! A gateway of the system's manager runs as a plain user, who owns all files of its profile. If root wrote
//! there, it would follow that user's links and leave files that the user can't change. So the command takes
//! the user's identity, and root's again only to call the service manager and to write unit files.
//! credentials(7): the saved user id stays 0.

use std::io;

#[cfg(target_os = "linux")]
use rustix::process::{Gid, Uid};
#[cfg(target_os = "linux")]
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Makes this thread, and every thread that it starts afterwards, act as the given user, except within
/// `as_root`. Only root may call this, before the process has other threads.
#[cfg(target_os = "linux")]
pub fn lower(uid: u32, gid: u32) -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(None::<Gid>, Gid::from_raw(gid), None::<Gid>)?;
    set_thread_res_uid(None::<Uid>, Uid::from_raw(uid), None::<Uid>)?;
    Ok(())
}

/// Refuses: no backend of this system works as root for another user.
#[cfg(not(target_os = "linux"))]
pub fn lower(_: u32, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does `work`: [`lower`] was not called before.
#[cfg(not(target_os = "linux"))]
pub(crate) fn as_root<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    work()
}

/// Does `work` as root if [`lower`] was called before; otherwise as the current user.
#[cfg(target_os = "linux")]
pub(crate) fn as_root<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
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
