//! The ports of the profiles' gateways: which profile has which, and the lowest free one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{DEFAULT_PORT, FIRST_PORT, PortChange, Profile, Store, StoreError, port_writer};
use crate::config::{ConfigError, PortPlace};
use crate::listeners;
use crate::lock::{Lock, LockError};
use crate::name::ProfileName;
use crate::parallel;
use crate::proc::Proc;
use crate::settings;

impl Store {
    /// Writes `port` (or the lowest free one) into every place from which the profile's gateway takes its port, and keeps
    /// the rest of the files. Returns the port and the changes. A failure changes nothing. Idempotent. Blocks while
    /// another command assigns a port, at most for the store's timeout.
    pub fn set_port(
        &self,
        profile: &Profile,
        port: Option<u16>,
    ) -> Result<(u16, Vec<PortChange>), StoreError> {
        let path = profile.home.config();
        let failed = |source| StoreError::Port { path: path.clone(), source };
        let _ports = self.lock_ports(failed)?;
        let port = match port {
            Some(port) => port,
            None => self.free_port(&profile.name)?,
        };
        let changes = port_writer::write(&profile.home, port)?;
        Ok((port, changes))
    }

    /// Takes the lock on the profiles, held while one is created, removed or given a port. `failed`
    /// turns an error of the file system into the caller's.
    pub(super) fn lock_ports(
        &self,
        failed: impl FnOnce(io::Error) -> StoreError,
    ) -> Result<Lock, StoreError> {
        Lock::acquire(&self.root.ports_lock(), self.timeout).map_err(|error| match &error {
            LockError::Io { source, .. } => failed(io::Error::new(source.kind(), error)),
            LockError::Busy { .. } => StoreError::Lock(error),
        })
    }

    /// The lowest port from [`FIRST_PORT`] up that no other profile has and nobody on this machine listens on.
    pub(super) fn free_port(&self, except: &ProfileName) -> Result<u16, StoreError> {
        let claimed = self.ports_of_others(except)?;
        let in_use = listened_on();
        (FIRST_PORT..=u16::MAX)
            .find(|port| !claimed.contains_key(port) && !in_use.contains(port))
            .ok_or(StoreError::NoPort)
    }

    /// Returns `port`; [`StoreError::PortTaken`] if another profile has it.
    pub(super) fn unclaimed(&self, port: u16, except: &ProfileName) -> Result<u16, StoreError> {
        match self.ports_of_others(except)?.remove(&port) {
            Some(by) => Err(StoreError::PortTaken { port, by }),
            None => Ok(port),
        }
    }

    /// The other profiles that name `port`, each with the place; `default` may have none, since it falls back to its port.
    pub fn others_with(
        &self,
        port: u16,
        except: &ProfileName,
    ) -> Result<Vec<(ProfileName, Option<PortPlace>)>, StoreError> {
        let others = self.list()?.profiles.into_iter().filter(|profile| profile.name != *except);
        let named = |profile: Profile| {
            let places = settings::address(&profile.home).ok()?.places;
            let falls_back = places.is_empty()
                && profile.name.is_default()
                && self.port(&profile).is_ok_and(|falls_back| falls_back == Some(port));
            let place = places.into_iter().find(|place| place.port == Some(port));
            (place.is_some() || falls_back).then_some((profile.name, place))
        };
        Ok(others.filter_map(named).collect())
    }

    /// The ports of the other profiles, as [`Profile::port`] decides them; those of all places that disagree. The
    /// fallback port of `default` is nobody else's.
    pub(super) fn ports_of_others(
        &self,
        except: &ProfileName,
    ) -> Result<BTreeMap<u16, ProfileName>, StoreError> {
        let listing = self.list()?;
        let others = listing.profiles.into_iter().filter(|profile| profile.name != *except);
        // `doctor` and `start` report a configuration that can't be read.
        let ports = |profile: Profile| {
            let fallback = || profile.name.is_default().then_some(DEFAULT_PORT);
            let ports = match settings::load(&profile.home) {
                Ok(loaded) => Vec::from_iter(loaded.gateway.port.or_else(fallback)),
                Err(ConfigError::Ports { places, .. }) => {
                    places.iter().filter_map(|place| place.port).collect()
                }
                Err(_) => Vec::new(),
            };
            ports.into_iter().map(|port| (port, profile.name.clone())).collect::<Vec<_>>()
        };
        Ok(parallel::compute(others.collect(), ports).into_iter().flatten().collect())
    }
}

/// The ports that somebody on this machine listens on; known on Linux only.
fn listened_on() -> BTreeSet<u16> {
    listeners::ports(&Proc::default())
}

/// Whether nobody on this machine listens on `port`; known on Linux only.
pub(crate) fn is_free(port: u16) -> bool {
    !listened_on().contains(&port)
}
