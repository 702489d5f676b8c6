//! The driver: what each primitive is in a cluster.
//!
//! A registration is a file beside the profiles, and the StatefulSet follows at the first start. Whether it has a replica is
//! always said, and changes with `up` and `down` alone: the engine calls them as the intent says.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use hermes_core::changes::Changes;
use hermes_core::config::Resource;
use hermes_core::detect::Facts;
use hermes_core::diagnostics::{Examination, Snapshot};
use hermes_core::driver::{CreateOptions, Driver, DriverError, Environment, Lifetime};
use hermes_core::home::env;
use hermes_core::log::Logs;
use hermes_core::reconcile::{ServiceFact, Survey, Wanted};
use hermes_core::status::{State, Status};
use hermes_core::wait::Timeouts;
use hermes_core::{Gateway, Intent, Kind, ProfileName, RootHome, Store, parallel};
use jiff::Timestamp;

use crate::client::Client;
use crate::names::object_name;
use crate::objects::{Settings, profile_of};
use crate::registry::{Registration, Registry};

/// The kind of this backend.
pub const KIND: Kind = Kind::new(env::BACKEND_KUBERNETES);
/// The claim of the volume with the root home, unless a variable names another one.
const CLAIM: &str = "hermes-home";
/// Variables that Pods have from the command that makes their StatefulSet.
const PASSED_ON: [&str; 2] = [env::OPEN_HOME, env::TEST_FASTER];
/// How many requests are under way at the same time: the API server counts them for each account.
pub(crate) const AT_ONCE: usize = 8;

/// The Kubernetes backend.
#[derive(Debug)]
pub struct Kubernetes {
    /// Shared with the threads that follow logs.
    pub(crate) client: Arc<Client>,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) timeouts: Timeouts,
    setup: Setup,
}

/// What Pods are made from.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The image that gateways run. Needed to make a StatefulSet, and for nothing else.
    pub image: Option<String>,
    /// The claim of the volume with the root home; `hermes-home` if `None`.
    pub claim: Option<String>,
    /// More variables for each gateway's environment.
    pub env: BTreeMap<String, String>,
}

impl Kubernetes {
    /// A backend for the gateways of `root` over `client`. Reads and asks nothing.
    pub fn new(
        client: impl Into<Arc<Client>>,
        root: RootHome,
        setup: Setup,
        timeouts: Timeouts,
    ) -> Self {
        let registry = Registry::of(&root);
        let store = Store::new(root).with_timeout(timeouts.lock);
        Self { client: client.into(), store, registry, timeouts, setup }
    }

    /// What StatefulSets are made from.
    pub(crate) fn settings(&self) -> Result<Settings, DriverError> {
        let image = self.setup.image.clone().ok_or_else(|| {
            let variable = env::KUBERNETES_IMAGE;
            DriverError::new(format!("{variable} does not name the image of its Pod"))
                .with_hint(format!("set {variable} to the image of the console's own Pod"))
        })?;
        let claim = self.setup.claim.clone().unwrap_or_else(|| CLAIM.to_owned());
        Ok(Settings { image, claim, root: self.store.root().path().display().to_string() })
    }

    /// The variables of the gateway's environment.
    pub(crate) fn env(
        &self,
        profile: &ProfileName,
    ) -> Result<BTreeMap<String, String>, DriverError> {
        let registered = self.registry.read(profile)?.unwrap_or_default().extra_env;
        Ok(self.setup.env.clone().into_iter().chain(registered).collect())
    }

    /// Registers the gateway; whether it was not before.
    fn register(
        &self,
        profile: &ProfileName,
        options: &CreateOptions,
    ) -> Result<bool, DriverError> {
        if self.registry.has(profile)? {
            return Ok(false);
        }
        let extra_env = options.extra_env.clone();
        self.registry.write(profile, &Registration { extra_env })?;
        Ok(true)
    }

    fn create_registered(
        &self,
        gateway: &Gateway,
        options: &CreateOptions,
    ) -> Result<(), DriverError> {
        let existing = self.own_set(gateway.name())?;
        match (&existing, options.up) {
            (None, false) => Ok(()),
            // One whose fields can't be changed while its Pod runs gets them with its next start.
            _ => self.apply(gateway, existing.as_ref(), options.up).map(drop),
        }
    }
}

/// The error of the profile whose home is the root home: its Pod would see all of it.
pub(crate) fn no_pod() -> DriverError {
    DriverError::new(
        "`default` has no Pod: its home has the homes and secrets of all profiles in it",
    )
    .with_hint("`hermes profile create NAME` makes a profile that has one")
}

impl Driver for Kubernetes {
    /// Never: a Pod with a service account is in a cluster, and may run anything.
    fn detect(_: &Facts) -> bool {
        false
    }

    fn connect(environment: &Environment) -> Result<Self, DriverError> {
        let variable = |name: &str| {
            (environment.variable)(name).map(|value| value.to_string_lossy().into_owned())
        };
        let passed_on = PASSED_ON.into_iter();
        let setup = Setup {
            image: variable(env::KUBERNETES_IMAGE),
            claim: variable(env::KUBERNETES_CLAIM),
            env: passed_on.filter_map(|name| Some((name.to_owned(), variable(name)?))).collect(),
        };
        let timeouts = environment.timeouts;
        let client = Client::shared(timeouts.supervise)?;
        Ok(Self::new(client, environment.root.clone(), setup, timeouts))
    }

    fn kind(&self) -> Kind {
        KIND
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Registered
    }

    fn reach(&self) -> Result<(), DriverError> {
        self.client.stateful_sets(Some(1))?;
        Ok(())
    }

    /// Refuses `default`; a name that Kubernetes can't carry is shortened.
    fn check_name(&self, name: &ProfileName) -> Result<(), DriverError> {
        if name.is_default() { Err(no_pod()) } else { Ok(()) }
    }

    /// They are the Pods' own.
    fn has_processes_here(&self) -> bool {
        false
    }

    fn can_run(&self, name: &ProfileName) -> bool {
        !name.is_default()
    }

    fn check(&self, name: &ProfileName, _: &str) -> Result<(), DriverError> {
        self.check_name(name)
    }

    fn extra_env(&self, name: &ProfileName) -> Result<BTreeMap<String, String>, DriverError> {
        Ok(self.registry.read(name)?.unwrap_or_default().extra_env)
    }

    fn exists(&self, name: &ProfileName) -> Result<bool, DriverError> {
        Ok(!name.is_default() && (self.registry.has(name)? || self.own_set(name)?.is_some()))
    }

    fn list(&self) -> Result<Vec<ProfileName>, DriverError> {
        let mut names: BTreeSet<_> = self.registry.list()?.into_iter().collect();
        let sets = self.client.stateful_sets(None)?;
        names.extend(sets.iter().filter_map(|set| profile_of(&set.metadata)));
        Ok(names.into_iter().collect())
    }

    /// Registers the gateway. A StatefulSet is brought up to date if it exists, and made if the gateway is to come up.
    fn create(&self, gateway: &Gateway, options: &CreateOptions) -> Result<(), DriverError> {
        let name = gateway.name();
        if name.is_default() {
            return if options.up { Err(no_pod()) } else { Ok(()) };
        }
        let is_new = self.register(name, options)?;
        self.create_registered(gateway, options).inspect_err(|_| {
            if is_new && let Err(error) = self.registry.remove(name) {
                log::warn!("the registration of `{name}` is left: {error}");
            }
        })
    }

    fn remove(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.down(gateway)?;
        self.delete(gateway.name())
    }

    fn remove_many(&self, gateways: &[Gateway]) -> Vec<Result<(), DriverError>> {
        let ended = self.down_many(gateways).into_iter().zip(gateways).collect();
        parallel::map(ended, AT_ONCE, |(ended, gateway): (Result<_, _>, _)| {
            ended.and_then(|()| self.delete(gateway.name()))
        })
    }

    fn up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.bring_up(gateway)
    }

    fn down(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.bring_down(std::slice::from_ref(gateway)).into_iter().collect()
    }

    /// One list for all that have not ended yet, again and again.
    fn down_many(&self, gateways: &[Gateway]) -> Vec<Result<(), DriverError>> {
        self.bring_down(gateways)
    }

    /// Deletes the Pod: its process is another node's, and no signal reaches it from here. The StatefulSet makes the next
    /// one once this one has ended, in its stop budget.
    fn kill(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let found = self.look(gateway)?;
        match found.uid() {
            Some(uid) => self.delete_pod(gateway.name(), uid),
            None => Ok(()),
        }
    }

    fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        self.status_of(gateway, &self.look(gateway)?)
    }

    /// Two lists for any number of gateways.
    fn observe_many(
        &self,
        gateways: &[Gateway],
    ) -> Result<Vec<Result<Status, DriverError>>, DriverError> {
        if let [gateway] = gateways {
            return Ok(vec![self.observe(gateway)]);
        }
        let mut all = self.look_at_all()?;
        let found = gateways.iter().map(|gateway| (gateway, all.take(gateway.name()))).collect();
        Ok(parallel::compute(found, |(gateway, found): (&Gateway, _)| {
            self.status_of(gateway, &self.with_files(gateway, found)?)
        }))
    }

    fn recent_deaths(&self, gateway: &Gateway) -> Result<Vec<Timestamp>, DriverError> {
        Ok(self.look(gateway)?.deaths(Timestamp::now()))
    }

    /// The kubelet limits memory and processor time, and has no limit of tasks for a single Pod.
    fn enforces(&self, resource: Resource, _: u64) -> Result<(), DriverError> {
        match resource {
            Resource::Memory | Resource::Cpu | Resource::Files => Ok(()),
            Resource::Tasks => Err(DriverError::new(
                "a Pod has no limit of tasks, and its node has one for each Pod",
            )
            .with_hint("the kubelet's option is `podPidsLimit`")),
        }
    }

    fn logs(&self) -> Option<&dyn Logs> {
        Some(self)
    }

    fn examine(&self, snapshot: &Snapshot) -> Examination {
        self.checks(snapshot)
    }

    /// A Pod sees no more of the root home than its profile.
    fn has_distant_events(&self) -> bool {
        true
    }

    fn record_distant_events(&self, gateways: &[Gateway]) -> Result<(), DriverError> {
        let names: Vec<_> = gateways.iter().map(Gateway::name).collect();
        for (gateway, found) in gateways.iter().zip(self.find(&names)?) {
            self.record_events(gateway.name(), &self.with_files(gateway, found)?);
        }
        Ok(())
    }

    fn changes(&self, _: &Store) -> io::Result<Option<Box<dyn Changes>>> {
        Ok(Some(Box::new(self.watch()?)))
    }

    /// `default` counts as down, so that nobody tries to give it a service.
    fn survey(&self) -> Result<Survey, DriverError> {
        let mut all = self.look_at_all()?;
        let mut survey = Survey::default();
        let default = ProfileName::default_profile();
        let names: BTreeSet<_> = self.registry.list()?.into_iter().chain(all.names()).collect();
        for name in names {
            let gateway = self.gateway(&name);
            let status = self
                .with_files(&gateway, all.take(&name))
                .and_then(|found| Ok((self.status_of(&gateway, &found)?, found.is_wanted())));
            match status {
                Ok((status, is_wanted)) => survey.services.push(fact(status, is_wanted)),
                Err(error) => survey.unreadable.push((name, error.to_string())),
            }
        }
        survey.services.retain(|service| service.profile != default);
        survey.services.push(ServiceFact::idle(default));
        Ok(survey)
    }
}

fn fact(status: Status, is_wanted: bool) -> ServiceFact {
    ServiceFact {
        wanted: if is_wanted { Wanted::Up } else { Wanted::Down },
        running: status.pid.is_some() && status.state != State::Orphan,
        orphaned: status.state == State::Orphan,
        parked: status.state == State::Parked,
        ..ServiceFact::idle(status.profile)
    }
}

/// The intent as a status has it.
pub(crate) fn intent(gateway: &Gateway) -> Option<Intent> {
    Intent::read(gateway.home()).ok()
}

/// The name of the profile's StatefulSet, which its Pod's name begins with.
pub(crate) fn set_name(profile: &ProfileName) -> String {
    object_name(profile)
}

#[cfg(test)]
mod tests;
