//! Tells strays from the supervisors of a scan directory's s6-svscan, which are its children.

use std::collections::BTreeSet;
use std::io;

use hermes_core::Proc;
use hermes_core::process_lock::Holder;

use crate::tree::Tree;

/// From how many slots on one list of all supervisors costs less than the parent of each.
const MANY: usize = 16;

/// The s6-svscan that holds a scan directory, if any, read once for any number of slots.
#[derive(Debug, Clone)]
pub(crate) struct SvscanView<'a> {
    proc: &'a Proc,
    svscan: Option<Holder>,
    /// Known children of the s6-svscan. For many supervisors, one list is faster than reading each one's
    /// parent.
    children: BTreeSet<u32>,
}

impl<'a> SvscanView<'a> {
    pub(crate) fn new(proc: &'a Proc, svscan: Option<Holder>) -> Self {
        Self { proc, svscan, children: BTreeSet::new() }
    }

    /// Whether `supervisor` is not a child of the s6-svscan. `false` if either is in another pid namespace,
    /// where that can't be known.
    pub(crate) fn is_stray(&self, supervisor: Holder) -> bool {
        let Some(supervisor) = supervisor.pid else { return false };
        match self.svscan {
            None => true,
            Some(Holder { pid: None }) => false,
            Some(_) if self.children.contains(&supervisor) => false,
            // A supervisor that ended in between is not a stray.
            Some(Holder { pid: Some(svscan) }) => {
                self.proc.parent(supervisor).is_ok_and(|parent| parent != svscan)
            }
        }
    }
}

impl Tree {
    /// The view for one slot.
    pub(crate) fn svscan_view(&self) -> io::Result<SvscanView<'_>> {
        Ok(SvscanView::new(&self.proc, self.scandir.svscan()?))
    }

    /// The view for so many slots.
    pub(crate) fn svscan_view_of(&self, slots: usize) -> io::Result<SvscanView<'_>> {
        let svscan_view = self.svscan_view()?;
        let svscan = svscan_view.svscan.filter(|_| slots >= MANY).and_then(|svscan| svscan.pid);
        Ok(SvscanView {
            children: svscan.map_or_else(BTreeSet::new, |pid| self.proc.children(pid)),
            ..svscan_view
        })
    }
}
