//! The driver for a machine without a service manager that supervises gateways.

use super::{CreateOptions, Driver, DriverError, Environment, Lifetime, UP};
use crate::detect::Facts;
use crate::gateway::Gateway;
use crate::kind::Kind;
use crate::name::ProfileName;
use crate::status::Status;

/// Every primitive fails with the same error and hint.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDriver;

impl NoDriver {
    fn error() -> DriverError {
        DriverError::unreachable("no service manager runs here: neither s6 nor systemd nor launchd")
            .with_hint(UP)
    }
}

impl Driver for NoDriver {
    fn detect(_: &Facts) -> bool {
        true
    }

    fn connect(_: &Environment) -> Result<Self, DriverError> {
        Ok(Self)
    }

    fn kind(&self) -> Kind {
        Kind::NONE
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Unsupported
    }

    fn reach(&self) -> Result<(), DriverError> {
        Err(Self::error())
    }

    fn check(&self, _: &ProfileName, _: &str) -> Result<(), DriverError> {
        Err(Self::error())
    }

    fn exists(&self, _: &ProfileName) -> Result<bool, DriverError> {
        Ok(false)
    }

    fn list(&self) -> Result<Vec<ProfileName>, DriverError> {
        Ok(Vec::new())
    }

    fn create(&self, _: &Gateway, _: &CreateOptions) -> Result<(), DriverError> {
        Err(Self::error())
    }

    fn remove(&self, _: &Gateway) -> Result<(), DriverError> {
        Err(Self::error())
    }

    fn up(&self, _: &Gateway) -> Result<(), DriverError> {
        Err(Self::error())
    }

    fn down(&self, _: &Gateway) -> Result<(), DriverError> {
        Err(Self::error())
    }

    fn observe(&self, _: &Gateway) -> Result<Status, DriverError> {
        Err(Self::error())
    }
}
