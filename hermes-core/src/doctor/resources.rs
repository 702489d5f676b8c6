//! Checks that the limits of `gateway.resources` hold on this machine.

use crate::config::Resource;
use crate::diagnostics::{Check, Remedy, Snapshot, several};
use crate::driver::Driver;

pub(super) fn check(driver: &dyn Driver, snapshot: &Snapshot) -> Check {
    let mut check = Check::new("resources");
    let mut configured = 0;
    for gateway in &snapshot.gateways {
        let Ok(loaded) = gateway.loaded() else { continue };
        for resource in Resource::ALL {
            let Some(limit) = resource.limit(&loaded.gateway.resources) else { continue };
            configured += 1;
            let Err(error) = driver.enforces(resource, limit) else { continue };
            let name = gateway.name();
            let problem =
                format!("`{name}`: `gateway.resources.{resource}` has no effect here: {error}");
            let config = gateway.home().config();
            let remedy = error.hint().map_or_else(
                || format!("remove it from `{}`", config.display()),
                |hint| format!("{hint}; or remove it from `{}`", config.display()),
            );
            check.warning(problem, Remedy::Do(remedy));
        }
    }
    let hold = configured - check.findings().len();
    check.with_evidence(format!("{hold} of {} in effect", several(configured, "limit")))
}
