//! What limits how many gateways there can be: s6-svscan's own limit, its descriptors, and the number
//! of processes that the container may have.
//!
//! Sources: `s6-svscan.html`, proc(5), cgroups(7), the kernel's `cgroup-v2.rst` and `cgroup-v1/pids.rst`.

use std::path::{Path, PathBuf};

use fs_err as fs;
use hermes_core::Intent;
use hermes_s6::tree::capacity::Capacity;
use rustix::process::{Pid, Resource};

use super::report::{Check, Remedy};
use super::snapshot::{Snapshot, TreeSnapshot};
use crate::output::Severity;

/// What a profile takes: two supervisors, a logger and the gateway.
const PROCESSES: u64 = 4;
/// How many processes should be left for what the gateways themselves start.
const SPARE_PROCESSES: u64 = 32;

pub(super) fn checks(snapshot: &Snapshot<'_>) -> Vec<Check> {
    let unseen = |check, why: &String| Check::unknown(check, why.clone());
    let tree = match &snapshot.tree {
        Ok(tree) => tree,
        Err(why) => return ["capacity", "descriptors", "pids"].map(|c| unseen(c, why)).into(),
    };
    let counted = tree.manager.tree().capacity(tree.svscan);
    let [capacity, descriptors] = match counted {
        Ok(capacity) => [room(snapshot, capacity), descriptors(snapshot, tree, capacity)],
        Err(error) => ["capacity", "descriptors"].map(|check| unseen(check, &error.to_string())),
    };
    vec![capacity, descriptors, pids(snapshot, tree, Path::new("/"))]
}

/// What limits the scan directory, where an s6-svscan holds one.
pub(super) fn capacity_of(snapshot: &Snapshot<'_>) -> Option<Capacity> {
    let tree = snapshot.s6.as_ref()?.as_ref().ok()?.tree();
    tree.capacity(tree.scandir.svscan().ok()??).ok()
}

/// How many profiles have no slot yet.
fn missing(snapshot: &Snapshot<'_>) -> u64 {
    let unregistered =
        |status: &Result<hermes_core::Status, String>| status.as_ref().is_ok_and(|s| !s.registered);
    snapshot.profiles.iter().filter(|profile| unregistered(&profile.status)).count() as u64
}

fn room(snapshot: &Snapshot<'_>, capacity: Capacity) -> Check {
    let mut check = Check::new("capacity");
    let room = Capacity { max_loggers: None, ..capacity }.room();
    let missing = missing(snapshot);
    if room == 0 || room < missing {
        let problem = match room {
            0 => format!("the scan directory is full: {capacity}"),
            _ => format!("there is room for {room} more, and {missing} profiles have no slot"),
        };
        let remedy = "run s6-svscan with a higher -c or -C, or the tree with `hermes up`";
        check.error(problem, Remedy::Do(remedy.to_owned()));
    }
    check.evidence(format!("{capacity}; room for {room}"))
}

fn descriptors(snapshot: &Snapshot<'_>, tree: &TreeSnapshot, capacity: Capacity) -> Check {
    let mut check = Check::new("descriptors");
    let Some(pid) = tree.svscan.pid else {
        return Check::unknown("descriptors", "s6-svscan lives in another container");
    };
    let limit = match tree.manager.tree().proc.descriptor_limit(pid) {
        Ok(limit) => limit,
        Err(error) => return Check::unknown("descriptors", error.to_string()),
    };
    let used = fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).ok();
    let room = Capacity { max_services: None, max_supervisors: None, ..capacity }.room();
    let missing = missing(snapshot);
    if room == 0 || room < missing {
        let problem = format!(
            "s6-svscan {pid} may open {limit} files, two for each of {} slots: room for {room} more",
            capacity.services
        );
        let wanted = 2 * (capacity.services + missing) + 64;
        check.error(problem, raise(pid, wanted));
    }
    let used = used.map_or_else(String::new, |used| format!(", {used} are open"));
    check.evidence(format!("s6-svscan {pid} may open {limit} files{used}; room for {room}"))
}

/// What gives the process `pid` that many descriptors.
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
fn hard_limit(pid: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard = line.split_ascii_whitespace().nth(1)?.parse().ok();
    hard.or_else(|| rustix::process::getrlimit(Resource::Nofile).maximum)
}

/// One control group with a limit on processes.
#[derive(Debug, PartialEq, Eq)]
struct PidsLimit {
    path: PathBuf,
    max: u64,
    current: u64,
}

fn pids(snapshot: &Snapshot<'_>, tree: &TreeSnapshot, root: &Path) -> Check {
    let mut check = Check::new("pids");
    // The gateways are where s6-svscan is, which need not be where this command is.
    let of = tree.svscan.pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let membership = match fs::read_to_string(root.join("proc").join(of).join("cgroup")) {
        Ok(membership) => membership,
        Err(error) => return Check::unknown("pids", error.to_string()),
    };
    let to_come = snapshot.profiles.iter().filter_map(|profile| {
        let status = profile.status.as_ref().ok()?;
        let wanted = profile.intent == Some(Intent::Running) && status.pid.is_none();
        let slot = if status.registered { 0 } else { PROCESSES - 1 };
        Some(slot + u64::from(wanted))
    });
    let to_come = to_come.sum();
    let limits = pids_limits(root, &membership);
    let Some(tightest) = limits.iter().min_by_key(|limit| limit.max.saturating_sub(limit.current))
    else {
        return check.evidence("no limit on processes (pids.max) can be seen");
    };
    let PidsLimit { path, max, current } = tightest;
    let path = path.display();
    if let Some(severity) = judge_pids(*max, *current, to_come) {
        let problem = format!(
            "{current} of the {max} processes that `{path}` allows are there, and {to_come} more are to come"
        );
        let profiles = snapshot.profiles.len() as u64;
        let enough =
            (current + to_come + 2 * SPARE_PROCESSES).max(max * 2).max(profiles * 2 * PROCESSES);
        let remedy = format!("start the container with `--pids-limit {enough}` or more");
        check.find(severity, problem, Remedy::Do(remedy));
    }
    check.evidence(format!("{current} of {max} processes in `{path}`, {to_come} to come"))
}

fn judge_pids(max: u64, current: u64, to_come: u64) -> Option<Severity> {
    let room = max.saturating_sub(current);
    if room == 0 || room < to_come {
        return Some(Severity::Error);
    }
    (room < to_come + SPARE_PROCESSES).then_some(Severity::Warning)
}

/// The limits that hold for a process of this membership, its own group's and those above it, as far as
/// they can be seen below `root`.
fn pids_limits(root: &Path, membership: &str) -> Vec<PidsLimit> {
    let mut limits = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let base = match controllers {
            "" => root.join("sys/fs/cgroup"),
            all if all.split(',').any(|one| one == "pids") => root.join("sys/fs/cgroup/pids"),
            _ => continue,
        };
        // A container may see its own group as the top, under a path that is the host's.
        let group = base.join(group.trim_start_matches('/'));
        let at = group.ancestors().find(|at| at.is_dir()).unwrap_or(&base);
        for at in at.ancestors().take_while(|at| at.starts_with(&base)) {
            let number =
                |name: &str| fs::read_to_string(at.join(name)).ok()?.trim().parse::<u64>().ok();
            // `max` is no number, and no limit.
            if let (Some(max), Some(current)) = (number("pids.max"), number("pids.current")) {
                limits.push(PidsLimit { path: at.join("pids.max"), max, current });
            }
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, max: &str, current: &str) {
        let dir = root.join("sys/fs/cgroup").join(path);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("pids.max"), format!("{max}\n")).unwrap();
        fs::write(dir.join("pids.current"), format!("{current}\n")).unwrap();
    }

    fn seen(root: &Path, membership: &str) -> Vec<(u64, u64)> {
        let limits = pids_limits(root, membership);
        limits.iter().map(|limit| (limit.max, limit.current)).collect()
    }

    #[test]
    fn both_generations_of_control_groups_are_read_up_to_the_top() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        group(root, "", "100", "90");
        group(root, "a/b", "max", "3");
        group(root, "a", "20", "5");
        assert_eq!(seen(root, "0::/a/b\n"), [(20, 5), (100, 90)]);
        // A path that is the host's: the top of what can be seen is the container's own.
        assert_eq!(seen(root, "0::/docker/0123\n"), [(100, 90)]);
        assert_eq!(seen(root, "3:memory:/a\n1:name=systemd:/a\n"), []);
        group(root, "pids/x", "7", "6");
        assert_eq!(seen(root, "4:cpu,pids:/x\n3:memory:/a\n"), [(7, 6)]);
    }

    #[test]
    fn what_is_to_come_has_to_fit_and_some_should_be_left() {
        assert_eq!(judge_pids(100, 20, 40), None);
        assert_eq!(judge_pids(100, 20, 49), Some(Severity::Warning));
        assert_eq!(judge_pids(100, 20, 80), Some(Severity::Warning));
        assert_eq!(judge_pids(100, 20, 81), Some(Severity::Error));
        assert_eq!(judge_pids(100, 100, 0), Some(Severity::Error));
    }
}
