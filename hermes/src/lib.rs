//! Supervises the gateways of agent profiles under whichever service manager is in charge: s6, systemd or
//! launchd.
//!
//! ```no_run
//! use hermes::Hermes;
//!
//! fn main() -> Result<(), hermes::Error> {
//!     let status = Hermes::detect()?.gateway("coder")?.start()?;
//!     println!("coder is {} as process {:?}", status.state, status.pid);
//!     Ok(())
//! }
//! ```
//!
//! [`Hermes::detect`] picks home and backend exactly as the program `hermes` does, which uses this crate. A
//! program with its own backend passes it to [`Hermes::with`], or to the command line in `hermes_cli::Cli`, like
//! `hermes-cli/examples/custom_backend.rs`.
//!
//! | module | what it does |
//! |---|---|
//! | [`backends`] | the built-in backends, and the choice of the one in charge |
//! | `environment` | the only file that reads environment variables |
//! | `gateway` | one profile's gateway: start, stop, restart, status |
//! | [`doctor`] | all checks of this machine, and the repairs |
//! | [`view`] | gateways, profiles and errors as JSON |
//! | `trees` | queries about trees of s6, whichever backend is in charge |
//! | `role` | whether another machine or container runs the gateways |

mod advice;
pub mod backends;
pub mod doctor;
mod environment;
mod error;
mod gateway;
mod role;
mod trees;
pub mod view;

use std::path::PathBuf;
use std::time::Duration;

use hermes_core::agent::{self, NoProgram, Program};
use hermes_core::detect::Facts;
use hermes_core::driver::{Backend, Environment, NoDriver};
use hermes_core::home::env;
use hermes_core::log::{LogFiles, Logs};
use hermes_core::shell::quote_path;
use hermes_core::{Kind, ProfileName, RootHome, Store, Supervisor, fsutil, settings};

pub use environment::{local_zone, text, variable};
pub use error::Error;
pub use gateway::Gateway;
pub use hermes_core as core;
pub use hermes_host as host;
#[cfg(feature = "kubernetes")]
pub use hermes_kube as kube;
#[cfg(target_os = "linux")]
pub use hermes_s6 as s6;
pub use role::is_client;

/// Settings of the caller, which override the environment.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The s6 scan directory (`HERMES_SCANDIR`).
    pub scandir: Option<PathBuf>,
    /// Whether to use the system's service manager instead of the user's own.
    pub system: bool,
    /// The timeout of every operation.
    pub timeout: Option<Duration>,
}

/// The gateways of one home under the backend in charge.
#[derive(Debug, Clone)]
pub struct Hermes {
    settings: Settings,
    environment: Environment,
    backends: Vec<Backend>,
    store: Store,
    home_profile: Option<ProfileName>,
}

impl Hermes {
    /// Detects home and backend from the environment, like the program `hermes` without options. Reads
    /// environment variables and a few files; starts no process and changes nothing.
    pub fn detect() -> Result<Self, Error> {
        Self::with(Settings::default(), &[])
    }

    /// [`detect`](Self::detect) with settings and additional backends, which precede the built-in ones.
    pub fn with(settings: Settings, backends: &[Backend]) -> Result<Self, Error> {
        Self::gather(settings, [backends, backends::BUILT_IN].concat())
    }

    /// Detects home and backend again with the same settings: another backend may be in charge by now.
    pub fn again(&self) -> Result<Self, Error> {
        Self::gather(self.settings.clone(), self.backends.clone())
    }

    fn gather(settings: Settings, backends: Vec<Backend>) -> Result<Self, Error> {
        let (environment, home_profile) = environment::gather(&settings)?;
        if environment.facts.requested.as_deref() == Some(env::BACKEND_KUBERNETES) {
            // A gateway's Pod sees its own home alone, and this process all of them.
            fsutil::confine(environment.root.profiles());
        }
        let open = environment::allows_open_homes(&environment);
        let store = Store::new(environment.root.clone()).with_open_homes(open);
        let store = match settings.timeout {
            Some(timeout) => store.with_timeout(timeout),
            None => store,
        };
        Ok(Self { settings, environment, backends, store, home_profile })
    }

    /// The store of profiles.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The root home.
    pub fn root(&self) -> &RootHome {
        self.store.root()
    }

    /// The facts that detection used.
    pub fn facts(&self) -> &Facts {
        &self.environment.facts
    }

    /// The environment for drivers.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The profile whose home `HERMES_HOME` is.
    pub fn home_profile(&self) -> Option<&ProfileName> {
        self.home_profile.as_ref()
    }

    /// The default profile of commands: the one whose home `HERMES_HOME` is, else the one chosen with
    /// `hermes profile use`, else `default`.
    pub fn profile(&self) -> Result<ProfileName, Error> {
        match &self.home_profile {
            Some(profile) => Ok(profile.clone()),
            None => Ok(self.store.active()?.unwrap_or_else(ProfileName::default_profile)),
        }
    }

    /// The Python agent's program of `profile`, as its gateway finds it. A configuration that can't be used names none:
    /// the agent's own commands may be what mends it.
    pub fn agent(&self, profile: &ProfileName) -> Result<Program, NoProgram> {
        let home = self.root().profile(profile);
        let configured = settings::load(&home).ok().and_then(|loaded| loaded.gateway.program);
        agent::find(&environment::places_of_agent(&home, configured.as_deref()))
    }

    /// The kind of the backend in charge; [`Kind::NONE`] if there is none.
    pub fn kind(&self) -> Result<Kind, Error> {
        Ok(self.backend()?.kind)
    }

    /// The backend in charge, or one without services.
    fn backend(&self) -> Result<Backend, Error> {
        let backend = backends::in_charge(&self.backends, self.facts())?.copied();
        Ok(backend.unwrap_or(Backend::of::<NoDriver>(Kind::NONE)))
    }

    /// The operations of the backend in charge. Its supervisor need not answer. An error if another machine
    /// or container runs the gateways.
    pub fn supervisor(&self) -> Result<Supervisor, Error> {
        self.refuse_client()?;
        self.connect()
    }

    /// As [`supervisor`](Self::supervisor), even if another machine or container runs the gateways.
    fn connect(&self) -> Result<Supervisor, Error> {
        let Backend { kind, connect, .. } = self.backend()?;
        if self.environment.system && kind != hermes_host::systemd::KIND {
            return Err(Error::NoSystemManager { kind });
        }
        let driver =
            connect(&self.environment).map_err(|source| Error::Backend { kind, source })?;
        Ok(Supervisor::new(driver, self.store.clone()))
    }

    /// [`supervisor`](Self::supervisor), or an error if the backend's supervisor does not answer.
    pub fn reachable(&self) -> Result<Supervisor, Error> {
        let supervisor = self.supervisor()?;
        supervisor.driver().reach().map_err(|source| {
            // Without a supervisor here, the home's may be in another session, container or machine.
            let owner = match supervisor.driver().kind() {
                Kind::NONE => trees::owner(self.root()).ok().flatten(),
                _ => None,
            };
            Error::Unreachable { source: owner.map_or(source, |owner| trees::other_tree(&owner)) }
        })?;
        Ok(supervisor)
    }

    /// The gateway of the profile `name`. The supervisor must answer. A profile that does not exist is an
    /// error of the gateway's operations.
    pub fn gateway(&self, name: &str) -> Result<Gateway, Error> {
        Ok(Gateway::new(self.reachable()?, name.parse()?))
    }

    /// A command line of `hermes` for the same scan directory and service manager.
    pub fn command_line(&self, command: &str) -> String {
        format!("hermes {command}{}", self.options())
    }

    /// The options that select the scan directory and the service manager of the settings, each after a space.
    fn options(&self) -> String {
        let scandir = self.settings.scandir.as_ref().and(self.facts().named_scandir.as_deref());
        let scandir =
            scandir.map_or_else(String::new, |dir| format!(" --scandir {}", quote_path(dir)));
        format!("{scandir}{}", if self.settings.system { " --system" } else { "" })
    }

    /// Calls `work` with the gateways' logs: the backend's, if it keeps them, else the files in the root home.
    pub fn with_logs<T>(&self, work: impl FnOnce(&dyn Logs) -> T) -> T {
        let supervisor = self.supervisor().ok();
        match supervisor.as_ref().and_then(|supervisor| supervisor.driver().logs()) {
            Some(logs) => work(logs),
            None => work(&LogFiles::new(self.root().clone(), local_zone())),
        }
    }

    /// Returns an error if another machine or container runs the home's gateways (`HERMES_ROLE=client`).
    pub fn refuse_client(&self) -> Result<(), Error> {
        role::refuse_client(self.root())
    }
}
