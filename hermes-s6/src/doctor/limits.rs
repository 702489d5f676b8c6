//! Checks the limits on the number of slots: s6-svscan's own, and its descriptors.
//!
//! Sources: `s6-svscan.html`, proc(5).

use fs_err as fs;
use hermes_core::diagnostics::{Check, Remedy};
use rustix::process::{Pid, Resource};

use super::View;
use crate::tree::capacity::Capacity;

pub(super) const CHECKS: [&str; 2] = ["capacity", "descriptors"];

pub(super) fn checks(view: View<'_>) -> Vec<Check> {
    match view.tree.capacity(view.svscan) {
        Ok(capacity) => vec![room(view, capacity), descriptors(view, capacity)],
        Err(error) => CHECKS.map(|check| Check::unknown(check, error.to_string())).into(),
    }
}

fn room(view: View<'_>, capacity: Capacity) -> Check {
    let mut check = Check::new("capacity");
    let room = Capacity { max_loggers: None, ..capacity }.room();
    let missing = view.missing();
    if room == 0 || room < missing {
        let problem = match room {
            0 => format!("the scan directory is full: {capacity}"),
            _ => format!("there is room for {room} more, and {missing} profiles have no slot"),
        };
        let remedy = "run s6-svscan with a higher -c or -C, or the tree with `hermes up`";
        check.error(problem, Remedy::Do(remedy.to_owned()));
    }
    check.with_evidence(format!("{capacity}; room for {room}"))
}

fn descriptors(view: View<'_>, capacity: Capacity) -> Check {
    let mut check = Check::new("descriptors");
    let Some(pid) = view.svscan.pid else {
        return Check::unknown("descriptors", "s6-svscan lives in another container");
    };
    let limit = match view.tree.proc.descriptor_limit(pid) {
        Ok(limit) => limit,
        Err(error) => return Check::unknown("descriptors", error.to_string()),
    };
    let used = fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).ok();
    let room = Capacity { max_services: None, max_supervisors: None, ..capacity }.room();
    let missing = view.missing();
    if room == 0 || room < missing {
        let problem = format!(
            "s6-svscan {pid} may open {limit} files, two for each of {} slots: room for {room} more",
            capacity.services
        );
        let wanted = 2 * (capacity.services + missing) + 64;
        check.error(problem, raise(pid, wanted));
    }
    let used = used.map_or_else(String::new, |used| format!(", {used} are open"));
    check.with_evidence(format!("s6-svscan {pid} may open {limit} files{used}; room for {room}"))
}

/// The remedy that gives the process `pid` that many descriptors.
fn raise(pid: u32, wanted: u64) -> Remedy {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let hard = process.and_then(hard_limit);
    match hard {
        Some(hard) if hard < wanted => Remedy::Do(format!(
            "start the container with `--ulimit nofile={wanted}`: {hard} is all that may be had here"
        )),
        _ => Remedy::Run(format!("prlimit --pid {pid} --nofile={wanted}:")),
    }
}

/// The most descriptors that a process may ask for; `None` if there is no limit or it can't be read.
pub(super) fn hard_limit(pid: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard = line.split_ascii_whitespace().nth(1)?.parse().ok();
    hard.or_else(|| rustix::process::getrlimit(Resource::Nofile).maximum)
}
