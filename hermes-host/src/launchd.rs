//! The launchd backend.

use hermes_core::manager::ManagerError;
use hermes_core::{Backend, Kind, ProfileName, ProfileRegistrar, ServiceManager, Status};

use crate::not_installed;

/// The launchd backend.
#[derive(Debug, Clone, Copy, Default)]
pub struct Launchd;

impl ServiceManager for Launchd {
    fn kind(&self) -> Kind {
        Kind::Launchd
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

impl ProfileRegistrar for Launchd {}

impl Backend for Launchd {}
