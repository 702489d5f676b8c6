//! The systemd backend.

use hermes_core::manager::ManagerError;
use hermes_core::{Backend, Kind, ProfileName, ProfileRegistrar, ServiceManager, Status};

use crate::not_installed;

/// The systemd backend.
#[derive(Debug, Clone, Copy, Default)]
pub struct Systemd;

impl ServiceManager for Systemd {
    fn kind(&self) -> Kind {
        Kind::Systemd
    }

    fn start(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
        Err(not_installed(self.kind(), "start", profile))
    }

    fn stop(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
        Err(not_installed(self.kind(), "stop", profile))
    }

    fn restart(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
        Err(not_installed(self.kind(), "restart", profile))
    }

    fn status(&self, profile: &ProfileName) -> Result<Status, ManagerError> {
        Err(not_installed(self.kind(), "read the status of", profile))
    }
}

impl ProfileRegistrar for Systemd {}

impl Backend for Systemd {}
