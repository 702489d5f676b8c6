//! Which supervisors the s6-svscan of a scan directory looks after: its children, and no others.

use std::collections::BTreeSet;
use std::io;

use hermes_core::Proc;
use hermes_core::process_lock::Holder;

use crate::tree::Tree;

/// The s6-svscan that holds a scan directory, if one does, looked at once for any number of slots.
#[derive(Debug, Clone)]
pub(crate) struct SvscanView<'a> {
    proc: &'a Proc,
    svscan: Option<Holder>,
    /// Of many supervisors, those that need not be asked for their parents: the kernel takes its time
    /// over each.
    children: BTreeSet<u32>,
}

impl<'a> SvscanView<'a> {
    pub(crate) fn new(proc: &'a Proc, svscan: Option<Holder>) -> Self {
        Self { proc, svscan, children: BTreeSet::new() }
    }

    /// Whether `supervisor` is no child of that s6-svscan. What lives in another pid namespace can't be
    /// told, and counts as none.
    pub(crate) fn is_stray(&self, supervisor: Holder) -> bool {
        let Some(supervisor) = supervisor.pid else { return false };
        match self.svscan {
            None => true,
            Some(Holder { pid: None }) => false,
            Some(_) if self.children.contains(&supervisor) => false,
            // One that ended in between is gone, not stray.
            Some(Holder { pid: Some(svscan) }) => {
                self.proc.parent(supervisor).is_ok_and(|parent| parent != svscan)
            }
        }
    }
}

impl Tree {
    /// Who looks after a slot.
    pub(crate) fn svscan_view(&self) -> io::Result<SvscanView<'_>> {
        Ok(SvscanView::new(&self.proc, self.scandir.svscan()?))
    }

    /// Who looks after many slots.
    pub(crate) fn svscan_view_of_many(&self) -> io::Result<SvscanView<'_>> {
        let svscan_view = self.svscan_view()?;
        let svscan = svscan_view.svscan.and_then(|svscan| svscan.pid);
        Ok(SvscanView {
            children: svscan.map_or_else(BTreeSet::new, |pid| self.proc.children(pid)),
            ..svscan_view
        })
    }
}
