//! Creates a slot and waits for its supervisors; removes a slot.

use std::time::Instant;

use rustix::event::Timespec;
use rustix::fs::{AtFlags, CWD, Mode, RenameFlags};
use rustix::io::Errno;

use crate::files::{self, TIMEOUT};
use crate::process::{await_end, open};

/// The beginning of the name of a gateway's slot.
const GATEWAY: &str = "gateway-";
/// The placeholder for the profile's name in the scripts.
const NAME: &str = "@PROFILE@";
/// The service and its logger.
pub(crate) const PARTS: [&str; 2] = ["", "/log"];
/// The files in `supervise` of each part.
const SUPERVISE: [&str; 4] = ["lock", "status", "death_tally", "control"];

/// Creates a slot for each of `names` and returns when every supervisor holds its lock and has written its status file.
/// `scripts` is a directory with `run`, `finish` and `log-run`.
pub(crate) fn register(scandir: &str, scripts: &str, names: &[&str]) -> Result<(), Errno> {
    let slots = publish(scandir, scripts, names, true, |_| Ok(()))?;
    let parts = |slot| PARTS.map(|part| [slot, part].concat());
    let mut waiting: Vec<_> = slots.iter().flat_map(|slot| parts(slot.as_str())).collect();
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        let mut rest = Vec::new();
        for part in waiting {
            if !is_supervised(&part)? {
                rest.push(part);
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        waiting = rest;
        let pause = Timespec { tv_sec: 0, tv_nsec: 200_000 };
        rustix::event::poll(&mut [], Some(&pause))?;
    }
    Err(Errno::TIMEDOUT)
}

/// Creates a slot for each of `names` and has s6-svscan start their supervisors; returns the slots. `staged` gets the
/// path of each before s6-svscan sees it.
pub(crate) fn publish(
    scandir: &str,
    scripts: &str,
    names: &[&str],
    is_down: bool,
    mut staged: impl FnMut(&str) -> Result<(), Errno>,
) -> Result<Vec<String>, Errno> {
    let mut buffer = vec![0; 16 * 1024];
    let mut read = |name| {
        let len = files::read(&[scripts, name].concat(), &mut buffer)?;
        Ok::<_, Errno>(String::from_utf8_lossy(&buffer[..len]).into_owned())
    };
    let scripts = [read("/run")?, read("/finish")?, read("/log-run")?];
    let mut slots = Vec::new();
    for name in names {
        let slot = [scandir, "/", GATEWAY, name].concat();
        let hidden = [scandir, "/.floor-", name].concat();
        make(&hidden, &scripts, name, is_down)?;
        staged(&hidden)?;
        rustix::fs::renameat_with(CWD, &hidden, CWD, &slot, RenameFlags::NOREPLACE)?;
        slots.push(slot);
    }
    files::send(&[scandir, "/.s6-svscan/control"].concat(), b"a")?;
    Ok(slots)
}

/// The slots of a scan directory.
pub(crate) fn all(scandir: &str) -> Result<Vec<String>, Errno> {
    let mut names = files::names(scandir)?;
    names.retain(|name| name.starts_with(GATEWAY));
    Ok(names.iter().map(|name| [scandir, "/", name].concat()).collect())
}

fn is_supervised(part: &str) -> Result<bool, Errno> {
    let held = files::holder(&[part, "/supervise/lock"].concat())?.is_some();
    Ok(held && rustix::fs::stat([part, "/supervise/status"].concat()).is_ok())
}

fn make(slot: &str, scripts: &[String; 3], name: &str, is_down: bool) -> Result<(), Errno> {
    for part in PARTS {
        let directory = |below: &str, mode| {
            let path = [slot, part, below].concat();
            rustix::fs::mkdir(&path, Mode::from_raw_mode(mode))?;
            // mkdir applies the umask.
            rustix::fs::chmod(&path, Mode::from_raw_mode(mode))
        };
        directory("", 0o755)?;
        directory("/event", 0o3730)?;
        directory("/supervise", 0o755)?;
        directory("/supervise/event", 0o3730)?;
        let control = [slot, part, "/supervise/control"].concat();
        rustix::fs::mkfifoat(CWD, &control, Mode::from_raw_mode(0o660))?;
        rustix::fs::chmod(&control, Mode::from_raw_mode(0o660))?;
    }
    rustix::fs::mkdir([slot, "/data"].concat(), Mode::from_raw_mode(0o755))?;
    let file = |below: &str, text: &str, mode| {
        files::write(&[slot, below].concat(), text.as_bytes(), mode)
    };
    file("/data/profile", name, 0o644)?;
    file("/data/generation", "1\n", 0o644)?;
    file("/type", "longrun\n", 0o644)?;
    file("/notification-fd", "3\n", 0o644)?;
    file("/timeout-kill", "6000\n", 0o644)?;
    file("/timeout-finish", "0\n", 0o644)?;
    if is_down {
        file("/down", "", 0o644)?;
    }
    for (path, script) in ["/run", "/finish", "/log/run"].into_iter().zip(scripts) {
        file(path, &script.replace(NAME, name), 0o755)?;
    }
    Ok(())
}

/// Removes a slot whose gateway ran and was stopped, and returns when its supervisors and files are gone.
pub(crate) fn unregister(scandir: &str, name: &str) -> Result<(), Errno> {
    let slot = [scandir, "/", GATEWAY, name].concat();
    let hidden = [scandir, "/.floor-", name].concat();
    rustix::fs::renameat(CWD, &slot, CWD, &hidden)?;
    let mut supervisors = Vec::new();
    for part in PARTS {
        if let Some(pid) = files::holder(&[&hidden, part, "/supervise/lock"].concat())? {
            supervisors.push(open(pid)?);
        }
    }
    files::send(&[scandir, "/.s6-svscan/control"].concat(), b"an")?;
    supervisors.iter().try_for_each(await_end)?;
    remove(&hidden)
}

fn remove(slot: &str) -> Result<(), Errno> {
    let file = |below: &str| rustix::fs::unlinkat(CWD, [slot, below].concat(), AtFlags::empty());
    let directory =
        |below: &str| rustix::fs::unlinkat(CWD, [slot, below].concat(), AtFlags::REMOVEDIR);
    for part in PARTS {
        SUPERVISE.iter().try_for_each(|name| file(&[part, "/supervise/", name].concat()))?;
        directory(&[part, "/supervise/event"].concat())?;
        directory(&[part, "/supervise"].concat())?;
        directory(&[part, "/event"].concat())?;
    }
    let own = ["type", "notification-fd", "timeout-kill", "timeout-finish", "down"];
    own.iter().try_for_each(|name| file(&["/", name].concat()))?;
    let scripts = ["/data/profile", "/data/generation", "/run", "/finish", "/log/run"];
    scripts.into_iter().try_for_each(file)?;
    // These are created when the gateway runs and stops.
    ["/data/since", "/data/deaths"].into_iter().try_for_each(file)?;
    ["/data", "/log", ""].into_iter().try_for_each(directory)
}
