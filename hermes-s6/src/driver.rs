//! The s6 driver: the primitives of a backend over one supervision tree.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use hermes_core::changes::Changes;
use hermes_core::config::Resource;
use hermes_core::detect::Facts;
use hermes_core::diagnostics::{Examination, Snapshot};
use hermes_core::driver::{CreateOptions, Driver, DriverError, Environment, Lifetime};
use hermes_core::error_chain::in_one_line;
use hermes_core::parallel;
use hermes_core::reconcile::{Outcome, Survey, Suspended};
use hermes_core::status::Status;
use hermes_core::{Gateway, Kind, ProfileName, Store, fsutil, lock};
use jiff::Timestamp;

use crate::doctor;
use crate::protocol::control::service;
use crate::slot::batch::{bring_down_many, remove_many};
use crate::slot::layout::ServiceDir;
use crate::slot::lifecycle::{bring_down, bring_up, require_room};
use crate::slot::logger;
use crate::slot::policy;
use crate::slot::quick_stop::Stop;
use crate::slot::registry::{Registration, register_many};
use crate::status::{recent_crashes, status};
use crate::tree::Tree;
use crate::tree::bootlog;
use crate::tree::changes::TreeChanges;
use crate::tree::owner;
use crate::tree::process_tracker;
use crate::tree::survey;
use crate::tree::suspended;
use crate::tree::unregistered;

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

    /// What a new slot of `gateway` is made from; `None` if a whole one exists.
    fn prepare_registration(
        &self,
        gateway: &Gateway,
        options: &CreateOptions,
    ) -> Result<Option<New>, DriverError> {
        if self.exists(gateway.name())? {
            let slot = self.slot(gateway.name());
            if slot.is_whole() {
                return require_room(&slot).map(|()| None);
            }
            self.remove(gateway)?;
        }
        let registration = Registration {
            extra_env: options.extra_env.clone(),
            up: options.up,
            stop_timeout: gateway.stop_timeout(),
        };
        let was_marked = unregistered::unmark(&self.tree, gateway.name())?;
        Ok(Some(New { registration, was_marked }))
    }
}

/// A slot that does not exist.
struct New {
    registration: Registration,
    /// Whether an operator had its predecessor removed.
    was_marked: bool,
}

/// The gateways as a stop needs them.
fn stops(gateways: &[Gateway]) -> Vec<Stop<'_>> {
    gateways.iter().map(|gateway| (gateway.name(), gateway.stop_timeout())).collect()
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

    /// Fails if no s6-svscan holds the scan directory, or if it runs another home's gateways.
    fn reach(&self) -> Result<(), DriverError> {
        self.tree.require_same_home(self.tree.require_svscan()?)
    }

    /// Refuses a name that is too long for a slot: s6-svscan ignores directories with longer names.
    fn check_name(&self, name: &ProfileName) -> Result<(), DriverError> {
        self.check_owner()?;
        self.tree.require_short_name(name)
    }

    fn check_owner(&self) -> Result<(), DriverError> {
        self.tree.refuse_other_owner()
    }

    /// Refuses a tree that runs another home's gateways, and one that is not the home's owner.
    fn check(&self, _: &ProfileName, _: &str) -> Result<(), DriverError> {
        self.check_owner()?;
        self.tree.refuse_other_home()
    }

    fn check_replaceable(&self, name: &ProfileName) -> Result<(), DriverError> {
        let slot = self.slot(name);
        let refused = slot.refuse_newer().map_err(DriverError::new);
        refused.map_err(|error| error.with_hint(survey::hint_for_newer(name)))
    }

    fn exists(&self, name: &ProfileName) -> Result<bool, DriverError> {
        Ok(fsutil::exists(self.slot(name).path())?)
    }

    fn extra_env(&self, name: &ProfileName) -> Result<BTreeMap<String, String>, DriverError> {
        Ok(self.slot(name).extra_env()?)
    }

    fn allows_open_homes(&self, name: &ProfileName) -> bool {
        self.tree.allows_open_homes(&self.slot(name))
    }

    fn list(&self) -> Result<Vec<ProfileName>, DriverError> {
        Ok(self.tree.scandir.profiles()?)
    }

    /// An existing slot stays as it is, unless it lacks a part: `gateway register --refresh` replaces
    /// outdated ones.
    fn create(&self, gateway: &Gateway, options: &CreateOptions) -> Result<(), DriverError> {
        self.create_many(&[(gateway, options)]).into_iter().collect()
    }

    fn create_many(&self, services: &[(&Gateway, &CreateOptions)]) -> Vec<Result<(), DriverError>> {
        let prepare = |(gateway, options): &(&Gateway, &CreateOptions)| {
            self.prepare_registration(gateway, options)
        };
        let prepared: Vec<_> = services.iter().map(prepare).collect();
        let new = prepared.iter().zip(services).filter_map(|(prepared, (gateway, _))| {
            Some((gateway.name(), &prepared.as_ref().ok()?.as_ref()?.registration))
        });
        let new: Vec<_> = new.collect();
        let names = new.iter().map(|(name, _)| *name);
        if let Err(error) = process_tracker::end_left_by_former(&self.tree, names) {
            // Each gateway looks again before it serves.
            log::warn!("{}", in_one_line(&error));
        }
        let mut registered = register_many(&self.tree, &new).into_iter();
        let conclude = |(prepared, (gateway, _)): (&Result<_, DriverError>, &(&Gateway, _))| {
            let Some(New { was_marked, .. }) = prepared.as_ref().map_err(Clone::clone)? else {
                return Ok(());
            };
            registered.next().unwrap_or(Ok(())).inspect_err(|_| {
                if *was_marked && let Err(error) = self.keep_removed(gateway.name()) {
                    log::warn!("`hermes up` may create the service by itself: {error}");
                }
            })
        };
        prepared.iter().zip(services).map(conclude).collect()
    }

    fn remove(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.remove_many(std::slice::from_ref(gateway)).into_iter().collect()
    }

    fn remove_many(&self, gateways: &[Gateway]) -> Vec<Result<(), DriverError>> {
        let removed = remove_many(&self.tree, &stops(gateways)).into_iter().zip(gateways);
        let unmark = |gateway: &Gateway| Ok(unregistered::unmark(&self.tree, gateway.name())?);
        removed.map(|(removed, it)| removed.and_then(|()| unmark(it)).map(drop)).collect()
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
        Ok(policy::release(&self.slot(gateway.name()))?)
    }

    fn down_many(&self, gateways: &[Gateway]) -> Vec<Result<(), DriverError>> {
        let outcomes = bring_down_many(&self.tree, &stops(gateways)).into_iter().zip(gateways);
        let release = |gateway: &Gateway| Ok(policy::release(&self.slot(gateway.name()))?);
        outcomes.map(|(down, gateway)| down.and_then(|()| release(gateway))).collect()
    }

    fn kill(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.slot(gateway.name()).send(&[service::KILL])?;
        Ok(())
    }

    fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        status(&self.tree, &self.tree.svscan_view()?, gateway)
    }

    fn observe_many(
        &self,
        gateways: &[Gateway],
    ) -> Result<Vec<Result<Status, DriverError>>, DriverError> {
        let svscan_view = self.tree.svscan_view_of(gateways.len())?;
        let status = |gateway| status(&self.tree, &svscan_view, gateway);
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

    fn enforces(&self, resource: Resource, limit: u64) -> Result<(), DriverError> {
        doctor::resources::enforces(&self.tree, resource, limit)
    }

    fn examine(&self, snapshot: &Snapshot) -> Examination {
        doctor::examine(&self.tree, snapshot)
    }

    fn survey(&self) -> Result<Survey, DriverError> {
        let svscan = self.tree.require_svscan()?;
        self.tree.require_same_home(svscan)?;
        Ok(survey::survey(&self.tree, svscan)?)
    }

    fn survey_of(&self, name: &ProfileName) -> Result<Survey, DriverError> {
        Ok(survey::survey_of(&self.tree, name)?)
    }

    fn survey_beside(&self) -> Result<Survey, DriverError> {
        Ok(survey::survey_beside(&self.tree)?)
    }

    fn keep_removed(&self, name: &ProfileName) -> Result<(), DriverError> {
        match self.tree.scandir.svscan()? {
            Some(svscan) => Ok(unregistered::mark(&self.tree, svscan, name)?),
            None => Ok(()),
        }
    }

    fn hold_down(&self, name: &ProfileName) -> Result<(), DriverError> {
        let slot = self.slot(name);
        match slot.path().is_dir() {
            true => Ok(policy::hold(&slot, "")?),
            false => Ok(()),
        }
    }

    fn replace_logger(&self, profile: &ProfileName) -> Result<(), DriverError> {
        logger::end_former_logger(&self.tree, profile)?;
        match logger::former_logger(&self.tree, profile)? {
            None => Ok(()),
            Some(other) => {
                let title = self.tree.proc.title(other.pid);
                Err(DriverError::new(format!(
                    "{title} has its log directory, and is not its logger"
                )))
            }
        }
    }

    fn resume(&self, process: &Suspended) -> Result<bool, DriverError> {
        Ok(suspended::resume(&self.tree, process)?)
    }

    fn hold_home(&self) -> Result<bool, DriverError> {
        owner::hold_again(&self.tree)
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
        if let Err(error) = lock::remove_unheld(&self.tree.scandir.command_lock()) {
            log::warn!("{}", in_one_line(&error));
        }
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
