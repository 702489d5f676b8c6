//! `gateway.topology: shared`: profiles of the Python agent's that `default`'s gateway serves in its own process.
//!
//! What that gateway records decides. Until it has come up nobody knows whom it serves, and a gateway of a profile's own
//! that is started just then would serve the profile a second time, or be refused by the agent.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Instant;

use super::Supervisor;
use crate::agent::{Locks, Served};
use crate::config::{GatewayKind, Topology};
use crate::driver::{DriverError, During};
use crate::gateway::Gateway;
use crate::manager::ManagerError;
use crate::name::ProfileName;
use crate::reconcile::ByDefault;
use crate::status::{Reason, ReasonKind, State, Status};
use crate::wait::{self, Poll};
use crate::waiting::{Goal, Waiting};

/// What `default`'s gateway serves besides its own profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Others {
    /// Nobody.
    #[default]
    Nobody,
    /// It is coming up.
    Unknown,
    /// These.
    These(BTreeSet<ProfileName>),
}

/// `default`'s gateway, as other profiles see it at one moment. Reads what is needed once, on first use.
pub(super) struct Shared<'a> {
    supervisor: &'a Supervisor,
    pub(super) locks: &'a Locks,
    others: OnceLock<Others>,
    status: OnceLock<Option<Status>>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(supervisor: &'a Supervisor, locks: &'a Locks) -> Self {
        let (others, status) = (OnceLock::new(), OnceLock::new());
        Self { supervisor, locks, others, status }
    }

    /// Whom it serves.
    pub(super) fn others(&self) -> &Others {
        self.others.get_or_init(|| {
            let gateway = self.supervisor.gateway_called(&ProfileName::default_profile());
            match Served::of(self.locks, gateway.home()) {
                Served::Others(names) if names.is_empty() => Others::Nobody,
                Served::Others(names) => Others::These(names),
                Served::Unrecorded if is_shared(&gateway) => Others::Unknown,
                Served::Down if is_shared(&gateway) && self.is_coming_up() => Others::Unknown,
                Served::Unrecorded | Served::Down => Others::Nobody,
            }
        })
    }

    fn is_coming_up(&self) -> bool {
        let coming = [State::Up, State::Starting, State::Backoff];
        self.status().is_some_and(|status| coming.contains(&status.state))
    }

    /// Its status, if that can be read.
    fn status(&self) -> Option<&Status> {
        let read = || {
            let gateway = self.supervisor.gateway_called(&ProfileName::default_profile());
            self.supervisor.observe_alone(self.locks, &gateway).ok()
        };
        self.status.get_or_init(read).as_ref()
    }

    /// What it is to the profile of `gateway`; `None` for one that it has nothing to do with.
    pub(super) fn of(&self, gateway: &Gateway) -> Option<ByDefault> {
        if gateway.name().is_default() {
            return None;
        }
        let by_default = match self.others() {
            Others::Nobody => return None,
            Others::These(names) if !names.contains(gateway.name()) => return None,
            Others::These(_) => ByDefault::Serves,
            Others::Unknown => ByDefault::MayServe,
        };
        is_shared(gateway).then_some(by_default)
    }

    /// The status of `gateway`, whose own service has `status`.
    pub(super) fn completed(&self, status: Status, gateway: &Gateway) -> Status {
        let is_down = matches!(status.state, State::Down | State::Parked | State::Unsupervised);
        let by_default = if is_down { self.of(gateway) } else { None };
        match (by_default, self.status_if(by_default)) {
            (Some(ByDefault::Serves), Some(server)) => status.served(server),
            (Some(by_default), _) if status.state == State::Down && status.is_wanted() => {
                let text = by_default.why().to_owned();
                Status { reason: Some(Reason { kind: ReasonKind::Served, text }), ..status }
            }
            _ => status,
        }
    }

    fn status_if(&self, by_default: Option<ByDefault>) -> Option<&Status> {
        by_default.and_then(|_| self.status())
    }
}

/// Whether the profile's gateway is the agent's, and is left to it.
fn is_shared(gateway: &Gateway) -> bool {
    let config = gateway.loaded().map(|loaded| &loaded.gateway);
    config.is_ok_and(|config| {
        config.kind == GatewayKind::HermesAgent && config.topology == Topology::Shared
    })
}

impl Supervisor {
    /// Whether `default`'s gateway may serve other profiles, so that it is started before them.
    pub fn default_is_shared(&self) -> bool {
        is_shared(&self.gateway_called(&ProfileName::default_profile()))
    }

    /// Whether `default`'s gateway serves the profile. Blocks while it is coming up, at most for the store's timeout,
    /// after which the answer is an error.
    pub fn is_served(&self, name: &ProfileName) -> Result<bool, ManagerError> {
        let gateway = self.gateway(name).map_err(DriverError::from);
        let by_default = gateway.and_then(|gateway| self.await_default(&gateway));
        let by_default = by_default.during("find out whom `default`'s gateway serves")?;
        Ok(by_default == Some(ByDefault::Serves))
    }

    /// Blocks while `default`'s gateway is coming up, at most for the store's timeout.
    pub(super) fn await_others(&self) {
        let _ = wait::until(Instant::now() + self.store.timeout(), || {
            let others = Shared::new(self, &Locks::default()).others().clone();
            Ok::<_, Infallible>(if others == Others::Unknown { Poll::Wait } else { Poll::Done(()) })
        });
    }

    /// What `default`'s gateway is to the profile now.
    pub(super) fn by_default(&self, gateway: &Gateway) -> Option<ByDefault> {
        Shared::new(self, &Locks::default()).of(gateway)
    }

    /// What `default`'s gateway is to the profile once it has come up.
    pub(super) fn await_default(
        &self,
        gateway: &Gateway,
    ) -> Result<Option<ByDefault>, DriverError> {
        let timeout = self.store.timeout();
        let deadline = Instant::now() + timeout;
        let _waiting = Waiting::begin(Goal::Default(gateway.name().clone()), deadline);
        let known = wait::until(deadline, || {
            Ok::<_, DriverError>(match self.by_default(gateway) {
                Some(ByDefault::MayServe) => Poll::Wait,
                by_default => Poll::Done(by_default),
            })
        })?;
        known.ok_or_else(|| {
            DriverError::timed_out(timeout, ByDefault::MayServe.why())
                .with_hint("`hermes gateway status default` shows it")
        })
    }
}
