//! The backends of a host: systemd and launchd.
//!
//! On a host a gateway is *installed* and not registered while the machine runs, so both keep the
//! refusing methods of [`hermes_core::ProfileRegistrar`].

pub mod launchd;
pub mod systemd;

pub use launchd::Launchd;
pub use systemd::Systemd;

use hermes_core::manager::ManagerError;
use hermes_core::{Kind, ProfileName};

/// The answer to every command about a gateway that is not installed.
fn not_installed(kind: Kind, operation: &str, profile: &ProfileName) -> ManagerError {
    ManagerError::Failed {
        operation: format!("{operation} the gateway of `{profile}`"),
        source: format!("this version of Hermes installs no gateways under {kind}").into(),
        hint: Some("`hermes up` runs a supervision tree for this user".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use hermes_core::{ProfileRegistrar, RegisterOptions};

    use super::*;

    #[test]
    fn both_refuse_to_register_at_run_time_and_name_themselves() {
        let coder: ProfileName = "coder".parse().unwrap();
        let managers: [&dyn ProfileRegistrar; 2] = [&Systemd, &Launchd];
        for (manager, kind) in managers.into_iter().zip([Kind::Systemd, Kind::Launchd]) {
            assert!(!manager.supports_runtime_registration());
            let registered = manager.register_profile_gateway(&coder, &RegisterOptions::default());
            for refused in [registered, manager.unregister_profile_gateway(&coder)] {
                let error = refused.unwrap_err();
                let expected = format!("{kind} does not register gateways at run time");
                assert_eq!(error.to_string(), expected);
                assert!(error.hint().unwrap().contains("`hermes gateway install NAME`"));
            }
            assert!(manager.list_profile_gateways().unwrap().is_empty());
        }
    }
}
