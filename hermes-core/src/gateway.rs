//! A profile's gateway as a command sees it: the profile, and its configuration, read at most once.

use std::sync::OnceLock;

use crate::config::{self, ConfigError, GatewayConfig, Loaded, StopTimeout};
use crate::home::ProfileHome;
use crate::name::ProfileName;
use crate::store::{FIRST_PORT, Profile};

/// A profile's gateway. Its `config.yaml` is read when it is first needed, and never again.
#[derive(Debug)]
pub struct Gateway {
    profile: Profile,
    config: OnceLock<Result<Loaded, ConfigError>>,
}

impl Gateway {
    /// The gateway of `profile`. Nothing is read yet.
    pub fn new(profile: Profile) -> Self {
        Self { profile, config: OnceLock::new() }
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

    /// What `config.yaml` says, or why it can't be read.
    pub fn loaded(&self) -> Result<&Loaded, &ConfigError> {
        self.config.get_or_init(|| config::load(&self.profile.home.config())).as_ref()
    }

    /// Its configuration. The defaults if it can't be read, since the gateway itself refuses to start with
    /// it, and logs the reason.
    pub fn config(&self) -> GatewayConfig {
        self.loaded().map(|loaded| loaded.gateway.clone()).unwrap_or_default()
    }

    /// The port that it listens on: the one that `config.yaml` names, and for `default` alone else
    /// [`FIRST_PORT`].
    pub fn port(&self) -> Result<Option<u16>, &ConfigError> {
        let named = self.loaded()?.gateway.port;
        Ok(named.or(self.profile.name.is_default().then_some(FIRST_PORT)))
    }

    /// Whether it reports when it is ready.
    pub fn notifies_readiness(&self) -> bool {
        self.loaded().map_or_else(
            |_| GatewayConfig::default().notifies_readiness(),
            |loaded| loaded.gateway.notifies_readiness(),
        )
    }

    /// How long its stop may take.
    pub fn stop_timeout(&self) -> StopTimeout {
        self.loaded().map(|loaded| loaded.gateway.stop_timeout).unwrap_or_default()
    }
}
