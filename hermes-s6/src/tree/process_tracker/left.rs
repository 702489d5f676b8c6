//! The processes that outlive gateways which are down: for the checks of `doctor`, and before services are made again.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use hermes_core::ProfileName;
use hermes_core::driver::DriverError;
use hermes_core::home::env;
use hermes_core::process_lock;

use super::{GRACE_AFTER_DEATH, Known, ProcessTracker};
use crate::tree::Tree;

/// Ends what former gateways of `profiles` left that died with their supervisors, or without one, and blocks until that
/// has ended. To be called before they get services again: with one look at the machine's processes for all, where each
/// gateway would take one at its start. Takes none if none can have left anything. Profiles whose gateway runs are left
/// alone. The caller holds the profiles' locks.
pub(crate) fn end_left_by_former<'a>(
    tree: &Tree,
    profiles: impl Iterator<Item = &'a ProfileName>,
) -> Result<(), DriverError> {
    let may_have_left = |profile: &&ProfileName| {
        let lock = tree.root.profile(profile).gateway_lock();
        !process_lock::is_clean(&lock) && matches!(process_lock::holder(&lock), Ok(None))
    };
    let profiles: Vec<_> = profiles.filter(may_have_left).cloned().collect();
    if profiles.is_empty() {
        return Ok(());
    }
    ProcessTracker::of(tree, &profiles).end(tree, Instant::now() + GRACE_AFTER_DEATH)
}

/// The processes that outlive the gateways of `profiles`, whose services are down, including those that left their group.
/// Looks at the machine's processes once for all. Does not wait.
pub(crate) fn left_of_each<'a>(
    tree: &Tree,
    profiles: &[&'a ProfileName],
) -> io::Result<BTreeMap<&'a ProfileName, Vec<u32>>> {
    let lock = |profile: &ProfileName| tree.root.profile(profile).gateway_lock();
    let unclean = profiles.iter().copied().filter(|it| !process_lock::is_clean(&lock(it)));
    let unclean: Vec<_> = unclean.collect();
    let mut left = BTreeMap::<_, Vec<_>>::new();
    if unclean.is_empty() {
        return Ok(left);
    }
    let all: Vec<_> = unclean.iter().copied().cloned().collect();
    let found =
        ProcessTracker::of(tree, &all).find(tree, &tree.proc.ancestry(std::process::id()))?;
    if found.is_empty() {
        return Ok(left);
    }
    let of_each = unclean.iter().map(|profile| {
        let tracker = ProcessTracker::of(tree, std::slice::from_ref(*profile));
        (profile.as_str(), (*profile, tracker.known(tree), tracker))
    });
    let of_each: BTreeMap<_, _> = of_each.collect();
    for pid in found.into_iter().map(|(process, _)| process.pid) {
        // Most have the environment of their gateway, which spares a look with each tracker.
        let named = tree.proc.variable(pid, env::PROFILE).ok().flatten();
        let named = named.and_then(|name| of_each.get(name.to_str()?));
        let is_its = |(_, known, tracker): &&(_, Known, ProcessTracker)| {
            tracker.tie(tree, pid, known).is_some()
        };
        if let Some((profile, ..)) = named.into_iter().chain(of_each.values()).find(is_its) {
            left.entry(*profile).or_default().push(pid);
        }
    }
    Ok(left)
}
