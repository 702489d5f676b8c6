//! The launchd backend.

use hermes_core::manager::ManagerError;
use hermes_core::{Backend, Kind, ProfileName, ProfileRegistrar, ServiceManager, Status};

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

/// The answer to every command about a gateway that is not installed.
fn not_installed(kind: Kind, operation: &str, profile: &ProfileName) -> ManagerError {
    ManagerError::Failed {
        operation: format!("{operation} the gateway of `{profile}`"),
        source: format!("this version of Hermes installs no gateways under {kind}").into(),
        hint: Some("`hermes up` runs a supervision tree for this user".to_owned()),
    }
}
