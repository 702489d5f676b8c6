//! The descendants of processes.

use std::collections::BTreeMap;

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
