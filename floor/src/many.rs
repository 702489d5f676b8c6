//! Starts, stops and restarts all gateways of a scan directory at the same time.

use rustix::io::Errno;

use crate::files;
use crate::record::{Goal, has_reached};
use crate::slot;
use crate::watch::Watch;

/// A command to s6-supervise, and the state that follows.
pub(crate) type Step = (&'static [u8], Goal);

pub(crate) const START: &[Step] = &[(b"U", Goal::Ready)];
pub(crate) const STOP: &[Step] = &[(b"D", Goal::Down)];
pub(crate) const RESTART: &[Step] = &[STOP[0], START[0]];

/// Takes `steps` with each gateway, without waiting for the others, and returns when all have taken the last one.
pub(crate) fn change(scandir: &str, steps: &[Step]) -> Result<(), Errno> {
    let slots = slot::all(scandir)?;
    let watch = Watch::new()?;
    slots.iter().try_for_each(|slot| watch.add(slot))?;
    let mut at = vec![0; slots.len()];
    let mut on_their_way = 0;
    for (slot, at) in slots.iter().zip(&mut at) {
        on_their_way += usize::from(!proceed(slot, steps, at)?);
    }
    watch.until(on_their_way, |number| {
        let (slot, at) = (&slots[number], &mut at[number]);
        match steps.get(*at) {
            Some((_, goal)) if has_reached(slot, *goal)? => {
                *at += 1;
                proceed(slot, steps, at)
            }
            _ => Ok(false),
        }
    })
}

/// Sends the command of the step `at`, or of the first one after it whose state is not there yet; whether all are taken.
fn proceed(slot: &str, steps: &[Step], at: &mut usize) -> Result<bool, Errno> {
    while let Some((command, goal)) = steps.get(*at) {
        if !has_reached(slot, *goal)? {
            files::send(&[slot, "/supervise/control"].concat(), command)?;
            return Ok(false);
        }
        *at += 1;
    }
    Ok(true)
}

/// Creates a slot for each of `names`, with one scan for all, and returns when each gateway is ready.
pub(crate) fn boot(scandir: &str, scripts: &str, names: &[&str]) -> Result<(), Errno> {
    let watch = Watch::new()?;
    let slots = slot::publish(scandir, scripts, names, false, |staged| watch.add(staged))?;
    let mut ready = vec![false; slots.len()];
    watch.until(slots.len(), |number| {
        let is_new = !ready[number] && has_reached(&slots[number], Goal::Ready)?;
        ready[number] |= is_new;
        Ok(is_new)
    })
}
