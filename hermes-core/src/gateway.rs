//! A profile's gateway: the profile and its settings, which are read at most once.

use std::sync::OnceLock;

use crate::agent::Locks;
use crate::config::{
    ConfigError, GatewayConfig, GatewayKind, Liveness, Loaded, Placeholders, StopTimeout,
};
use crate::home::ProfileHome;
use crate::name::ProfileName;
use crate::probe::Target;
use crate::process_lock;
use crate::settings::{self, Surroundings};
use crate::store::Profile;

/// A profile's gateway. Reads its settings on first use, and never again.
#[derive(Debug)]
pub struct Gateway {
    profile: Profile,
    surroundings: Surroundings,
    config: OnceLock<Result<Loaded, ConfigError>>,
}

impl Gateway {
    /// The gateway of `profile`. Reads nothing yet.
    pub fn new(profile: Profile) -> Self {
        Self::in_surroundings(profile, Surroundings::default())
    }

    /// The same where its process has these surroundings.
    pub fn in_surroundings(profile: Profile, surroundings: Surroundings) -> Self {
        Self { profile, surroundings, config: OnceLock::new() }
    }

    /// Its profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Its profile's name.
    pub fn name(&self) -> &ProfileName {
        &self.profile.name
    }

    /// Its profile's home.
    pub fn home(&self) -> &ProfileHome {
        &self.profile.home
    }

    /// Its settings, or why `config.yaml` can't be used.
    pub fn loaded(&self) -> Result<&Loaded, &ConfigError> {
        let load = || settings::load_in(&self.profile.home, &self.surroundings);
        self.config.get_or_init(load).as_ref()
    }

    /// Its configuration. The defaults if `config.yaml` can't be used: the gateway process itself refuses to
    /// start then, and logs the reason.
    pub fn config(&self) -> GatewayConfig {
        self.loaded().map(|loaded| loaded.gateway.clone()).unwrap_or_default()
    }

    /// The process of the Python agent's gateway, if that runs outside of any supervisor. `supervised` is the one that its
    /// supervisor reports. Holders of the gateway's own lock, which every supervised one has, are none, nor is what they
    /// started.
    pub fn foreign(&self, locks: &Locks, supervised: Option<u32>) -> Option<u32> {
        let home = self.home();
        locks.holder(home)?;
        let holder = process_lock::holder(&home.gateway_lock()).ok().flatten();
        let holder = holder.and_then(|holder| holder.pid);
        let own: Vec<_> = supervised.into_iter().chain(holder).collect();
        let pid = locks.stranger(home, &own)?;
        let is_agents =
            self.loaded().is_ok_and(|loaded| loaded.gateway.kind == GatewayKind::HermesAgent);
        is_agents.then_some(pid)
    }

    /// The port that it listens on, as in [`Profile::port`].
    pub fn port(&self) -> Result<Option<u16>, &ConfigError> {
        Ok(self.profile.port(&self.loaded()?.gateway))
    }

    /// As [`GatewayConfig::notifies_readiness`].
    pub fn notifies_readiness(&self) -> bool {
        self.loaded().map_or_else(
            |_| GatewayConfig::default().notifies_readiness(),
            |loaded| loaded.gateway.notifies_readiness(),
        )
    }

    /// How it is asked while it is up; `None` if it is not.
    pub fn liveness(&self) -> Option<Liveness> {
        let config = &self.loaded().ok()?.gateway;
        config.liveness.clone().filter(|_| config.notifies_readiness())
    }

    /// Whether it may be asked while it is up: also if its `config.yaml`, which was another when it came up, can't be
    /// used now.
    pub fn may_be_asked(&self) -> bool {
        self.loaded().is_err() || self.liveness().is_some()
    }

    /// The address at which it is asked, if it has one: its `ready_url`, or that of the built-in gateway.
    pub fn health_target(&self) -> Option<Target> {
        let config = &self.loaded().ok()?.gateway;
        let port = self.profile.port(config);
        if config.command.is_none() {
            return Some(Target::health(&config.host, port?));
        }
        let placeholders = Placeholders {
            profile: self.name().as_str(),
            home: &self.home().path().to_string_lossy(),
            host: &config.host,
            port,
            program: None,
        };
        Target::parse(&config.filled_ready_url(&placeholders).ok()??).ok()
    }

    /// Its `stop_timeout`.
    pub fn stop_timeout(&self) -> StopTimeout {
        self.loaded().map(|loaded| loaded.gateway.stop_timeout).unwrap_or_default()
    }
}
