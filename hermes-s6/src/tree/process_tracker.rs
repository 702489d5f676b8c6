//! What is left of gateways that were told to stop: an orphan, processes of their groups, processes
//! that left those.
//!
//! s6-supervise starts a service as the leader of a session of its own (`s6-supervise.c`, `setsid`) and
//! signals that one process alone. As long as one of its group lives, the kernel gives the leader's
//! number to no other process, so the group can be told apart from any other after its leader's end.
//! Once the group is empty the number may be given away, to a leader that started at another time. A
//! process that left for a session of its own is known by the environment that its gateway gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Instant;

use hermes_core::DriverError;
use hermes_core::ProfileName;
use hermes_core::home::{ProfileHome, env};
use hermes_core::parallel;
use hermes_core::process_lock::{self, other_holder};
use rustix::process::Signal;

use crate::protocol::events::{self, Poll, Process};
use crate::slot::layout::ServiceDir;
use crate::tree::Tree;
use crate::tree::owner;
use hermes_core::proc::same_directory;

/// The processes that are left of a gateway whose service is down, those included that left its group.
pub fn left_of(tree: &Tree, profile: &ProfileName) -> io::Result<Vec<u32>> {
    let tracker = ProcessTracker::of(tree, std::slice::from_ref(profile));
    if tracker.are_clean() {
        return Ok(Vec::new());
    }
    let left = tracker.find(tree, &tree.proc.ancestry(std::process::id()))?;
    Ok(left.into_iter().map(|(process, _)| process.pid).collect())
}

/// The gateway that the supervisor of `slot` runs. A record without supervisor, or of a former one,
/// names nobody: its number may mean any process by now.
fn supervised(tree: &Tree, slot: &ServiceDir) -> Option<u32> {
    let supervisor = slot.supervisor().ok()??.pid?;
    let gateway = slot.record().ok()?.gateway()?;
    tree.proc.is_child(gateway, supervisor).then_some(gateway)
}

/// By what the processes of some profiles' gateways are known, read while the gateways still run.
#[derive(Debug, Default)]
pub(crate) struct ProcessTracker {
    profiles: Vec<(ProfileName, ProfileHome)>,
    /// The groups' leaders, and when each started.
    groups: BTreeMap<u32, u64>,
}

/// Why a process counts as a gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// It holds the profile's lock.
    Gateway,
    /// It is of the gateway's group.
    Group,
    /// It has the gateway's environment and has left its group.
    Environment,
}

impl ProcessTracker {
    /// The tracker of the gateways of `profiles`. Where another tree runs the home's gateways now, those
    /// that are supervised here alone.
    pub(crate) fn of(tree: &Tree, profiles: &[ProfileName]) -> Self {
        let mut tracker = Self::default();
        let owner = owner::owner(&tree.root).ok().flatten();
        let ours = owner.is_none_or(|owner| owner.runs(tree.scandir.path()));
        for profile in profiles {
            let home = tree.root.profile(profile);
            let supervised = supervised(tree, &tree.scandir.slot(profile));
            let holder = other_holder(&home.gateway_lock(), None).ok().flatten().filter(|_| ours);
            for leader in supervised.into_iter().chain(holder) {
                // One that has just ended leaves a group without it, or none.
                let start = tree.proc.start_time(leader).unwrap_or_default();
                tracker.groups.insert(leader, start);
            }
            if ours {
                tracker.profiles.push((profile.clone(), home));
            }
        }
        tracker
    }

    /// Ends what is left: SIGTERM at once, SIGKILL at `deadline`. Blocks until all of it is gone. For
    /// gateways whose supervised processes are down and stay down.
    pub(crate) fn end(&self, tree: &Tree, deadline: Instant) -> Result<(), DriverError> {
        if self.are_clean() {
            return Ok(());
        }
        let started = Instant::now();
        let timeout =
            deadline.saturating_duration_since(started) + tree.timeouts.stop_beyond_budget;
        let mut told = BTreeSet::new();
        // Nobody ends themselves, nor who waits for them.
        let mut spared = tree.proc.ancestry(std::process::id());
        let mut living = String::new();
        let done = events::until(&mut [], &[], started + timeout, || {
            let left = self.find(tree, &spared)?;
            if left.is_empty() {
                return Ok(Poll::Done(()));
            }
            let kill = Instant::now() >= deadline;
            for (process, tie) in &left {
                let first = told.insert(process.pid);
                if first && *tie == Tie::Environment {
                    let title = tree.proc.title(process.pid);
                    log::warn!("{title} had left its gateway's process group, and is ended");
                }
                let signal = if kill { Signal::KILL } else { Signal::TERM };
                if (first || kill) && process.signal(signal).is_err() {
                    let title = tree.proc.title(process.pid);
                    log::warn!("{title} outlived its gateway and may not be ended by this user");
                    spared.insert(process.pid);
                }
            }
            let titles = left.iter().map(|(process, _)| tree.proc.title(process.pid));
            living = titles.collect::<Vec<_>>().join(", ");
            Ok(Poll::WaitUntil(deadline))
        })?;
        done.ok_or_else(|| {
            let hint =
                "a process that the kernel can't kill waits for a disk or a network file system";
            DriverError::timed_out(timeout, format!("{living} still runs")).with_hint(hint)
        })?;
        // One of the spared may be left.
        if spared.iter().all(|pid| self.tie(tree, *pid, &BTreeSet::new()).is_none()) {
            for (_, home) in &self.profiles {
                // Where that can't be written the next stop looks once more.
                let _ = process_lock::mark_clean(&home.gateway_lock());
            }
        }
        Ok(())
    }

    /// Whether nothing can be left, since no gateway has run since the last look. A gateway takes its lock
    /// before anything else.
    fn are_clean(&self) -> bool {
        let clean = |(_, home): &(_, ProfileHome)| process_lock::is_clean(&home.gateway_lock());
        self.groups.is_empty() && self.profiles.iter().all(clean)
    }

    fn find(&self, tree: &Tree, spared: &BTreeSet<u32>) -> io::Result<Vec<(Process, Tie)>> {
        let holders = self.holders()?;
        let mut found = Vec::new();
        // There may be thousands, of which hardly one is tied to a gateway.
        let ties = parallel::compute(tree.proc.processes()?, |pid| {
            let tie = (!spared.contains(&pid)).then(|| self.tie(tree, pid, &holders));
            Some((pid, tie.flatten()?))
        });
        for (pid, tie) in ties.into_iter().flatten() {
            let Some(process) = Process::open(pid)? else { continue };
            // Only now does the number mean one process for sure.
            let tie = match tie {
                Tie::Gateway => self.tie(tree, pid, &self.holders()?),
                Tie::Group | Tie::Environment => self.tie(tree, pid, &holders),
            };
            // A zombie has nothing left to end.
            if let Some(tie) = tie.filter(|_| !process.has_ended()) {
                found.push((process, tie));
            }
        }
        Ok(found)
    }

    /// Who holds the profiles' locks.
    fn holders(&self) -> io::Result<BTreeSet<u32>> {
        let mut holders = BTreeSet::new();
        for (_, home) in &self.profiles {
            holders.extend(other_holder(&home.gateway_lock(), None)?);
        }
        Ok(holders)
    }

    /// What ties `pid` to one of the gateways; one that can't be read is another user's.
    fn tie(&self, tree: &Tree, pid: u32, holders: &BTreeSet<u32>) -> Option<Tie> {
        if holders.contains(&pid) {
            return Some(Tie::Gateway);
        }
        // Without a leader it is still the same group.
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
