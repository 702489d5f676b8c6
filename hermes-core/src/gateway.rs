//! A profile's gateway: the profile and its configuration, which is read at most once.

use std::sync::OnceLock;

use crate::config::{self, ConfigError, GatewayConfig, Loaded, StopTimeout};
use crate::home::ProfileHome;
use crate::name::ProfileName;
use crate::store::{FIRST_PORT, Profile};

/// A profile's gateway. Reads its `config.yaml` on first use, and never again.
#[derive(Debug)]
pub struct Gateway {
    profile: Profile,
    config: OnceLock<Result<Loaded, ConfigError>>,
}

impl Gateway {
    /// The gateway of `profile`. Reads nothing yet.
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

    /// The content of `config.yaml`, or why it can't be used.
    pub fn loaded(&self) -> Result<&Loaded, &ConfigError> {
        self.config.get_or_init(|| config::load(&self.profile.home.config())).as_ref()
    }

    /// Its configuration. The defaults if `config.yaml` can't be used: the gateway process itself refuses to
    /// start then, and logs the reason.
    pub fn config(&self) -> GatewayConfig {
        self.loaded().map(|loaded| loaded.gateway.clone()).unwrap_or_default()
    }

    /// The port that it listens on, as in [`Profile::port`].
    pub fn port(&self) -> Result<Option<u16>, &ConfigError> {
        let named = self.loaded()?.gateway.port;
        Ok(named.or(self.profile.name.is_default().then_some(FIRST_PORT)))
    }

    /// As [`GatewayConfig::notifies_readiness`].
    pub fn notifies_readiness(&self) -> bool {
        self.loaded().map_or_else(
            |_| GatewayConfig::default().notifies_readiness(),
            |loaded| loaded.gateway.notifies_readiness(),
        )
    }

    /// Its `stop_timeout`.
    pub fn stop_timeout(&self) -> StopTimeout {
        self.loaded().map(|loaded| loaded.gateway.stop_timeout).unwrap_or_default()
    }
}
