//! The s6 backend: the service traits over one supervision tree.

use std::io;

use hermes_core::backend::{Backend, RenameError};
use hermes_core::gateway::{self, config_of, record_intent};
use hermes_core::lock::Lock;
use hermes_core::manager::ManagerError;
use hermes_core::parallel;
use hermes_core::process_lock::other_holder;
use hermes_core::status::{State, Status};
use hermes_core::store::Profile;
use hermes_core::{
    Intent, Kind, ProfileName, ProfileRegistrar, RegisterOptions, ServiceManager, Store,
};
use jiff::{SignedDuration, Timestamp};

use crate::error::{corrupt, failed, of_store};
use crate::layout::ServiceDir;
use crate::lifecycle::{Gateway, bring_down, bring_up};
use crate::policy;
use crate::record::{Death, Record};
use crate::registry::{self, Registration};
use crate::stray::SvscanView;
use crate::tree::Tree;

/// Deaths before this don't count in [`Status::deaths`].
const AN_HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The s6 backend.
#[derive(Debug, Clone)]
pub struct S6Manager {
    tree: Tree,
    store: Store,
}

impl S6Manager {
    /// A backend over `tree`. Nothing is read yet.
    pub fn new(tree: Tree) -> Self {
        let store = Store::new(tree.root.clone()).with_timeout(tree.timeouts.lock);
        Self { tree, store }
    }

    /// The tree it works on.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The profiles of the tree's home.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Registers the slot of a profile whose lock the caller holds.
    pub(crate) fn register_locked(
        &self,
        profile: &Profile,
        options: &RegisterOptions,
        up: bool,
    ) -> Result<(), ManagerError> {
        let registration = Registration {
            extra_env: options.extra_env.clone(),
            up,
            stop_timeout: config_of(profile).stop_timeout,
        };
        registry::register(&self.tree, &profile.name, &registration)
    }

    /// Takes the slot of a profile away whose lock the caller holds; one without slot is done.
    pub(crate) fn unregister_locked(&self, profile: &ProfileName) -> Result<(), ManagerError> {
        let operation = format!("unregister the gateway of `{profile}`");
        let home = self.store.root().profile(profile);
        let stop_timeout = config_of(&Profile { name: profile.clone(), home }).stop_timeout;
        bring_down(&self.tree, &operation, profile, stop_timeout)?;
        let slot = self.tree.scandir.slot(profile);
        match slot.path().symlink_metadata() {
            Ok(_) => registry::retire(&self.tree, &operation, &slot),
            Err(_) => Ok(()),
        }
    }

    /// Starts a gateway whose profile's lock the caller holds, registering its slot if need be.
    pub(crate) fn start_locked(&self, profile: &Profile) -> Result<(), ManagerError> {
        let operation = format!("start the gateway of `{}`", profile.name);
        let slot = self.tree.scandir.slot(&profile.name);
        if slot.path().symlink_metadata().is_err() {
            self.register_locked(profile, &RegisterOptions::default(), true)?;
        }
        // What a stray supervises would not end with the tree.
        if !self.tree.strays(&slot).map_err(|error| failed(&operation, error))?.is_empty() {
            self.stop_locked(profile)?;
        }
        let config = config_of(profile);
        let gateway = Gateway {
            notifies: config.notifies_readiness(),
            stop_timeout: config.stop_timeout,
            fault: profile.home.fault(),
        };
        bring_up(&self.tree, &operation, &profile.name, &gateway)
    }

    /// Stops a gateway whose profile's lock the caller holds.
    pub(crate) fn stop_locked(&self, profile: &Profile) -> Result<(), ManagerError> {
        let operation = format!("stop the gateway of `{}`", profile.name);
        let stop_timeout = config_of(profile).stop_timeout;
        bring_down(&self.tree, &operation, &profile.name, stop_timeout)?;
        let slot = self.tree.scandir.slot(&profile.name);
        policy::unpark(&slot).map_err(|error| failed(&operation, error))
    }

    /// Refuses a port that another profile's running gateway has ([`gateway::claim_port`]).
    pub(crate) fn claim_port(
        &self,
        operation: &str,
        profile: &Profile,
    ) -> Result<Option<Lock>, ManagerError> {
        let scandir = &self.tree.scandir;
        let runs = |name: &ProfileName| {
            scandir.slot(name).record().is_ok_and(|record| record.gateway().is_some())
        };
        let running = || {
            let mut names = scandir.profiles().map_err(|error| failed(operation, error))?;
            names.retain(runs);
            Ok(names)
        };
        gateway::claim_port(&self.store, self.tree.timeouts.lock, operation, profile, running)
    }

    /// The profile and its lock. Where there is no profile no lock is made, nor a home for it.
    fn locked(&self, operation: &str, name: &ProfileName) -> Result<(Profile, Lock), ManagerError> {
        self.profile(operation, name)?;
        self.tree.refuse_other_home(operation)?;
        let settled = self.store.settle_renames_of(name, self.tree.timeouts.lock);
        settled.map_err(|error| of_store(operation, error))?;
        let lock = self.tree.lock_profile(operation, name)?;
        // It may have been deleted while this one waited.
        Ok((self.profile(operation, name)?, lock))
    }

    fn profile(&self, operation: &str, name: &ProfileName) -> Result<Profile, ManagerError> {
        self.store.get(name).map_err(|error| of_store(operation, error))
    }

    pub(crate) fn status_of(&self, profile: &Profile) -> io::Result<Status> {
        self.status_under(&self.tree.svscan_view()?, profile)
    }

    /// The status of one gateway, whose slot `svscan_view` looks after.
    fn status_under(&self, svscan_view: &SvscanView<'_>, profile: &Profile) -> io::Result<Status> {
        let slot = self.tree.scandir.slot(&profile.name);
        let mut status = Status {
            profile: profile.name.clone(),
            registered: false,
            state: State::Unsupervised,
            pid: None,
            since: None,
            intent: Intent::read(&profile.home).ok(),
            ready: None,
            deaths: 0,
            last_exit: None,
            parked: None,
            backoff: None,
        };
        let supervisor = slot.supervisor()?;
        status.registered = supervisor.is_some() || slot.path().symlink_metadata().is_ok();
        if let Some(supervisor) = supervisor {
            read_supervised(&mut status, profile, &slot)?;
            let supervisors = [Some(supervisor), slot.log().supervisor()?];
            if supervisors.into_iter().flatten().any(|holder| svscan_view.is_stray(holder)) {
                status.state = State::Stray;
            }
        }
        let orphan = other_holder(&profile.home.gateway_lock(), status.pid)?;
        // A gateway that was started again in between is nobody's orphan.
        let still = || slot.record().ok().and_then(|record| record.gateway());
        if let Some(pid) = orphan.filter(|pid| still() != Some(*pid)) {
            (status.state, status.pid, status.ready) = (State::Orphan, Some(pid), None);
        }
        Ok(status)
    }
}

/// What the supervisor says of a service that has one. Asked of every gateway there is, so that no file
/// is opened which can't matter in the state that the record tells.
fn read_supervised(status: &mut Status, profile: &Profile, slot: &ServiceDir) -> io::Result<()> {
    let record = slot.record()?;
    let deaths = slot.deaths()?;
    let runs = record.gateway().is_some();
    let notifies = runs && config_of(profile).notifies_readiness();
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

/// When the service died in the last hour without having been asked to, oldest first.
fn recent_crashes(slot: &ServiceDir, deaths: Vec<Death>) -> io::Result<Vec<Timestamp>> {
    let an_hour_ago = Timestamp::now().saturating_sub(AN_HOUR).unwrap_or(Timestamp::MIN);
    let crashes = policy::crashes(slot, deaths)?.into_iter().map(|death| death.at);
    Ok(crashes.filter(|at| *at >= an_hour_ago).collect())
}

/// What a record means, given whether the gateway ever says that it is ready, and whether it ever died.
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

impl ServiceManager for S6Manager {
    fn kind(&self) -> Kind {
        Kind::S6
    }

    fn start(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("start the gateway of `{name}`");
        let (profile, _lock) = self.locked(&operation, name)?;
        let _port = self.claim_port(&operation, &profile)?;
        record_intent(&operation, Intent::Running, &profile)?;
        self.start_locked(&profile)?;
        self.status(name)
    }

    fn stop(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("stop the gateway of `{name}`");
        let (profile, _lock) = self.locked(&operation, name)?;
        record_intent(&operation, Intent::Stopped, &profile)?;
        self.stop_locked(&profile)?;
        self.status(name)
    }

    fn restart(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("restart the gateway of `{name}`");
        let (profile, _lock) = self.locked(&operation, name)?;
        let _port = self.claim_port(&operation, &profile)?;
        record_intent(&operation, Intent::Running, &profile)?;
        self.stop_locked(&profile)?;
        self.start_locked(&profile)?;
        self.status(name)
    }

    fn status(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("read the status of `{name}`");
        let profile = self.profile(&operation, name)?;
        self.status_of(&profile).map_err(|error| failed(operation, error))
    }

    fn statuses(
        &self,
        names: &[ProfileName],
    ) -> Result<Vec<Result<Status, ManagerError>>, ManagerError> {
        let svscan_view = self.tree.svscan_view_of_many();
        let svscan_view =
            svscan_view.map_err(|error| failed("read the status of the gateways", error))?;
        let status = |name| {
            let operation = format!("read the status of `{name}`");
            let profile = self.profile(&operation, &name)?;
            self.status_under(&svscan_view, &profile).map_err(|error| failed(operation, error))
        };
        Ok(parallel::compute(names.to_vec(), status))
    }

    fn recent_deaths(&self, name: &ProfileName) -> Result<Vec<Timestamp>, ManagerError> {
        let operation = format!("read the deaths of `{name}`");
        self.profile(&operation, name)?;
        let slot = self.tree.scandir.slot(name);
        let crashes = slot.deaths().and_then(|deaths| recent_crashes(&slot, deaths));
        crashes.map_err(|error| failed(operation, error))
    }
}

impl ProfileRegistrar for S6Manager {
    fn supports_runtime_registration(&self) -> bool {
        true
    }

    fn check_name(&self, name: &ProfileName) -> Result<(), ManagerError> {
        self.tree.require_short_name(&format!("register the gateway of `{name}`"), name)
    }

    fn register_profile_gateway(
        &self,
        name: &ProfileName,
        options: &RegisterOptions,
    ) -> Result<(), ManagerError> {
        let operation = format!("register the gateway of `{name}`");
        let (profile, _lock) = self.locked(&operation, name)?;
        if options.start_now {
            let _port = self.claim_port(&operation, &profile)?;
            record_intent(&operation, Intent::Running, &profile)?;
            return self.register_locked(&profile, options, true);
        }
        let intent = Intent::read(&profile.home).map_err(|error| corrupt(&operation, error))?;
        // One whose port another has stays down until `start` says so.
        let up = intent == Intent::Running && self.claim_port(&operation, &profile).is_ok();
        self.register_locked(&profile, options, up)
    }

    fn unregister_profile_gateway(&self, name: &ProfileName) -> Result<(), ManagerError> {
        let operation = format!("unregister the gateway of `{name}`");
        let known = self.store.find(name).map_err(|error| failed(&operation, error))?.is_some();
        if !known && self.tree.scandir.slot(name).path().symlink_metadata().is_err() {
            return Ok(());
        }
        self.tree.refuse_other_home(&operation)?;
        let _lock = self.tree.lock_profile(&operation, name)?;
        self.unregister_locked(name)
    }

    fn list_profile_gateways(&self) -> Result<Vec<ProfileName>, ManagerError> {
        let operation = format!("list the slots in `{}`", self.tree.scandir.path().display());
        self.tree.scandir.profiles().map_err(|error| failed(operation, error))
    }
}

impl Backend for S6Manager {
    fn rename_profile(
        &self,
        _store: &Store,
        from: &ProfileName,
        to: &ProfileName,
    ) -> Result<(), RenameError> {
        self.rename(from, to).map(drop)
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
