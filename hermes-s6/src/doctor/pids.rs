//! Checks the limits on processes for s6-svscan and its gateways.
//!
//! Sources: proc(5), cgroups(7), the kernel's `cgroup-v2.rst` and `cgroup-v1/pids.rst`.

use std::path::{Path, PathBuf};

use fs_err as fs;
use hermes_core::diagnostics::{Check, Remedy, Severity};

use super::View;

/// The processes of a profile: two supervisors, a logger and the gateway.
const PROCESSES: u64 = 4;
/// How many processes should remain for the children of gateways.
const SPARE_PROCESSES: u64 = 32;

/// One control group with a limit on processes.
#[derive(Debug, PartialEq, Eq)]
struct PidsLimit {
    path: PathBuf,
    max: u64,
    current: u64,
}

pub(super) fn check(view: View<'_>) -> Check {
    check_below(view, Path::new("/"))
}

/// Reads the limits below the root directory `root`.
fn check_below(view: View<'_>, root: &Path) -> Check {
    let mut check = Check::new("pids");
    // The gateways are in the control group of s6-svscan, which may not be this command's.
    let of = view.svscan.pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let membership = match fs::read_to_string(root.join("proc").join(of).join("cgroup")) {
        Ok(membership) => membership,
        Err(error) => return Check::unknown("pids", error.to_string()),
    };
    let statuses = view.services.statuses.values().filter_map(|status| status.as_ref().ok());
    let to_come = statuses.map(|status| {
        let wanted = view.snapshot.is_to_run(&status.profile) && status.pid.is_none();
        let slot = if status.registered { 0 } else { PROCESSES - 1 };
        slot + u64::from(wanted)
    });
    let to_come = to_come.sum();
    let limits = pids_limits(root, &membership);
    let Some(tightest) = limits.iter().min_by_key(|limit| limit.max.saturating_sub(limit.current))
    else {
        return check.with_evidence("no limit on processes (pids.max) can be seen");
    };
    let PidsLimit { path, max, current } = tightest;
    let path = path.display();
    if let Some(severity) = judge_pids(*max, *current, to_come) {
        let problem = format!(
            "`{path}` allows {max} processes; {current} exist, and {to_come} more are expected"
        );
        let profiles = view.snapshot.gateways.len() as u64;
        let enough =
            (current + to_come + 2 * SPARE_PROCESSES).max(max * 2).max(profiles * 2 * PROCESSES);
        let remedy = format!("start the container with `--pids-limit {enough}` or more");
        check.find(severity, problem, Remedy::Do(remedy));
    }
    check
        .with_evidence(format!("{current} of {max} processes in `{path}`, {to_come} more expected"))
}

fn judge_pids(max: u64, current: u64, to_come: u64) -> Option<Severity> {
    let room = max.saturating_sub(current);
    if room == 0 || room < to_come {
        return Some(Severity::Error);
    }
    (room < to_come + SPARE_PROCESSES).then_some(Severity::Warning)
}

/// The limits that hold for a process of this membership, its own group's and those above it, as far as
/// they are visible below `root`.
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
        // A container may see its own group as the top, while its path is that on the host.
        let group = base.join(group.trim_start_matches('/'));
        let at = group.ancestors().find(|at| at.is_dir()).unwrap_or(&base);
        for at in at.ancestors().take_while(|at| at.starts_with(&base)) {
            let number =
                |name: &str| fs::read_to_string(at.join(name)).ok()?.trim().parse::<u64>().ok();
            // `max` does not parse: it is not a limit.
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
        // A path of the host: the visible top is the container's own group.
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
