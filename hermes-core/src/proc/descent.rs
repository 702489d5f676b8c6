//! The descendants of processes, and those that have lost their parent.

use std::collections::{BTreeMap, BTreeSet};

use super::Proc;

impl Proc {
    /// The descendants of `ancestors`, with their start times. Those for which `is_apart` holds do not count, nor do
    /// theirs. May miss processes that start or end meanwhile.
    pub fn descendants(
        &self,
        ancestors: Vec<u32>,
        is_apart: impl Fn(u32) -> bool,
    ) -> BTreeMap<u32, u64> {
        let mut found = BTreeMap::new();
        let mut parents = ancestors;
        // Listed once, where the kernel does not list a process's children.
        let mut listed: Option<BTreeMap<u32, Vec<u32>>> = None;
        while let Some(parent) = parents.pop() {
            let children = self.children_of_all_threads(parent).unwrap_or_else(|| {
                let all = listed.get_or_insert_with(|| self.children_of_all());
                all.get(&parent).cloned().unwrap_or_default()
            });
            for child in children {
                let Ok(start) = self.start_time(child) else { continue };
                if !is_apart(child) && found.insert(child, start).is_none() {
                    parents.push(child);
                }
            }
        }
        found
    }

    /// The processes that started at `since` or later and whose parent may have ended, and their descendants. The kernel
    /// gives an orphan to an ancestor (`find_new_reaper` in `kernel/exit.c`): to process 1, or to one that asked for it,
    /// which `adopts` may rule out. Ancestors are those of this process, which the dead parent must share. `None` if
    /// this user may not see them, or the kernel does not list children.
    pub fn orphans(&self, since: u64, adopts: impl Fn(u32) -> bool) -> Option<BTreeSet<u32>> {
        let init = 1;
        let mut reapers = BTreeSet::from([init]);
        let mut next = std::process::id();
        while next != 0 && next != init {
            next = self.parent(next).ok()?;
            if next != 0 && adopts(next) {
                reapers.insert(next);
            }
        }
        self.start_time(init).ok()?;
        let mut found = BTreeSet::new();
        loop {
            let mut young = Vec::new();
            for reaper in &reapers {
                let children = self.children_of_all_threads(*reaper)?.into_iter();
                young.extend(
                    children.filter(|child| {
                        self.start_time(*child).is_ok_and(|started| started >= since)
                    }),
                );
            }
            let before = found.len();
            found.extend(self.descendants(young.clone(), |_| false).into_keys());
            found.extend(young);
            // A parent among them may have ended before its children were listed.
            if found.len() == before {
                return Some(found);
            }
        }
    }

    /// The children of every process.
    fn children_of_all(&self) -> BTreeMap<u32, Vec<u32>> {
        let mut children = BTreeMap::<_, Vec<_>>::new();
        for pid in self.processes().unwrap_or_default() {
            if let Ok(parent) = self.parent(pid) {
                children.entry(parent).or_default().push(pid);
            }
        }
        children
    }
}
