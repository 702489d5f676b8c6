//! Start, stop, restart, status.

use std::time::Duration;

use jiff::Timestamp;

use super::port_clash::NamedPorts;
use super::shared::Shared;
use super::{Supervisor, foreign};
use crate::agent::Locks;
use crate::config::ConfigError;
use crate::driver::{CreateOptions, DriverError, During, startup};
use crate::error_chain::{in_one_line, is_denied};
use crate::events::What;
use crate::gateway::Gateway;
use crate::health;
use crate::intent::{Intent, IntentError};
use crate::kind::Kind;
use crate::lock::Lock;
use crate::manager::{ManagerError, ServiceManager};
use crate::name::ProfileName;
use crate::parallel;
use crate::process_lock::holder;
use crate::reconcile::ByDefault;
use crate::status::{ReasonKind, State, Status};

impl Supervisor {
    /// `named` has the ports that profiles name, if they were read for many starts.
    pub(super) fn start_gateway(
        &self,
        name: &ProfileName,
        named: Option<&NamedPorts>,
    ) -> Result<Status, DriverError> {
        let (gateway, _lock) = self.begin(name, &format!("gateway start {name}"))?;
        self.refuse_open(&gateway)?;
        self.refuse_foreign(&gateway)?;
        if self.await_default(&gateway)? == Some(ByDefault::Serves) {
            return self.start_served(&gateway);
        }
        let _port = self.claim_port_of(&gateway, named, self.store.timeout())?;
        // A start that is refused changes no intent.
        self.replaceable_orphan(&gateway)?;
        Intent::Running.write(gateway.home())?;
        self.record(name, What::Requested, "start");
        self.create_and_bring_up(&gateway)?;
        self.observe(&gateway)
    }

    /// The start of a gateway whose profile `default`'s serves: the intent counts once that serves it no longer.
    fn start_served(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        Intent::Running.write(gateway.home())?;
        self.record(gateway.name(), What::Requested, "start");
        self.stand_down(gateway)?;
        let status = self.observe(gateway)?;
        match status.reason.as_ref().filter(|_| !status.is_healthy()) {
            Some(reason) => Err(DriverError::new(reason.text.clone())
                .with_hint("`hermes gateway restart default` restarts that one")),
            None => Ok(status),
        }
    }

    /// Creates the service of a gateway whose profile `default`'s serves, and keeps it down.
    pub(super) fn stand_down(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.driver.create(gateway, &CreateOptions::default())?;
        self.driver.down(gateway)?;
        startup::require_ended(gateway)
    }

    fn stop_gateway(&self, name: &ProfileName) -> Result<Status, DriverError> {
        let (gateway, _lock) = self.begin(name, &format!("gateway stop {name}"))?;
        let recorded = self.request_stop(&gateway)?;
        self.driver.down(&gateway)?;
        self.conclude_stop(&gateway, recorded)?;
        self.observe(&gateway)
    }

    /// The first half of a stop: records the intent. The inner error is one that does not keep the gateway from being
    /// brought down: the one that fills the disk must be one that can be stopped.
    pub(super) fn request_stop(
        &self,
        gateway: &Gateway,
    ) -> Result<Result<(), IntentError>, DriverError> {
        match Intent::Stopped.write(gateway.home()) {
            // Another user's gateway.
            Err(error) if is_denied(&error) => Err(error.into()),
            Err(error) => Ok(Err(error)),
            Ok(()) => {
                self.record(gateway.name(), What::Requested, "stop");
                Ok(Ok(()))
            }
        }
    }

    /// The second half of a stop, of a gateway that was brought down.
    pub(super) fn conclude_stop(
        &self,
        gateway: &Gateway,
        recorded: Result<(), IntentError>,
    ) -> Result<(), DriverError> {
        startup::require_ended(gateway)?;
        let name = gateway.name();
        if let Err(error) = recorded {
            return Err(stopped_for_now(name, error, self.driver.hold_down(name)));
        }
        self.record(name, What::Stopped, "");
        // One that runs outside of any supervisor still does.
        self.refuse_foreign(gateway)
    }

    /// `named` as for [`start_gateway`](Self::start_gateway).
    pub(super) fn restart_gateway(
        &self,
        name: &ProfileName,
        named: Option<&NamedPorts>,
    ) -> Result<Status, DriverError> {
        let (gateway, _held) = self.begin_restart(name, named, self.store.timeout())?;
        self.driver.down(&gateway)?;
        self.conclude_restart(&gateway)
    }

    /// The first half of a restart: refuses one that would not come up again, and records the intent. Whatever becomes of
    /// this process after that, the tree brings the gateway up. Waits at most `timeout` for each lock of another command.
    /// The locks of the profile and of its port are to be held until the outcome was observed.
    pub(super) fn begin_restart(
        &self,
        name: &ProfileName,
        named: Option<&NamedPorts>,
        timeout: Duration,
    ) -> Result<(Gateway, (Lock, Option<Lock>)), DriverError> {
        let (gateway, lock) =
            self.begin_within(timeout, name, &format!("gateway restart {name}"))?;
        self.refuse_open(&gateway)?;
        // A gateway that runs is left alone if the next one would refuse its configuration.
        gateway.loaded().map_err(refused)?;
        self.refuse_foreign(&gateway)?;
        if self.await_default(&gateway)? == Some(ByDefault::Serves) {
            let hint =
                "`hermes gateway restart default` restarts it for every profile that it serves";
            return Err(DriverError::new(ByDefault::Serves.why()).with_hint(hint));
        }
        let port = self.claim_port_of(&gateway, named, timeout)?;
        self.require_here(&gateway)?;
        Intent::Running.write(gateway.home())?;
        self.record(name, What::Requested, "restart");
        // A service that can't be created is an error before the gateway is stopped.
        self.driver.create(&gateway, &CreateOptions::default())?;
        Ok((gateway, (lock, port)))
    }

    /// The second half of a restart, of a gateway that was brought down.
    pub(super) fn conclude_restart(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        startup::require_ended(gateway)?;
        self.record(gateway.name(), What::Stopped, "");
        self.with_last_line(gateway, || self.driver.up(gateway))?;
        self.observe(gateway)
    }

    /// Starts a gateway whose profile is locked, with its service if it has none. An orphan is ended first: it would
    /// keep the supervised gateway from its lock. One that `default`'s gateway serves, or may serve, stays down.
    pub(super) fn create_and_bring_up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.refuse_foreign(gateway)?;
        if self.by_default(gateway).is_some() {
            return self.driver.create(gateway, &CreateOptions::default());
        }
        if let Some(pid) = self.replaceable_orphan(gateway)? {
            let name = gateway.name();
            log::warn!("the gateway of `{name}` runs as process {pid}, unsupervised; ending it");
            self.driver.down(gateway)?;
            startup::require_ended(gateway)?;
        }
        // A new service starts its gateway as soon as it is supervised.
        self.with_last_line(gateway, || {
            self.driver.create(gateway, &CreateOptions { up: true, ..CreateOptions::default() })?;
            self.driver.up(gateway)
        })
    }

    /// The process of a gateway that is an orphan; within, `None` for one that runs elsewhere.
    fn orphan(&self, gateway: &Gateway) -> Result<Option<Option<u32>>, DriverError> {
        if holder(&gateway.home().gateway_lock())?.is_none() {
            return Ok(None);
        }
        let status = self.driver.observe(gateway)?;
        Ok((status.state == State::Orphan).then_some(status.pid))
    }

    /// The process of an orphan that a start replaces. Refuses one that runs elsewhere, and one whose successor would
    /// refuse its configuration.
    pub(super) fn replaceable_orphan(&self, gateway: &Gateway) -> Result<Option<u32>, DriverError> {
        match self.orphan(gateway)? {
            Some(Some(pid)) => gateway.loaded().map(|_| Some(pid)).map_err(refused),
            Some(None) => Err(startup::runs_elsewhere(gateway)),
            None => Ok(None),
        }
    }

    /// Refuses to create a service that is up beside an orphan, without waiting: it would keep the supervised gateway from its lock.
    pub(super) fn refuse_orphan(&self, gateway: &Gateway) -> Result<(), DriverError> {
        match self.orphan(gateway)? {
            Some(Some(pid)) => Err(startup::runs_already(gateway, pid)),
            Some(None) => Err(startup::runs_elsewhere(gateway)),
            None => Ok(()),
        }
    }

    /// Refuses a gateway that runs elsewhere, where no command can end it.
    pub(super) fn require_here(&self, gateway: &Gateway) -> Result<(), DriverError> {
        match self.orphan(gateway)? {
            Some(None) => Err(startup::runs_elsewhere(gateway)),
            _ => Ok(()),
        }
    }

    /// As [`ServiceManager::status`], for a gateway whose configuration may have been read before.
    pub fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        let locks = Locks::default();
        let mut status = self.observe_alone(&locks, gateway)?;
        self.explain_ports([&mut status]);
        Ok(Shared::new(self, &locks).completed(status, gateway))
    }

    /// The status of a gateway without what other gateways are to it.
    pub(super) fn observe_alone(
        &self,
        locks: &Locks,
        gateway: &Gateway,
    ) -> Result<Status, DriverError> {
        Ok(completed(locks, self.driver.observe(gateway)?, gateway))
    }

    /// As [`ServiceManager::statuses`], for gateways whose configurations may have been read before. The
    /// result has their order.
    pub fn observe_many(
        &self,
        gateways: &[Gateway],
    ) -> Result<Vec<Result<Status, DriverError>>, DriverError> {
        let observed = self.driver.observe_many(gateways)?.into_iter().zip(gateways).collect();
        let locks = Locks::default();
        let mut statuses =
            parallel::compute(observed, |(status, gateway): (Result<_, DriverError>, _)| {
                status.map(|status| completed(&locks, status, gateway))
            });
        self.explain_ports(statuses.iter_mut().flatten());
        let shared = Shared::new(self, &locks);
        let with_gateways = statuses.into_iter().zip(gateways);
        Ok(with_gateways
            .map(|(status, gateway)| status.map(|status| shared.completed(status, gateway)))
            .collect())
    }
}

/// Why a gateway with an invalid `config.yaml` is not restarted.
pub(super) fn refused(error: &ConfigError) -> DriverError {
    let refused = DriverError::new(in_one_line(error));
    match error.hint() {
        Some(hint) => refused.with_hint(hint),
        None => refused,
    }
}

/// The error of a gateway that was stopped although its intent could not be recorded. `held`: it stays down under
/// this tree.
fn stopped_for_now(
    name: &ProfileName,
    error: IntentError,
    held: Result<(), DriverError>,
) -> DriverError {
    let until = match held {
        Ok(()) => "comes back at the next start of the tree".to_owned(),
        Err(error) => format!("`hermes up` may start it again ({})", in_one_line(&error)),
    };
    let hint = format!(
        "the gateway is down now and {until}; `hermes gateway stop {name}` records the intent once the file can be \
         written"
    );
    DriverError::from(error).with_hint(hint)
}

/// The status with what the gateway's configuration runs and the port that it names, and the reason why it is not healthy.
fn completed(locks: &Locks, status: Status, gateway: &Gateway) -> Status {
    let mut status = foreign::completed(locks, status, gateway);
    status.kind = gateway.loaded().ok().map(|loaded| loaded.gateway.kind);
    status.port = gateway.port().ok().flatten();
    let kind = match status.state {
        State::Starting => ReasonKind::Starting,
        State::Up if gateway.may_be_asked() => ReasonKind::Unresponsive,
        _ => return status.explained(),
    };
    let recorded = status.pid.and_then(|pid| health::reason(gateway.home(), pid));
    status.reason = status.reason.or(recorded.filter(|reason| reason.kind == kind));
    status
}

impl ServiceManager for Supervisor {
    fn kind(&self) -> Kind {
        self.driver.kind()
    }

    fn start(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        self.start_gateway(name, None).during(&starting(name))
    }

    fn stop(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        self.stop_gateway(name).during(&format!("stop the gateway of `{name}`"))
    }

    fn restart(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        self.restart_gateway(name, None).during(&restarting(name))
    }

    fn status(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let status = self.gateway(name).map_err(DriverError::from);
        let status = status.and_then(|gateway| self.observe(&gateway));
        status.during(&reading(name))
    }

    fn statuses(
        &self,
        names: &[ProfileName],
    ) -> Result<Vec<Result<Status, ManagerError>>, ManagerError> {
        let found = parallel::compute(names.iter().collect(), |name| self.gateway(name));
        let mut gateways = Vec::new();
        let missing: Vec<_> = found
            .into_iter()
            .map(|gateway| gateway.map(|gateway| gateways.push(gateway)).err())
            .collect();
        let statuses = self.observe_many(&gateways).during("read the status of the gateways")?;
        let mut statuses = statuses.into_iter();
        let of_each = names.iter().zip(missing).filter_map(|(name, missing)| {
            let status = match missing {
                Some(error) => Err(DriverError::from(error)),
                None => statuses.next()?,
            };
            Some(status.during(&reading(name)))
        });
        Ok(of_each.collect())
    }

    fn recent_deaths(&self, name: &ProfileName) -> Result<Vec<Timestamp>, ManagerError> {
        let deaths = self.gateway(name).map_err(DriverError::from);
        let deaths = deaths.and_then(|gateway| self.driver.recent_deaths(&gateway));
        deaths.during(&format!("read the deaths of `{name}`"))
    }
}

pub(super) fn starting(name: &ProfileName) -> String {
    format!("start the gateway of `{name}`")
}

pub(super) fn restarting(name: &ProfileName) -> String {
    format!("restart the gateway of `{name}`")
}

fn reading(name: &ProfileName) -> String {
    format!("read the status of `{name}`")
}
