//! The drop-in of one gateway's unit, with the limits of `gateway.resources`: the template serves all gateways, and
//! holds none.
//!
//! Source: systemd.resource-control(5), systemd.exec(5). A unit without limits has no drop-in.

use std::path::PathBuf;

use fs_err as fs;
use hermes_core::config::{Resource, Resources};
use hermes_core::control_group::{self, ControlGroup};
use hermes_core::{DriverError, Gateway, Proc, ProfileName, fsutil, writers};

use super::{Scope, Systemd};
use crate::privilege::as_root;

/// The file in the directory of the unit's drop-ins, where `systemctl edit` writes `override.conf`.
const FILE: &str = "hermes.conf";

/// The text of the drop-in; `None` without limits.
fn render(resources: &Resources) -> Option<String> {
    let line = |resource: Resource| {
        let limit = resource.limit(resources)?;
        Some(match resource {
            Resource::Memory => format!("MemoryMax={limit}\n"),
            Resource::Cpu => format!("CPUQuota={limit}%\n"),
            Resource::Tasks => format!("TasksMax={limit}\n"),
            Resource::Files => format!("LimitNOFILE={limit}\n"),
        })
    };
    let lines: String = Resource::ALL.into_iter().filter_map(line).collect();
    let head =
        "# Written by hermes, from gateway.resources in the profile's config.yaml.\n[Service]\n";
    (!lines.is_empty()).then(|| format!("{head}{lines}"))
}

impl Systemd {
    fn drop_in(&self, profile: &ProfileName) -> PathBuf {
        self.places.units.join(self.names.drop_ins(profile)).join(FILE)
    }

    /// Whether the gateway's unit has the limits of its configuration. One that can't be read counts: no gateway
    /// starts with it.
    pub(super) fn has_limits(&self, gateway: &Gateway) -> Result<bool, DriverError> {
        let Ok(loaded) = gateway.loaded() else { return Ok(true) };
        let current = fsutil::read_if_there(&self.drop_in(gateway.name()))?;
        let wanted = render(&loaded.gateway.resources);
        Ok(current.as_deref() == wanted.as_deref().map(str::as_bytes))
    }

    /// Brings the limits of the gateway's unit in line with its configuration, and makes the manager reload them. Idempotent.
    pub(super) fn settle_limits(&self, gateway: &Gateway) -> Result<(), DriverError> {
        if self.has_limits(gateway)? {
            return Ok(());
        }
        let Some(text) = render(&gateway.config().resources) else {
            return self.remove_limits(gateway.name());
        };
        let path = self.drop_in(gateway.name());
        as_root(|| {
            path.parent().map_or(Ok(()), writers::create_directory)?;
            fsutil::write_durably(&path, text.as_bytes(), 0o644)
        })?;
        self.reload()
    }

    /// Removes the limits of the profile's unit, and its directory unless somebody else has a file there. Idempotent.
    pub(super) fn remove_limits(&self, profile: &ProfileName) -> Result<(), DriverError> {
        let path = self.drop_in(profile);
        let mut removed = false;
        as_root(|| {
            removed = fsutil::remove_file_if_there(&path)?;
            if let Some(directory) = path.parent().filter(|_| removed) {
                // It fails if a file is left in it.
                let _ = fs::remove_dir(directory);
            }
            Ok(())
        })?;
        if removed { self.reload() } else { Ok(()) }
    }

    /// Whether the manager can limit `resource`: the system's by any controller of the kernel, a user's by those
    /// that were delegated to it.
    pub(super) fn can_limit(&self, resource: Resource) -> Result<(), DriverError> {
        let Some(controller) = resource.controller() else { return Ok(()) };
        let proc = Proc::default();
        let group = match self.scope {
            Scope::System => ControlGroup::named(&proc, "/"),
            Scope::User => {
                let group = self.ask(&["show", "--property=ControlGroup"])?;
                ControlGroup::named(&proc, group.trim().trim_start_matches("ControlGroup="))
            }
        };
        let legacy = || {
            self.scope == Scope::System
                && control_group::legacy_controllers(&proc).contains(controller)
        };
        if group.is_some_and(|group| group.limits(resource)) || legacy() {
            return Ok(());
        }
        let (who, hint) = match self.scope {
            Scope::System => ("the kernel has no", "start the machine with cgroup v2".to_owned()),
            Scope::User => (
                "this user's manager was not given the",
                format!("as root: `Delegate=` of `user@{}` must name it", self.setup.account.uid),
            ),
        };
        Err(DriverError::new(format!("{who} controller `{controller}` of cgroup v2"))
            .with_hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_in_has_the_configured_limits_alone() {
        assert_eq!(render(&Resources::default()), None);
        let limits =
            Resources { memory: Some(512 << 20), cpu: Some(150), tasks: Some(64), files: None };
        insta::assert_snapshot!(render(&limits).unwrap(), @r"
        # Written by hermes, from gateway.resources in the profile's config.yaml.
        [Service]
        MemoryMax=536870912
        CPUQuota=150%
        TasksMax=64
        ");
        let files = Resources { files: Some(1024), ..Resources::default() };
        assert!(render(&files).unwrap().ends_with("[Service]\nLimitNOFILE=1024\n"));
    }
}
