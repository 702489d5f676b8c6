//! Finds and ends the processes that outlive a gateway which was stopped or has died: orphans, processes of its
//! process group, and processes that left the group.
//!
//! s6-supervise starts a service as the leader of a new session (`s6-supervise.c`, `setsid`) and signals only
//! that process. While any process of the group lives, the kernel does not reuse the leader's number, so the
//! number identifies the group even after the leader has ended. Once the group is empty the number may be
//! reused, by a leader with another start time. A process that left for a session of its own is recognised by
//! the environment variables that its gateway gave it. One that has dropped these, too, is known by the gateway's
//! control group, where there is one ([`ControlGroup`]); else only as a descendant, and only while the gateway lives:
//! so a stop notes the descendants first.

mod left;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hermes_core::ProfileName;
use hermes_core::control_group::{ControlGroup, GatewayGroups};
use hermes_core::driver::{DriverError, startup};
use hermes_core::home::{ProfileHome, env};
use hermes_core::parallel;
use hermes_core::process_lock::{self, Taker, locker};
use hermes_core::waiting::{Goal, Waiting};
use rustix::process::Signal;

use crate::protocol::events::{self, Poll, Process};
use crate::slot::SUPERVISE;
use crate::slot::layout::ServiceDir;
use crate::tree::Tree;
use crate::tree::owner;

pub(crate) use left::{end_left_by_former, left_of_each};

/// How long the processes that a dead gateway left may take to end before they are killed.
const GRACE_AFTER_DEATH: Duration = Duration::from_secs(5);
/// The program whose descendants belong to a tree of their own: an agent may run `hermes up`.
const SVSCAN: &str = "s6-svscan";

/// Ends what the gateway of `profile` left behind when it died, and blocks until that has ended. For the service's
/// `finish`. `group` is its process group, if s6-supervise has passed it on. Commands on the profile and their
/// ancestors are spared: a gateway may restart itself.
pub fn end_left_by_dead(
    tree: &Tree,
    profile: &ProfileName,
    group: Option<u32>,
) -> Result<(), DriverError> {
    let slot = ServiceDir::new(".");
    let grace = slot.stop_timeout().kill_after().min(GRACE_AFTER_DEATH);
    ProcessTracker::of_dead(tree, profile, group).end(tree, Instant::now() + grace)
}

/// Ends what a gateway of `profile` left behind that died while its supervisor was dead, and blocks until that has
/// ended. For the next gateway, which is this process and holds the profile's lock. `dead` is the process that had the
/// lock before, if that is known. Commands are spared as in [`end_left_by_dead`].
pub fn end_left_by_orphan(
    tree: &Tree,
    profile: &ProfileName,
    dead: Option<&Taker>,
) -> Result<(), DriverError> {
    let grace = tree.scandir.slot(profile).stop_timeout().kill_after().min(GRACE_AFTER_DEATH);
    let tracker = ProcessTracker::of_orphan(tree, profile, dead)?;
    tracker.end(tree, Instant::now() + grace)
}

/// The gateway that the supervisor of `slot` runs. A record without a supervisor, or of a former one, is
/// ignored: its process id may have been reused.
fn supervised(tree: &Tree, slot: &ServiceDir) -> Option<u32> {
    let supervisor = slot.supervisor().ok()??.pid?;
    let gateway = slot.record().ok()?.gateway()?;
    tree.proc.is_child(gateway, supervisor).then_some(gateway)
}

/// Identifies the processes of some profiles' gateways. Created while the gateways still run, or by
/// [`of_dead`](Self::of_dead).
#[derive(Debug, Default)]
pub(crate) struct ProcessTracker {
    profiles: Vec<(ProfileName, ProfileHome)>,
    /// The leaders of the process groups, and their start times.
    groups: BTreeMap<u32, u64>,
    /// The descendants of the leaders, and their start times.
    descendants: BTreeMap<u32, u64>,
    /// The control groups of the gateways, as far as they can have any.
    control_groups: Vec<ControlGroup>,
    /// The lock of the profile whose commands are spared.
    spared_commands: Option<PathBuf>,
    /// When the gateway started that has died: it left only orphans that are no older. `None` if unknown.
    died_since: Option<u64>,
}

/// Processes that are known by their numbers, at one moment.
#[derive(Debug, Default)]
struct Known {
    /// The holders of the profiles' locks.
    holders: BTreeSet<u32>,
    /// The members of the control groups, without those of a nested tree.
    members: BTreeSet<u32>,
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
    /// It is in the gateway's control group, and has left both group and environment.
    ControlGroup,
    /// It was a descendant of the gateway, and has left both group and environment.
    Descent,
}

impl Tie {
    fn has_left_group(self) -> bool {
        matches!(self, Self::Environment | Self::ControlGroup | Self::Descent)
    }
}

impl ProcessTracker {
    /// The tracker of the gateways of `profiles`. If another tree is the home's owner, only the gateways that
    /// this tree supervises count.
    pub(crate) fn of(tree: &Tree, profiles: &[ProfileName]) -> Self {
        let mut tracker = Self::default();
        let owner = owner::owner(&tree.root).ok().flatten();
        let ours = owner.is_none_or(|owner| owner.runs(tree));
        let groups = GatewayGroups::of(&tree.proc, &tree.root);
        for profile in profiles {
            let home = tree.root.profile(profile);
            let supervised = supervised(tree, &tree.scandir.slot(profile));
            let holder = locker(&home.gateway_lock()).ok().flatten();
            let holder = holder.and_then(|holder| holder.pid).filter(|_| ours);
            let svscan = || tree.svscan().ok()??.pid;
            if ours && let Some(of_tree) = supervised.or(holder).or_else(svscan) {
                let group = groups.as_ref().and_then(|it| it.group(&tree.proc, of_tree, profile));
                tracker.control_groups.extend(group);
            }
            for leader in supervised.into_iter().chain(holder) {
                // A leader that has just ended has no start time, but its group may remain.
                let start = tree.proc.start_time(leader).unwrap_or_default();
                tracker.groups.insert(leader, start);
            }
            if ours {
                tracker.profiles.push((profile.clone(), home));
            }
        }
        let leaders: Vec<_> = tracker.groups.keys().copied().collect();
        tracker.descendants = descendants(tree, leaders);
        tracker
    }

    /// Without the gateway of `profile`, whose service is not down.
    pub(crate) fn spare(&mut self, tree: &Tree, profile: &ProfileName) {
        let spared = Self::of(tree, std::slice::from_ref(profile));
        self.profiles.retain(|(name, _)| name != profile);
        self.groups.retain(|leader, _| !spared.groups.contains_key(leader));
        self.descendants.retain(|pid, _| !spared.descendants.contains_key(pid));
        self.control_groups.retain(|group| !spared.control_groups.contains(group));
    }

    /// The tracker of a gateway that has died under the supervisor that is the parent of this process. If another
    /// process has the profile's lock, the dead one never was the gateway, and only its group counts.
    fn of_dead(tree: &Tree, profile: &ProfileName, group: Option<u32>) -> Self {
        let home = tree.root.profile(profile);
        let lock = home.gateway_lock();
        let spared_commands = Some(tree.root.profile_lock(profile));
        let mut tracker = Self { spared_commands, ..Self::default() };
        if process_lock::is_clean(&lock) {
            // It ended before it took its lock, and had started nothing by then.
            return tracker;
        }
        let owner = owner::owner(&tree.root).ok().flatten();
        let is_the_one = matches!(process_lock::holder(&lock), Ok(None));
        let recorded = || {
            // A record may be left from another supervisor's time.
            let supervisor = tree.proc.start_time(parent_id()).ok()?;
            Some(Taker::recorded_at(&lock)?).filter(|taker| taker.started_since(supervisor))
        };
        let dead = is_the_one.then(recorded).flatten();
        // Before s6 2.12 `finish` does not get the group.
        let group = group.or_else(|| dead.as_ref().map(|dead| dead.pid));
        let dead = dead.filter(|dead| group == Some(dead.pid));
        tracker.died_since = dead.map(|dead| dead.start);
        // The leader has ended: a process with its number is another one.
        tracker.groups.extend(group.map(|group| (group, 0)));
        if is_the_one && owner.is_none_or(|owner| owner.runs(tree)) {
            tracker.profiles.push((profile.clone(), home));
            let group = ControlGroup::of_gateway(&tree.proc, parent_id(), &tree.root, profile);
            tracker.control_groups.extend(group);
        }
        tracker
    }

    /// The tracker of a gateway that has died without a supervisor, and whose place this process has taken. The number of
    /// its process group may have been used again since: it counts if a process of the group has its environment.
    fn of_orphan(tree: &Tree, profile: &ProfileName, dead: Option<&Taker>) -> io::Result<Self> {
        let mut tracker = Self::default();
        let owner = owner::owner(&tree.root).ok().flatten();
        if owner.is_some_and(|owner| !owner.runs(tree)) {
            return Ok(tracker);
        }
        tracker.spared_commands = Some(tree.root.profile_lock(profile));
        tracker.profiles.push((profile.clone(), tree.root.profile(profile)));
        let group = ControlGroup::of_gateway(&tree.proc, parent_id(), &tree.root, profile);
        tracker.control_groups.extend(group);
        let Some(dead) = dead.filter(|dead| dead.started_since(0)) else { return Ok(tracker) };
        let is_of_dead = |pid: u32| {
            tree.proc.group(pid).is_ok_and(|group| group == dead.pid)
                && tracker.has_environment(tree, pid) == Some(true)
        };
        if tree.proc.processes()?.into_iter().any(is_of_dead) {
            // The leader has ended: a process with its number is another one.
            tracker.groups.insert(dead.pid, 0);
        }
        Ok(tracker)
    }

    /// Ends the remaining processes: SIGTERM at once, SIGKILL at `deadline`. Blocks until they have ended.
    /// The gateways' services must be down and stay down.
    pub(crate) fn end(mut self, tree: &Tree, deadline: Instant) -> Result<(), DriverError> {
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
        let waiting = Waiting::begin(Goal::Leftovers, started + timeout);
        let done = events::until(&mut [], &[], started + timeout, || {
            let mut left = self.find(tree, &spared)?;
            if let Some(lock) = &self.spared_commands {
                let commands =
                    left.iter().filter(|(process, _)| tree.proc.has_open(process.pid, lock));
                spared.extend(commands.flat_map(|(process, _)| tree.proc.ancestry(process.pid)));
                left.retain(|(process, _)| !spared.contains(&process.pid));
            }
            if left.is_empty() {
                return Ok(Poll::Done(()));
            }
            // Their children, too, are known by descent only while they live.
            let parents = left.iter().map(|(process, _)| process.pid).collect();
            self.descendants.extend(descendants(tree, parents));
            let kill = Instant::now() >= deadline;
            if kill {
                self.kill_groups(&left);
            }
            for (process, tie) in &left {
                let first = signalled.insert(process.pid);
                if first && tie.has_left_group() {
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
            waiting.saw(|| living.clone());
            Ok(Poll::WaitUntil(deadline))
        })?;
        done.ok_or_else(|| startup::not_ended(timeout, format!("{living} still runs")))?;
        // A spared process may belong to a gateway.
        let known = self.known(tree);
        if spared.iter().all(|pid| self.tie(tree, *pid, &known).is_none()) {
            for group in &self.control_groups {
                // A tree may run in it that a gateway has started.
                let _ = group.remove();
            }
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

    /// Kills all processes of the control groups at once, so that none can start another, unless one is in there that
    /// is not to end.
    fn kill_groups(&self, left: &[(Process, Tie)]) {
        for group in &self.control_groups {
            let is_left = |pid: &u32| left.iter().any(|(process, _)| process.pid == *pid);
            if group.members().iter().all(is_left) {
                // Before Linux 5.14 there is no such file, and the signals have to do.
                let _ = group.kill();
            }
        }
    }

    fn find(&self, tree: &Tree, spared: &BTreeSet<u32>) -> io::Result<Vec<(Process, Tie)>> {
        let known = self.known(tree);
        let mut found = Vec::new();
        let ties = parallel::compute(self.candidates(tree, &known)?, |pid| {
            let tie = (!spared.contains(&pid)).then(|| self.tie(tree, pid, &known));
            Some((pid, tie.flatten()?))
        });
        for (pid, tie) in ties.into_iter().flatten() {
            let Some(process) = Process::open(pid)? else { continue };
            // Now that the process is open, its number can't be reused.
            let tie = match tie {
                Tie::Gateway | Tie::ControlGroup => self.tie(tree, pid, &self.known(tree)),
                Tie::Group | Tie::Environment | Tie::Descent => self.tie(tree, pid, &known),
            };
            // A zombie has ended already.
            if let Some(tie) = tie.filter(|_| !process.has_ended()) {
                found.push((process, tie));
            }
        }
        Ok(found)
    }

    /// The processes that may belong to one of the gateways.
    fn candidates(&self, tree: &Tree, known: &Known) -> io::Result<Vec<u32>> {
        // s6's supervisors adopt nobody, unless they are process 1.
        let adopts = |pid| ![SVSCAN, SUPERVISE].iter().any(|name| tree.proc.runs(pid, name));
        let orphans = self.died_since.and_then(|since| tree.proc.orphans(since, adopts));
        let Some(mut candidates) = orphans else { return tree.proc.processes() };
        candidates
            .extend(known.holders.iter().chain(&known.members).chain(self.descendants.keys()));
        Ok(candidates.into_iter().collect())
    }

    /// The processes that are known now without a look at each. A lock that can't be read says nothing; a gateway has its
    /// group and its environment, too.
    fn known(&self, tree: &Tree) -> Known {
        let locks = self.profiles.iter().map(|(_, home)| home.gateway_lock());
        let holders = locks.filter_map(|lock| locker(&lock).ok()??.pid).collect();
        let mut members: BTreeSet<_> =
            self.control_groups.iter().flat_map(ControlGroup::members).collect();
        let nested: BTreeSet<_> =
            members.iter().copied().filter(|pid| tree.proc.runs(*pid, SVSCAN)).collect();
        if !nested.is_empty() {
            members.retain(|pid| tree.proc.ancestry(*pid).is_disjoint(&nested));
        }
        Known { holders, members }
    }

    /// Why `pid` belongs to a gateway; `None` if it does not, or can't be read (another user's).
    fn tie(&self, tree: &Tree, pid: u32, known: &Known) -> Option<Tie> {
        if known.holders.contains(&pid) {
            return Some(Tie::Gateway);
        }
        let (group, start) = tree.proc.group_and_start(pid).ok()?;
        // The group of an ended leader is still the same group.
        if let Some(started) = self.groups.get(&group)
            && tree.proc.start_time(group).map_or(true, |now| now == *started)
        {
            return Some(Tie::Group);
        }
        // Most processes are older than a gateway that has just died.
        if self.died_since.is_none_or(|since| start >= since)
            && self.has_environment(tree, pid).unwrap_or(false)
        {
            return Some(Tie::Environment);
        }
        if known.members.contains(&pid) {
            return Some(Tie::ControlGroup);
        }
        (self.descendants.get(&pid) == Some(&start)).then_some(Tie::Descent)
    }

    /// Whether `pid` has the environment of one of the gateways; `None` if it can't be read.
    fn has_environment(&self, tree: &Tree, pid: u32) -> Option<bool> {
        let [child, name, home] = [env::SUPERVISED_CHILD, env::PROFILE, env::HOME];
        let [child, name, home] = tree.proc.variables(pid, [child, name, home]).ok()?;
        let (Some(_), Some(name), Some(home)) = (child, name, home) else { return Some(false) };
        let ours = |(profile, of): &(ProfileName, ProfileHome)| {
            name.as_os_str() == profile.as_str() && tree.proc.sees(pid, Path::new(&home), of.path())
        };
        Some(self.profiles.iter().any(ours))
    }
}

/// The descendants of `leaders`, with their start times, without those that belong to a nested tree.
fn descendants(tree: &Tree, leaders: Vec<u32>) -> BTreeMap<u32, u64> {
    tree.proc.descendants(leaders, |pid| tree.proc.runs(pid, SVSCAN))
}
