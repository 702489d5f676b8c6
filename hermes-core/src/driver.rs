//! The trait [`Driver`]: the primitives of a backend, for one gateway and for many.
//!
//! A backend is a driver of primitives. The sequences over them (lock, settle an interrupted rename, claim
//! the port, record the intent, act, observe) are written once, in [`Supervisor`](crate::Supervisor), and
//! are the same under every backend.
//!
//! `hermes-cli/examples/custom_backend.rs` is a complete backend in one file.

mod environment;
mod error;
mod none;
pub mod startup;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::changes::Changes;
use crate::config::Resource;
use crate::detect::Facts;
use crate::diagnostics::{Examination, Snapshot};
use crate::gateway::Gateway;
use crate::kind::Kind;
use crate::log::Logs;
use crate::name::ProfileName;
use crate::parallel;
use crate::reconcile::{Outcome, Survey, Suspended};
use crate::status::Status;
use crate::store::Store;

pub use environment::{Backend, Environment};
pub use error::{Cause, DriverError, LastLine, UP};
pub use none::NoDriver;

pub use crate::error_class::Class;
pub use crate::manager::During;

/// How many gateways are brought down at the same time by a backend that brings each down by itself.
const AT_ONCE: usize = 8;

/// How long a service exists, and which command creates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Services are registered while the machine runs and gone after its restart, when
    /// [`Supervisor::boot`](crate::Supervisor::boot) creates them again: `gateway register`.
    Registered,
    /// Services are installed for this and every later start of the machine: `gateway install`.
    Installed,
    /// The backend has no services.
    Unsupported,
}

/// How a service is created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Variables for the gateway's environment. Keys are shell identifiers, values have no NUL byte.
    pub extra_env: BTreeMap<String, String>,
    /// Whether a new service comes up, without being waited for. A backend of [`Lifetime::Registered`] starts
    /// it, and one of [`Lifetime::Installed`], which starts it later, implements
    /// [`request_up`](Driver::request_up). Without effect on a service that exists.
    pub up: bool,
}

/// A backend: the primitives that [`Supervisor`](crate::Supervisor) composes.
///
/// # Writing one
///
/// A backend of [`Lifetime::Installed`] implements the methods without a provided implementation, and
/// [`request_up`](Self::request_up); one of
/// [`Lifetime::Registered`] implements [`survey`](Self::survey), too, so that `hermes boot` finds its services.
/// Drivers share [`startup`] (waiting for a gateway, ending its processes, messages), [`restart`](crate::restart)
/// (when to park a gateway), [`process_lock`](crate::process_lock) (the gateway's process) and
/// [`wait`](crate::wait). The conformance suite, `tests/src/suite.rs`, tests the result through the
/// program.
///
/// # Obligations
///
/// - **Locks.** The caller holds the profile's lock ([`RootHome::profile_lock`](crate::RootHome::profile_lock))
///   during every primitive that changes something, and keeps it until the whole sequence is done. A driver
///   may take locks of its own inside a primitive, never another profile's.
/// - **Time.** Every primitive returns by a deadline that the driver was built with. One that passes is an
///   error of the class [`Class::TimedOut`].
/// - **Truth.** A primitive returns success when the effect was observed, not when it was requested: `up`
///   when the gateway is ready, `down` when no process of it is left, `create` when the supervisor has the
///   service, `remove` when the supervisor has let it go.
/// - **Undo.** A primitive that fails leaves nothing half-made that the next call of the same primitive
///   does not complete or replace.
/// - **Intent and port.** A driver neither reads nor writes the intent in order to decide, and passes no
///   port on: the gateway reads both in its own home.
/// - **Errors** carry the cause and a hint. The caller adds the operation.
///
/// Primitives for many gateways have provided implementations, which a backend overrides if it can do better.
pub trait Driver: fmt::Debug + Send + Sync {
    /// Whether the backend is in charge of a machine with these facts. Pure: it looks at nothing else.
    fn detect(facts: &Facts) -> bool
    where
        Self: Sized;

    /// The driver for the gateways of this environment, whether its supervisor answers or not. Starts no
    /// process and changes nothing.
    fn connect(environment: &Environment) -> Result<Self, DriverError>
    where
        Self: Sized;

    /// The name of the backend.
    fn kind(&self) -> Kind;

    /// How long its services exist.
    fn lifetime(&self) -> Lifetime;

    /// Fails if the supervisor does not answer, or runs another home's gateways. Changes nothing, does not wait.
    fn reach(&self) -> Result<(), DriverError> {
        Ok(())
    }

    /// Refuses every change to a service if another supervisor runs the gateways of this home, as in a second
    /// container on one volume. Changes nothing, does not wait.
    fn check_owner(&self) -> Result<(), DriverError> {
        Ok(())
    }

    /// Refuses a name that can't have a service, or a profile that can't have one here, before it is created.
    /// Changes nothing, does not wait.
    fn check_name(&self, _profile: &ProfileName) -> Result<(), DriverError> {
        Ok(())
    }

    /// Whether the process IDs in statuses are those of this machine's processes, as this process sees them. Pure.
    fn has_processes_here(&self) -> bool {
        true
    }

    /// Whether the profile can have a gateway here at all. A command for all profiles leaves one out that can't; a command
    /// that names it is refused by [`check`](Self::check). Pure.
    fn can_run(&self, _profile: &ProfileName) -> bool {
        true
    }

    /// Refuses a change to the profile's service that this process may not make: the supervisor runs another
    /// home's gateways, or belongs to another user. `command` is the command line that does it
    /// (`gateway start coder`), for the hint. Changes nothing, does not wait; no lock is held yet.
    fn check(&self, _profile: &ProfileName, _command: &str) -> Result<(), DriverError> {
        Ok(())
    }

    /// Refuses to replace a service that a newer version of Hermes made, in a format that this one does not know. Removing it
    /// is allowed. Changes nothing, does not wait.
    fn check_replaceable(&self, _profile: &ProfileName) -> Result<(), DriverError> {
        Ok(())
    }

    /// The variables that the profile's service was created with: [`CreateOptions::extra_env`]. Empty without a service, and
    /// under a backend of [`Lifetime::Installed`], which is given none. Does not wait.
    fn extra_env(&self, _profile: &ProfileName) -> Result<BTreeMap<String, String>, DriverError> {
        Ok(BTreeMap::new())
    }

    /// Whether the profile has a service, whole or not. Does not wait.
    fn exists(&self, profile: &ProfileName) -> Result<bool, DriverError>;

    /// The profiles that have a service, sorted, whether the profiles still exist or not. Does not wait.
    fn list(&self) -> Result<Vec<ProfileName>, DriverError>;

    /// Creates the gateway's service, or brings one that exists up to date with its profile; one that can't
    /// be changed while its gateway runs may stay as it is, with `current` unset in [`survey`](Self::survey).
    /// Idempotent. Blocks until the supervisor has it. A failure leaves no new service behind.
    fn create(&self, gateway: &Gateway, options: &CreateOptions) -> Result<(), DriverError>;

    /// [`create`](Self::create) of many services at the same time, with the outcome of each in their order. A backend that
    /// has to notify its supervisor does so once for all of them. Uses a few descriptors and a thread for each.
    fn create_many(&self, services: &[(&Gateway, &CreateOptions)]) -> Vec<Result<(), DriverError>> {
        let create =
            |(gateway, options): &(&Gateway, &CreateOptions)| self.create(gateway, options);
        parallel::map(services.iter().collect(), AT_ONCE, create)
    }

    /// Stops the gateway, removes its service and blocks until no process of either is left. Idempotent:
    /// success without a service, whether the profile exists or not.
    fn remove(&self, gateway: &Gateway) -> Result<(), DriverError>;

    /// [`remove`](Self::remove) of many services at the same time, as [`down_many`](Self::down_many).
    fn remove_many(&self, gateways: &[Gateway]) -> Vec<Result<(), DriverError>> {
        parallel::map(gateways.iter().collect(), AT_ONCE, |gateway| self.remove(gateway))
    }

    /// Brings the gateway up, whose service exists, and blocks until it is ready, or has stayed up for a
    /// second if it never reports readiness. A gateway that is parked or waits after a death is started
    /// at once. A death on the way is an error at once, although the supervisor tries again. Idempotent.
    fn up(&self, gateway: &Gateway) -> Result<(), DriverError>;

    /// Requests that the gateway comes up, without waiting, if [`create`](Self::create) does not do so: see
    /// [`CreateOptions::up`].
    fn request_up(&self, _gateway: &Gateway) -> Result<(), DriverError> {
        Ok(())
    }

    /// Brings the gateway down and blocks until no process of it is left, those included that no
    /// supervisor knows; what still runs at the end of its stop budget is killed. It stays down, and is
    /// not parked any more. Idempotent: success without a service.
    fn down(&self, gateway: &Gateway) -> Result<(), DriverError>;

    /// [`down`](Self::down) of many gateways at the same time, with the outcome of each in their order. A backend that looks
    /// at the machine's processes does so once for all of them. Uses a few descriptors and a thread for each.
    fn down_many(&self, gateways: &[Gateway]) -> Vec<Result<(), DriverError>> {
        parallel::map(gateways.iter().collect(), AT_ONCE, |gateway| self.down(gateway))
    }

    /// Kills the process of a gateway that is up and does not answer, without waiting. This is no stop: it counts
    /// as a death, after which the gateway starts again.
    fn kill(&self, _gateway: &Gateway) -> Result<(), DriverError> {
        let kind = self.kind();
        Err(DriverError::unreachable(format!("{kind} does not end gateways that do not answer")))
    }

    /// The gateway's status now. Changes nothing, does not wait. A profile without a service is
    /// `unsupervised`.
    fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError>;

    /// The status of many gateways, in their order. The outer error concerns all of them.
    fn observe_many(
        &self,
        gateways: &[Gateway],
    ) -> Result<Vec<Result<Status, DriverError>>, DriverError> {
        Ok(parallel::compute(gateways.iter().collect(), |gateway| self.observe(gateway)))
    }

    /// Which of `gateways` have a process now. One that can't be observed counts as without. Does not wait.
    fn running(&self, gateways: &[Gateway]) -> Result<Vec<ProfileName>, DriverError> {
        let statuses = self.observe_many(gateways)?.into_iter().flatten();
        Ok(statuses.filter(|status| status.pid.is_some()).map(|status| status.profile).collect())
    }

    /// The times at which the gateway died in the last hour without a request, oldest first, as far as the
    /// backend keeps the times. Changes nothing, does not wait.
    fn recent_deaths(&self, _gateway: &Gateway) -> Result<Vec<Timestamp>, DriverError> {
        Ok(Vec::new())
    }

    /// Whether `limit` of `gateway.resources` has an effect on the gateways of this backend, on this machine; the
    /// error says why not, and its hint what has to change. The gateway's process applies [`Resource::Files`] itself.
    /// Changes nothing, does not wait.
    fn enforces(&self, resource: Resource, _limit: u64) -> Result<(), DriverError> {
        match resource {
            Resource::Files => Ok(()),
            _ => Err(DriverError::new(format!("{} does not limit it", self.kind()))),
        }
    }

    /// The gateways' logs, if the backend keeps them. `None` if they are files in the root home.
    fn logs(&self) -> Option<&dyn Logs> {
        None
    }

    /// Watches the gateways of `store`, if the backend supports it.
    fn changes(&self, _store: &Store) -> io::Result<Option<Box<dyn Changes>>> {
        Ok(None)
    }

    /// Whether gateways run where they can't write to the journal of events ([`events`](crate::events)). Pure.
    fn has_distant_events(&self) -> bool {
        false
    }

    /// Records in the journal what happened to `gateways` that it does not have, if they can't do so themselves: each event
    /// once, whoever calls this. Does not wait.
    fn record_distant_events(&self, _gateways: &[Gateway]) -> Result<(), DriverError> {
        Ok(())
    }

    /// Checks what the backend needs on this machine, and its services of the gateways in `snapshot`, which
    /// was made for the same home. Changes nothing, does not wait, and starts no gateway.
    ///
    /// The checks of [`doctor`](crate::doctor) are made for every backend, and are not repeated here: homes,
    /// configurations, ports, and gateways that are orphans, parked, crashing, or in a state that differs
    /// from the intent. A check that can't be made returns its reason as [`Severity::Unknown`]; if
    /// [`Snapshot::services`] is an error, that is the reason of every check that needs the services. Each check has a name
    /// of its own, and each fault is found by one check alone. A remedy that is a command of `hermes`
    /// comes from [`Snapshot::command_line`].
    ///
    /// [`Severity::Unknown`]: crate::diagnostics::Severity::Unknown
    fn examine(&self, _snapshot: &Snapshot) -> Examination {
        Examination::default()
    }

    /// Whether the next process of the gateway may use a home that other users may write to, as far as the environment
    /// of the supervisor can be read. A backend that passes this process's permission on returns true. Does not wait.
    fn allows_open_homes(&self, _profile: &ProfileName) -> bool {
        true
    }

    /// All services, and the leftovers of interrupted commands, for the plan of
    /// [`Supervisor::boot`](crate::Supervisor::boot). Changes nothing, does not wait. A backend that installs
    /// its services brings up wanted gateways without a boot, and refuses.
    fn survey(&self) -> Result<Survey, DriverError> {
        let kind = self.kind();
        Err(DriverError::unreachable(format!("{kind} brings up by itself what is wanted"))
            .with_hint("`hermes gateway status --all` shows what it did"))
    }

    /// The part of [`survey`](Self::survey) that concerns `profile`, without what lies beside. Changes nothing, does not
    /// wait.
    fn survey_of(&self, profile: &ProfileName) -> Result<Survey, DriverError> {
        let mut survey = self.survey()?;
        survey.services.retain(|service| service.profile == *profile);
        survey.unreadable.retain(|(unreadable, _)| unreadable == profile);
        survey.unregistered.retain(|unregistered| unregistered == profile);
        Ok(Survey { leftovers: Vec::new(), suspended: Vec::new(), ..survey })
    }

    /// The part of [`survey`](Self::survey) that lies beside the services: leftovers that are not in one, and suspended
    /// processes. Changes nothing, does not wait.
    fn survey_beside(&self) -> Result<Survey, DriverError> {
        Ok(Survey::default())
    }

    /// Notes that the operator had the service removed: [`Survey::unregistered`] names it until
    /// [`create`](Self::create) creates it again, or until the supervisor ends. Idempotent.
    fn keep_removed(&self, _profile: &ProfileName) -> Result<(), DriverError> {
        Ok(())
    }

    /// Notes that the operator had the gateway stopped, whose intent could not be recorded: [`Survey`] names its
    /// service as held down until the next [`up`](Self::up) or [`down`](Self::down). Needs no free space. Idempotent.
    fn hold_down(&self, _profile: &ProfileName) -> Result<(), DriverError> {
        Ok(())
    }

    /// Ends a logger that outlived its supervisor, and blocks until it has ended, so that the next one logs. No line is
    /// lost. Idempotent.
    fn replace_logger(&self, _profile: &ProfileName) -> Result<(), DriverError> {
        Ok(())
    }

    /// Resumes a process of [`Survey::suspended`]; whether it was still suspended. Does not wait.
    fn resume(&self, _suspended: &Suspended) -> Result<bool, DriverError> {
        Ok(false)
    }

    /// Takes the lock of the home again if this tree has lost it, as when its file was removed: another tree would start
    /// on the home. Whether it was lost. For the process that runs the tree. Does not wait.
    fn hold_home(&self) -> Result<bool, DriverError> {
        Ok(false)
    }

    /// Removes a leftover of a [`Survey`] unless a command is using it. Blocks until no process of it is left. Idempotent.
    fn clear(&self, _path: &Path) -> Result<(), DriverError> {
        Ok(())
    }

    /// Whether no process runs in the leftover at `path` and no command is using it. Does not wait.
    fn is_abandoned(&self, _path: &Path) -> bool {
        true
    }

    /// Whether this process is shutting down the tree, and starts nothing new.
    fn is_shutting_down(&self) -> bool {
        false
    }

    /// Records the outcomes of a boot, which took `elapsed`, if the backend keeps a boot log.
    fn record_boot(&self, _outcomes: &[Outcome], _elapsed: Duration) -> io::Result<()> {
        Ok(())
    }

    /// How long the first boot of the tree took, if the backend keeps a boot log.
    fn boot_duration(&self) -> Result<Option<Duration>, DriverError> {
        Ok(None)
    }
}
