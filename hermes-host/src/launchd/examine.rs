//! The checks of launchd: each installed gateway has a profile, and launchd waits long enough for its stop.

use hermes_core::ProfileName;
use hermes_core::diagnostics::{Check, Remedy, Snapshot};

use super::Launchd;
use super::plist::LONGEST_EXIT_TIMEOUT;

impl Launchd {
    pub(super) fn installed_agents(&self, snapshot: &Snapshot) -> Check {
        let mut check = Check::new("launchd");
        let agents = self.agents.display();
        let installed = match self.installed() {
            Ok(installed) => installed,
            Err(error) => {
                check.error(
                    format!("the property lists can't be read: {error}"),
                    Remedy::Do(format!("make `{agents}` readable")),
                );
                return check.with_evidence(agents.to_string());
            }
        };
        installed.iter().for_each(|name| self.judge(&mut check, snapshot, name));
        check.with_evidence(format!("{} installed in {agents}", installed.len()))
    }

    fn judge(&self, check: &mut Check, snapshot: &Snapshot, name: &ProfileName) {
        if snapshot.is_gone(name) {
            let problem = format!(
                "`{}` was left behind by `{name}`, which is not a profile",
                self.label(name)
            );
            check.error(problem, snapshot.run(&format!("gateway uninstall {name}")));
        }
        let Some(gateway) = snapshot.gateway(name) else { return };
        let stop_timeout = gateway.stop_timeout();
        if stop_timeout.kill_after().as_secs() > LONGEST_EXIT_TIMEOUT {
            let problem = format!(
                "`{name}` may take {} s to stop, and launchd kills it after {LONGEST_EXIT_TIMEOUT} s",
                stop_timeout.seconds()
            );
            let remedy = "set its gateway.stop_timeout to 62 or less";
            check.warning(problem, Remedy::Do(remedy.to_owned()));
        }
    }
}
