//! Finds and ends the processes that outlive a stopped gateway: orphans, processes of its process group, and
//! processes that left the group.
//!
//! s6-supervise starts a service as the leader of a new session (`s6-supervise.c`, `setsid`) and signals only
//! that process. While any process of the group lives, the kernel does not reuse the leader's number, so the
//! number identifies the group even after the leader has ended. Once the group is empty the number may be
//! reused, by a leader with another start time. A process that left for a session of its own is recognised by
//! the environment variables that its gateway gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Instant;

use hermes_core::ProfileName;
use hermes_core::driver::{DriverError, startup};
use hermes_core::home::{ProfileHome, env};
use hermes_core::parallel;
use hermes_core::process_lock::{self, other_holder};
use rustix::process::Signal;

use crate::protocol::events::{self, Poll, Process};
use crate::slot::layout::ServiceDir;
use crate::tree::Tree;
use crate::tree::owner;
use hermes_core::proc::same_directory;

/// The processes that outlive the gateway of `profile`, whose service is down, including those that left its
/// group. Does not wait.
pub fn left_of(tree: &Tree, profile: &ProfileName) -> io::Result<Vec<u32>> {
    let tracker = ProcessTracker::of(tree, std::slice::from_ref(profile));
    if tracker.are_clean() {
        return Ok(Vec::new());
    }
    let left = tracker.find(tree, &tree.proc.ancestry(std::process::id()))?;
    Ok(left.into_iter().map(|(process, _)| process.pid).collect())
}

/// The gateway that the supervisor of `slot` runs. A record without a supervisor, or of a former one, is
/// ignored: its process id may have been reused.
fn supervised(tree: &Tree, slot: &ServiceDir) -> Option<u32> {
    let supervisor = slot.supervisor().ok()??.pid?;
    let gateway = slot.record().ok()?.gateway()?;
    tree.proc.is_child(gateway, supervisor).then_some(gateway)
}

/// Identifies the processes of some profiles' gateways. Created while the gateways still run.
#[derive(Debug, Default)]
pub(crate) struct ProcessTracker {
    profiles: Vec<(ProfileName, ProfileHome)>,
    /// The leaders of the process groups, and their start times.
    groups: BTreeMap<u32, u64>,
}

/// Why a process belongs to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// It holds the profile's lock.
    Gateway,
    /// It is in the gateway's process group.
    Group,
    /// It has the gateway's environment variables, but has left its group.
    Environment,
}

impl ProcessTracker {
    /// The tracker of the gateways of `profiles`. If another tree is the home's owner, only the gateways that
    /// this tree supervises count.
    pub(crate) fn of(tree: &Tree, profiles: &[ProfileName]) -> Self {
        let mut tracker = Self::default();
        let owner = owner::owner(&tree.root).ok().flatten();
        let ours = owner.is_none_or(|owner| owner.runs(tree.scandir.path()));
        for profile in profiles {
            let home = tree.root.profile(profile);
            let supervised = supervised(tree, &tree.scandir.slot(profile));
            let holder = other_holder(&home.gateway_lock(), None).ok().flatten().filter(|_| ours);
            for leader in supervised.into_iter().chain(holder) {
                // A leader that has just ended has no start time, but its group may remain.
                let start = tree.proc.start_time(leader).unwrap_or_default();
                tracker.groups.insert(leader, start);
            }
            if ours {
                tracker.profiles.push((profile.clone(), home));
            }
        }
        tracker
    }

    /// Ends the remaining processes: SIGTERM at once, SIGKILL at `deadline`. Blocks until they have ended.
    /// The gateways' services must be down and stay down.
    pub(crate) fn end(&self, tree: &Tree, deadline: Instant) -> Result<(), DriverError> {
        if self.are_clean() {
            return Ok(());
        }
        let started = Instant::now();
        let timeout =
            deadline.saturating_duration_since(started) + tree.timeouts.stop_beyond_budget;
        let mut signalled = BTreeSet::new();
        // This process and its ancestors are not ended.
        let mut spared = tree.proc.ancestry(std::process::id());
        let mut living = String::new();
        let done = events::until(&mut [], &[], started + timeout, || {
            let left = self.find(tree, &spared)?;
            if left.is_empty() {
                return Ok(Poll::Done(()));
            }
            let kill = Instant::now() >= deadline;
            for (process, tie) in &left {
                let first = signalled.insert(process.pid);
                if first && *tie == Tie::Environment {
                    let title = tree.proc.title(process.pid);
                    log::warn!("{title} had left its gateway's process group; ending it");
                }
                let signal = if kill { Signal::KILL } else { Signal::TERM };
                if (first || kill) && process.signal(signal).is_err() {
                    let title = tree.proc.title(process.pid);
                    log::warn!("{title} outlived its gateway; this user may not end it");
                    spared.insert(process.pid);
                }
            }
            let titles = left.iter().map(|(process, _)| tree.proc.title(process.pid));
            living = titles.collect::<Vec<_>>().join(", ");
            Ok(Poll::WaitUntil(deadline))
        })?;
        done.ok_or_else(|| startup::not_ended(timeout, format!("{living} still runs")))?;
        // A spared process may belong to a gateway.
        if spared.iter().all(|pid| self.tie(tree, *pid, &BTreeSet::new()).is_none()) {
            for (_, home) in &self.profiles {
                // Without this mark the next stop only searches again.
                let _ = process_lock::mark_clean(&home.gateway_lock());
            }
        }
        Ok(())
    }

    /// Whether no gateway has run since the last search, so that no process can be left. A gateway takes its
    /// lock before anything else, which removes the mark.
    fn are_clean(&self) -> bool {
        let clean = |(_, home): &(_, ProfileHome)| process_lock::is_clean(&home.gateway_lock());
        self.groups.is_empty() && self.profiles.iter().all(clean)
    }

    fn find(&self, tree: &Tree, spared: &BTreeSet<u32>) -> io::Result<Vec<(Process, Tie)>> {
        let holders = self.holders()?;
        let mut found = Vec::new();
        // There may be thousands of processes, few of which belong to a gateway.
        let ties = parallel::compute(tree.proc.processes()?, |pid| {
            let tie = (!spared.contains(&pid)).then(|| self.tie(tree, pid, &holders));
            Some((pid, tie.flatten()?))
        });
        for (pid, tie) in ties.into_iter().flatten() {
            let Some(process) = Process::open(pid)? else { continue };
            // Now that the process is open, its number can't be reused.
            let tie = match tie {
                Tie::Gateway => self.tie(tree, pid, &self.holders()?),
                Tie::Group | Tie::Environment => self.tie(tree, pid, &holders),
            };
            // A zombie has ended already.
            if let Some(tie) = tie.filter(|_| !process.has_ended()) {
                found.push((process, tie));
            }
        }
        Ok(found)
    }

    /// The processes that hold the profiles' locks.
    fn holders(&self) -> io::Result<BTreeSet<u32>> {
        let mut holders = BTreeSet::new();
        for (_, home) in &self.profiles {
            holders.extend(other_holder(&home.gateway_lock(), None)?);
        }
        Ok(holders)
    }

    /// Why `pid` belongs to one of the gateways; `None` if it does not, or can't be read (another user's).
    fn tie(&self, tree: &Tree, pid: u32, holders: &BTreeSet<u32>) -> Option<Tie> {
        if holders.contains(&pid) {
            return Some(Tie::Gateway);
        }
        // The group of an ended leader is still the same group.
        if !self.groups.is_empty()
            && let group = tree.proc.group(pid).ok()?
            && let Some(started) = self.groups.get(&group)
            && tree.proc.start_time(group).map_or(true, |now| now == *started)
        {
            return Some(Tie::Group);
        }
        let [child, name, home] = [env::SUPERVISED_CHILD, env::PROFILE, env::HOME];
        let [child, name, home] = tree.proc.variables(pid, [child, name, home]).ok()?;
        child?;
        let (name, home) = (name?, home?);
        let ours = |(profile, of): &(ProfileName, ProfileHome)| {
            name.as_os_str() == profile.as_str() && same_directory(Path::new(&home), of.path())
        };
        self.profiles.iter().any(ours).then_some(Tie::Environment)
    }
}
