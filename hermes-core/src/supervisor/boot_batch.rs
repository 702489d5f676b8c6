//! The steps of a boot that are taken for many gateways at the same time: stops, removals, and new services.
//!
//! Each action is executed by itself afterwards. It then finds its step done, or takes it alone and reports why it fails: so
//! nothing here reports an error.

use std::time::Duration;

use super::Supervisor;
use super::batch::{AT_ONCE, AT_ONCE_WITH_PORT, at_once};
use crate::driver::CreateOptions;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::lock::Lock;
use crate::name::ProfileName;
use crate::process_lock::holder;
use crate::reconcile::{Action, Facts};

/// The locks of a profile and its port.
type Claimed = (Lock, Option<Lock>);

impl Supervisor {
    /// Removes the services that nobody supervised, with one look at the machine's processes for all of them.
    pub(super) fn remove_together(&self, actions: &[Action]) {
        let removed = chosen(actions, |action| matches!(action, Action::Remove { .. }));
        // A profile that is gone may have come back, which its own action checks.
        let begin = |name: &ProfileName| self.begin_action(name);
        for names in self.batches(&removed, AT_ONCE) {
            at_once(names, begin, |gateways, _| self.driver.remove_many(gateways));
        }
    }

    /// Stops the gateways that are to be down, and the orphans in whose place others are to start, with one look at the
    /// machine's processes; and creates the services that are missing, with one notice to the supervisor. They stay down
    /// until it is their turn to start.
    pub(super) fn prepare_together(&self, actions: &[Action], facts: &Facts) {
        let starts = chosen(actions, |action| matches!(action, Action::Start { .. }));
        let stops = chosen(actions, |action| matches!(action, Action::Stop { .. }));
        let ended = [&*starts, &*stops].concat();
        let begin = |name: &ProfileName| match stops.contains(name) {
            true => self.begin_stop_by_boot(name),
            false => self.begin_end_of_orphan(name, facts),
        };
        for names in self.batches(&ended, AT_ONCE_WITH_PORT) {
            at_once(names, begin, |gateways, _| self.driver.down_many(gateways));
        }
        let new = |it: &Action| matches!(it, Action::Start { .. } | Action::Register { .. });
        let begin = |name: &ProfileName| self.begin_creation(name);
        let options = CreateOptions::default();
        for names in self.batches(&chosen(actions, new), AT_ONCE_WITH_PORT) {
            at_once(names, begin, |gateways, _| {
                let services: Vec<_> = gateways.iter().map(|it| (it, &options)).collect();
                self.driver.create_many(&services)
            });
        }
    }

    /// Batches of at most `size`; none if there is nothing to gain, or if the tree is being stopped.
    fn batches<'a>(
        &self,
        names: &'a [ProfileName],
        size: usize,
    ) -> impl Iterator<Item = &'a [ProfileName]> {
        let is_needed = names.len() > 1 && !self.driver.is_shutting_down();
        if is_needed { names } else { &[] }.chunks(size)
    }

    /// The gateway of a profile that no command has locked.
    fn begin_action(&self, name: &ProfileName) -> Option<(Gateway, Lock)> {
        let lock = Lock::acquire(&self.store.root().profile_lock(name), Duration::ZERO).ok()?;
        self.store.find(name).ok()??;
        Some((self.gateway_called(name), lock))
    }

    /// A gateway that is still to be down, with the lock of its profile.
    fn begin_stop_by_boot(&self, name: &ProfileName) -> Option<(Gateway, Claimed)> {
        let (gateway, lock) = self.begin_action(name)?;
        let is_wanted = Intent::read(gateway.home()).ok()? == Intent::Running;
        (!is_wanted).then_some((gateway, (lock, None)))
    }

    /// An orphan in whose place the gateway is still to start, with the locks of its profile and its port.
    fn begin_end_of_orphan(&self, name: &ProfileName, facts: &Facts) -> Option<(Gateway, Claimed)> {
        let (gateway, lock) = self.begin_action(name)?;
        if Intent::read(gateway.home()).ok()? == Intent::Stopped {
            return None;
        }
        // Its own start refuses the same.
        self.store.refuse_open(Some(gateway.home())).ok()?;
        self.refuse_foreign(&gateway).ok()?;
        if self.by_default(&gateway).is_some() {
            return None;
        }
        self.replaceable_orphan(&gateway).ok()??;
        let rivals = |port| self.rivals(facts, port);
        let port = self.claim_port_among(&gateway, Duration::ZERO, rivals).ok()?;
        Some((gateway, (lock, port)))
    }

    /// A gateway without a service, in whose way nothing runs.
    fn begin_creation(&self, name: &ProfileName) -> Option<(Gateway, Lock)> {
        let (gateway, lock) = self.begin_action(name)?;
        self.store.refuse_open(Some(gateway.home())).ok()?;
        self.refuse_foreign(&gateway).ok()?;
        let runs = holder(&gateway.home().gateway_lock()).ok()?.is_some();
        let is_missing = !self.driver.exists(name).ok()?;
        (is_missing && !runs).then_some((gateway, lock))
    }
}

/// The profiles of those of `actions` that `choose` selects.
fn chosen(actions: &[Action], choose: impl Fn(&Action) -> bool) -> Vec<ProfileName> {
    actions.iter().filter(|action| choose(action)).filter_map(Action::profile).cloned().collect()
}
