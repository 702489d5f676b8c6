//! Ports that the gateways of two profiles name: the one that is up has it, and the other stays down.

use std::collections::{BTreeMap, BTreeSet};

use super::Supervisor;
use crate::driver::DriverError;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::name::ProfileName;
use crate::parallel;
use crate::status::{Reason, ReasonKind, State, Status};
use crate::store::Profile;

/// Which profiles name which port, read once for the starts of many gateways.
#[derive(Debug)]
pub(super) struct NamedPorts(BTreeMap<u16, Vec<Profile>>);

impl NamedPorts {
    /// The profiles that name `port`.
    pub(super) fn profiles_with(&self, port: u16) -> Vec<Profile> {
        self.0.get(&port).cloned().unwrap_or_default()
    }
}

impl Supervisor {
    /// The ports that the profiles name. A configuration that can't be read names none.
    fn named_ports(&self) -> Result<NamedPorts, DriverError> {
        let named = parallel::compute(self.store.list()?.profiles, |profile| {
            Some((self.store.port(&profile).ok().flatten()?, profile))
        });
        let mut ports = BTreeMap::<_, Vec<_>>::new();
        for (port, profile) in named.into_iter().flatten() {
            ports.entry(port).or_default().push(profile);
        }
        Ok(NamedPorts(ports))
    }

    /// The ports that the profiles name, to start the gateways of `names`. `None` for a single one, which looks for its own
    /// rivals alone, and if the profiles can't be listed, which each start reports.
    pub(super) fn ports_for(&self, names: &[ProfileName]) -> Option<NamedPorts> {
        if names.len() > 1 { self.named_ports().ok() } else { None }
    }

    /// The ports of those gateways of `profiles` that run.
    pub(super) fn ports_in_use(
        &self,
        profiles: impl IntoIterator<Item = Profile>,
    ) -> Result<BTreeMap<u16, ProfileName>, DriverError> {
        let gateways: Vec<_> = profiles.into_iter().map(Gateway::new).collect();
        let running: BTreeSet<_> = self.driver.running(&gateways)?.into_iter().collect();
        let running = gateways.iter().filter(|gateway| running.contains(gateway.name()));
        let port = |gateway: &Gateway| Some((gateway.port().ok()??, gateway.name().clone()));
        Ok(running.filter_map(port).collect())
    }

    /// Gives those of `statuses` that are wanted and down because another gateway has their port this reason. Looks
    /// at other gateways only if there may be such a one.
    pub(super) fn explain_ports<'a>(&self, statuses: impl IntoIterator<Item = &'a mut Status>) {
        let waits = |status: &&mut Status| {
            status.state == State::Down && status.registered && status.port.is_some()
        };
        let is_wanted = |status: &&mut Status| status.intent == Some(Intent::Running);
        let waiting: Vec<_> = statuses.into_iter().filter(waits).filter(is_wanted).collect();
        if waiting.is_empty() {
            return;
        }
        // Without a list only the reason is unknown.
        let Ok(listing) = self.store.list() else { return };
        let Ok(ports) = self.ports_in_use(listing.profiles) else { return };
        for status in waiting {
            let holder = status.port.and_then(|port| Some((port, ports.get(&port)?)));
            if let Some((port, holder)) = holder.filter(|(_, holder)| **holder != status.profile) {
                let text = belongs_to(port, holder);
                status.reason = Some(Reason { kind: ReasonKind::Port, text });
            }
        }
    }
}

/// Why a gateway can't have `port`.
pub(super) fn belongs_to(port: u16, holder: &ProfileName) -> String {
    format!("port {port} belongs to `{holder}`, whose gateway is up")
}
