//! The s6 driver: the primitives of a backend over one supervision tree.

use std::io;
use std::path::Path;
use std::time::Duration;

use hermes_core::changes::Changes;
use hermes_core::detect::Facts;
use hermes_core::diagnostics::{Examination, Snapshot};
use hermes_core::driver::{CreateOptions, Driver, DriverError, Environment, Lifetime};
use hermes_core::parallel;
use hermes_core::process_lock::other_holder;
use hermes_core::reconcile::{Outcome, Survey};
use hermes_core::restart::AN_HOUR;
use hermes_core::status::{State, Status};
use hermes_core::{Gateway, Intent, Kind, ProfileName, Store, lock};
use jiff::Timestamp;

use crate::doctor;
use crate::protocol::record::{Death, Record};
use crate::slot::layout::ServiceDir;
use crate::slot::lifecycle::{bring_down, bring_up};
use crate::slot::policy;
use crate::slot::registry::{self, Registration};
use crate::tree::Tree;
use crate::tree::bootlog;
use crate::tree::changes::TreeChanges;
use crate::tree::survey;
use crate::tree::svscan_view::SvscanView;

/// The kind of this backend.
pub const KIND: Kind = Kind::new("s6");

/// The s6 driver. Services are slots: service directories in the tree's scan directory.
#[derive(Debug, Clone)]
pub struct S6Driver {
    tree: Tree,
}

impl S6Driver {
    /// A driver of `tree`. Nothing is read yet.
    pub fn new(tree: Tree) -> Self {
        Self { tree }
    }

    /// The tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn slot(&self, name: &ProfileName) -> ServiceDir {
        self.tree.scandir.slot(name)
    }

    /// The status of one gateway. `svscan_view` tells whether its supervisors are strays.
    fn status_under(
        &self,
        svscan_view: &SvscanView<'_>,
        gateway: &Gateway,
    ) -> Result<Status, DriverError> {
        let slot = self.slot(gateway.name());
        let mut status = Status {
            intent: Intent::read(gateway.home()).ok(),
            ..Status::unsupervised(gateway.name())
        };
        let supervisor = slot.supervisor()?;
        status.registered = supervisor.is_some() || slot.path().symlink_metadata().is_ok();
        if let Some(supervisor) = supervisor {
            read_supervised(&mut status, gateway, &slot)?;
            let supervisors = [Some(supervisor), slot.log().supervisor()?];
            if supervisors.into_iter().flatten().any(|holder| svscan_view.is_stray(holder)) {
                status.state = State::Stray;
            }
        }
        let orphan = other_holder(&gateway.home().gateway_lock(), status.pid)?;
        // A gateway that was restarted in between is not an orphan.
        let supervised = || slot.record().ok().and_then(|record| record.gateway());
        if let Some(pid) = orphan.filter(|pid| supervised() != Some(*pid)) {
            (status.state, status.pid, status.ready) = (State::Orphan, Some(pid), None);
        }
        Ok(status)
    }
}

impl Driver for S6Driver {
    /// True if a scan directory is named, s6 is the init system, or this user runs a tree.
    fn detect(facts: &Facts) -> bool {
        facts.named_scandir.is_some() || facts.s6_in_charge() || facts.user_scandir.is_some()
    }

    fn connect(environment: &Environment) -> Result<Self, DriverError> {
        Ok(Self::new(Tree::in_charge(environment)?))
    }

    fn kind(&self) -> Kind {
        KIND
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Registered
    }

    /// Fails if no s6-svscan holds the scan directory.
    fn reach(&self) -> Result<(), DriverError> {
        self.tree.require_svscan().map(drop)
    }

    /// Refuses a name that is too long for a slot: s6-svscan ignores directories with longer names.
    fn check_name(&self, name: &ProfileName) -> Result<(), DriverError> {
        self.tree.require_short_name(name)
    }

    /// Refuses a tree that runs another home's gateways.
    fn check(&self, _: &ProfileName, _: &str) -> Result<(), DriverError> {
        self.tree.refuse_other_home()
    }

    fn exists(&self, name: &ProfileName) -> Result<bool, DriverError> {
        Ok(self.slot(name).path().symlink_metadata().is_ok())
    }

    fn list(&self) -> Result<Vec<ProfileName>, DriverError> {
        Ok(self.tree.scandir.profiles()?)
    }

    /// An existing slot stays as it is: `gateway register --refresh` replaces outdated ones.
    fn create(&self, gateway: &Gateway, options: &CreateOptions) -> Result<(), DriverError> {
        if self.exists(gateway.name())? {
            return Ok(());
        }
        let registration = Registration {
            extra_env: options.extra_env.clone(),
            up: options.up,
            stop_timeout: gateway.stop_timeout(),
        };
        registry::register(&self.tree, gateway.name(), &registration)
    }

    fn remove(&self, gateway: &Gateway) -> Result<(), DriverError> {
        bring_down(&self.tree, gateway.name(), gateway.stop_timeout())?;
        let slot = self.slot(gateway.name());
        match slot.path().symlink_metadata() {
            Ok(_) => registry::retire(&self.tree, &slot),
            Err(_) => Ok(()),
        }
    }

    fn up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        // A gateway under a stray would not end with the tree.
        if !self.tree.strays(&self.slot(gateway.name()))?.is_empty() {
            self.down(gateway)?;
        }
        bring_up(&self.tree, gateway)
    }

    fn down(&self, gateway: &Gateway) -> Result<(), DriverError> {
        bring_down(&self.tree, gateway.name(), gateway.stop_timeout())?;
        Ok(policy::unpark(&self.slot(gateway.name()))?)
    }

    fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        self.status_under(&self.tree.svscan_view()?, gateway)
    }

    fn observe_many(
        &self,
        gateways: &[Gateway],
    ) -> Result<Vec<Result<Status, DriverError>>, DriverError> {
        let svscan_view = self.tree.svscan_view_of_many()?;
        let status = |gateway| self.status_under(&svscan_view, gateway);
        Ok(parallel::compute(gateways.iter().collect(), status))
    }

    /// The gateways whose record names a process.
    fn running(&self, gateways: &[Gateway]) -> Result<Vec<ProfileName>, DriverError> {
        let runs = |name: &&ProfileName| {
            self.slot(name).record().is_ok_and(|record| record.gateway().is_some())
        };
        Ok(gateways.iter().map(Gateway::name).filter(runs).cloned().collect())
    }

    fn recent_deaths(&self, gateway: &Gateway) -> Result<Vec<Timestamp>, DriverError> {
        let slot = self.slot(gateway.name());
        Ok(recent_crashes(&slot, slot.deaths()?)?)
    }

    fn changes(&self, store: &Store) -> io::Result<Option<Box<dyn Changes>>> {
        Ok(Some(Box::new(TreeChanges::begin(&self.tree, store)?)))
    }

    fn examine(&self, snapshot: &Snapshot) -> Examination {
        doctor::examine(&self.tree, snapshot)
    }

    fn survey(&self) -> Result<Survey, DriverError> {
        let svscan = self.tree.require_svscan()?;
        self.tree.require_same_home(svscan)?;
        Ok(survey::survey(&self.tree)?)
    }

    fn clear(&self, path: &Path) -> Result<(), DriverError> {
        survey::clear(&self.tree, path)
    }

    fn is_abandoned(&self, path: &Path) -> bool {
        survey::is_abandoned(&self.tree, path)
    }

    fn is_shutting_down(&self) -> bool {
        self.tree.shutdown.has_begun()
    }

    fn record_boot(&self, outcomes: &[Outcome], elapsed: Duration) -> io::Result<()> {
        // A command that was killed leaves the scan directory's lock file behind.
        lock::remove_unheld(&self.tree.scandir.command_lock())?;
        match self.tree.scandir.svscan()? {
            Some(svscan) => bootlog::write(&self.tree, svscan, outcomes, elapsed),
            None => Ok(()),
        }
    }

    fn boot_duration(&self) -> Result<Option<Duration>, DriverError> {
        let svscan = self.tree.require_svscan()?;
        Ok(bootlog::took_under(&self.tree, svscan)?)
    }
}

/// Fills in the status of a supervised service. It runs for every gateway, so it opens only the files that
/// matter in the recorded state.
fn read_supervised(status: &mut Status, gateway: &Gateway, slot: &ServiceDir) -> io::Result<()> {
    let record = slot.record()?;
    let deaths = slot.deaths()?;
    let runs = record.gateway().is_some();
    let notifies = runs && gateway.notifies_readiness();
    status.parked = if record.is_down() { policy::parked(slot)? } else { None };
    let waits = record.finishing && record.want_up;
    status.backoff = if waits { policy::backoff(slot)? } else { None };
    status.state = state(&record, notifies, !deaths.is_empty(), status.parked.is_some());
    status.pid = record.gateway();
    status.since = Some(record.stamp);
    status.ready = notifies.then_some(record.ready);
    status.last_exit = deaths.last().map(|death| death.exit);
    status.deaths = u32::try_from(recent_crashes(slot, deaths)?.len()).unwrap_or(u32::MAX);
    Ok(())
}

/// The times of the service's deaths in the last hour that no operator requested, oldest first.
fn recent_crashes(slot: &ServiceDir, deaths: Vec<Death>) -> io::Result<Vec<Timestamp>> {
    let an_hour_ago = Timestamp::now().saturating_sub(AN_HOUR).unwrap_or(Timestamp::MIN);
    let crashes = policy::crashes(slot, deaths)?.into_iter().map(|death| death.at);
    Ok(crashes.filter(|at| *at >= an_hour_ago).collect())
}

/// The state that a record means. `notifies`: the gateway reports readiness; `died`: it has died before.
fn state(record: &Record, notifies: bool, died: bool, parked: bool) -> State {
    match (record.gateway(), record.want_up) {
        (Some(_), false) => State::Stopping,
        (Some(_), true) if notifies && !record.ready => State::Starting,
        (Some(_), true) => State::Up,
        (None, true) if died => State::Backoff,
        (None, true) => State::Starting,
        (None, false) if record.finishing => State::Stopping,
        (None, false) if parked => State::Parked,
        (None, false) => State::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: Option<u32>, finishing: bool, want_up: bool, ready: bool) -> Record {
        Record {
            stamp: Timestamp::UNIX_EPOCH,
            ready_stamp: Timestamp::UNIX_EPOCH,
            pid,
            wait_status: 0,
            paused: false,
            finishing,
            want_up,
            ready,
        }
    }

    #[test]
    fn every_record_means_one_state() {
        let (pid, run, finish) = (Some(7), false, true);
        let cases = [
            (record(pid, run, true, true), true, false, State::Up),
            (record(pid, run, true, false), true, false, State::Starting),
            (record(pid, run, true, false), false, false, State::Up),
            (record(pid, run, false, true), true, false, State::Stopping),
            (record(pid, finish, true, false), true, false, State::Backoff),
            (record(pid, finish, false, false), true, false, State::Stopping),
            (record(None, run, true, true), true, false, State::Backoff),
            (record(None, run, false, true), true, false, State::Down),
            (record(None, run, false, true), true, true, State::Parked),
        ];
        for (record, notifies, parked, expected) in cases {
            assert_eq!(state(&record, notifies, true, parked), expected, "{record:?}");
        }
        let fresh = record(None, run, true, true);
        assert_eq!(state(&fresh, true, false, false), State::Starting, "it never died");
    }
}
