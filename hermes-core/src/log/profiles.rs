//! Which of the profiles whose logs are followed still exist.

use std::collections::VecDeque;

use super::watch::Watch;
use crate::manager::{During, ManagerError};
use crate::name::ProfileName;
use crate::store::{Store, StoreError};

/// The profiles whose logs are followed.
#[derive(Debug)]
pub struct Profiles {
    store: Store,
    /// Each with whether it has been deleted or renamed.
    names: Vec<(ProfileName, bool)>,
    /// While all logs are read to the end once: the profiles that were gone before that.
    ending: Option<VecDeque<usize>>,
}

impl Profiles {
    /// These profiles of `store`.
    pub fn new(store: Store, names: &[ProfileName]) -> Self {
        let names = names.iter().map(|name| (name.clone(), false)).collect();
        Self { store, names, ending: None }
    }

    /// Looks which profiles were deleted or renamed, unless the logs of those that the last look found have not all ended
    /// yet. `watch` reports when there may be others. Does not block.
    ///
    /// A gateway writes its last lines before its profile goes: a log is to be read once more after
    /// this call, and ends then.
    pub fn look(&mut self, watch: &mut Watch) -> Result<(), ManagerError> {
        if self.ending.is_none() {
            self.ending = Some(self.gone(watch)?);
        }
        Ok(())
    }

    /// The place of the first profile whose log is to end now that all logs have been read; `None` if there is no other
    /// before the next look.
    pub fn first_ending(&mut self) -> Option<usize> {
        let first = self.ending.as_ref().and_then(|ending| ending.front().copied());
        if first.is_none() {
            self.ending = None;
        }
        first
    }

    /// Likewise, for a log that ends with this call.
    pub fn next_ended(&mut self) -> Option<usize> {
        self.first_ending()?;
        self.ending.as_mut()?.pop_front()
    }

    /// The places of the profiles that were deleted or renamed since the last call.
    fn gone(&mut self, watch: &mut Watch) -> Result<VecDeque<usize>, ManagerError> {
        let watched = watch.names(&self.store.root().profiles()).and_then(|_| watch.take_in());
        watched.during("watch the profiles")?;
        let mut gone = VecDeque::new();
        let left = self.names.iter_mut().enumerate().filter(|(_, (_, gone))| !gone);
        for (place, (name, is_gone)) in left {
            // A profile whose home can't be read still exists.
            *is_gone = matches!(
                self.store.get(name),
                Err(StoreError::Absent { .. } | StoreError::Displaced { .. })
            );
            gone.extend(is_gone.then_some(place));
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Intent, RootHome};

    #[test]
    fn a_deleted_profile_is_reported_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(RootHome::new(dir.path().join("home")));
        let names = ["a", "b"].map(|name| name.parse().unwrap());
        names.iter().for_each(|name| drop(store.create(name, None, Intent::Stopped).unwrap()));
        let mut profiles = Profiles::new(store.clone(), &names);
        let mut watch = Watch::new();
        assert_eq!(profiles.gone(&mut watch).unwrap(), [0; 0]);
        store.delete(&names[1], false).unwrap();
        let fd = watch.fd().unwrap();
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec::default();
        assert_eq!(rustix::event::poll(&mut fds, Some(&now)).unwrap(), 1);
        assert_eq!(profiles.gone(&mut watch).unwrap(), [1]);
        assert_eq!(profiles.gone(&mut watch).unwrap(), [0; 0]);
    }
}
