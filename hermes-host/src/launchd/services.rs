//! The traits over launchd: intent first, then what was asked for, then what was seen.

use hermes_core::backend::{Backend, RenameError};
use hermes_core::diagnostics::{Examination, Finding, Remedy};
use hermes_core::failure::{corrupt, failed, refused};
use hermes_core::gateway::{config_of, record_intent};
use hermes_core::manager::ManagerError;
use hermes_core::reseat::{Before, Reseat, reseat};
use hermes_core::status::{State, Status};
use hermes_core::store::Profile;
use hermes_core::{Intent, Kind, ProfileName, ProfileRegistrar, ServiceManager, Store};

use super::plist::LONGEST_EXIT_TIMEOUT;
use super::{EXTENSION, Launchd, NAME_MAX};

impl ServiceManager for Launchd {
    fn kind(&self) -> Kind {
        Kind::Launchd
    }

    fn start(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("start the gateway of `{name}`");
        let (profile, _lock) = self.locked(&operation, name)?;
        let _port = self.claim_port(&operation, &profile)?;
        record_intent(&operation, Intent::Running, &profile)?;
        self.install_locked(&operation, &profile)?;
        self.start_locked(&operation, &profile)?;
        self.status(name)
    }

    fn stop(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("stop the gateway of `{name}`");
        let (profile, _lock) = self.locked(&operation, name)?;
        self.refuse_other_home(&operation, name)?;
        record_intent(&operation, Intent::Stopped, &profile)?;
        self.stop_locked(&operation, &profile)?;
        self.status(name)
    }

    fn restart(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("restart the gateway of `{name}`");
        let (profile, _lock) = self.locked(&operation, name)?;
        let _port = self.claim_port(&operation, &profile)?;
        record_intent(&operation, Intent::Running, &profile)?;
        self.install_locked(&operation, &profile)?;
        self.stop_locked(&operation, &profile)?;
        self.start_locked(&operation, &profile)?;
        self.status(name)
    }

    fn status(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("read the status of `{name}`");
        let profile = self.profile(&operation, name)?;
        self.status_of(&operation, &profile)
    }
}

impl ProfileRegistrar for Launchd {
    fn check_name(&self, name: &ProfileName) -> Result<(), ManagerError> {
        let file = self.label(name).len() + EXTENSION.len();
        if file <= NAME_MAX {
            return Ok(());
        }
        let (len, most) = (name.as_str().len(), NAME_MAX + name.as_str().len() - file);
        let why = format!("the name has {len} bytes, and launchd's file carries at most {most}");
        Err(refused(&format!("install the gateway of `{name}`"), why, None))
    }
}

impl Backend for Launchd {
    fn supports_installation(&self) -> bool {
        true
    }

    fn install_profile_gateway(&self, name: &ProfileName) -> Result<(), ManagerError> {
        let operation = format!("install the gateway of `{name}`");
        let (profile, _lock) = self.locked(&operation, name)?;
        let intent = Intent::read(&profile.home).map_err(|error| corrupt(&operation, error))?;
        let _port = match intent {
            Intent::Running => self.claim_port(&operation, &profile)?,
            Intent::Stopped => None,
        };
        self.install_locked(&operation, &profile)?;
        match intent {
            Intent::Running => self.start_locked(&operation, &profile),
            Intent::Stopped => Ok(()),
        }
    }

    fn uninstall_profile_gateway(&self, name: &ProfileName) -> Result<(), ManagerError> {
        let operation = format!("uninstall the gateway of `{name}`");
        let known = self.store.find(name).map_err(|error| failed(&operation, error))?.is_some();
        if !known && !self.agent_path(name).exists() {
            return Ok(());
        }
        let _lock = self.lock(&operation, self.store.root().profile_lock(name))?;
        self.uninstall_locked(&operation, name)
    }

    fn list_services(&self) -> Result<Vec<ProfileName>, ManagerError> {
        let operation = format!("list the property lists in `{}`", self.agents.display());
        self.installed().map_err(|error| failed(operation, error))
    }

    fn rename_profile(
        &self,
        _store: &Store,
        from: &ProfileName,
        to: &ProfileName,
    ) -> Result<(), RenameError> {
        let operation = format!("rename profile `{from}` to `{to}`");
        self.check_name(to)?;
        if !self.has(from) {
            // Nothing but files, unless an orphan runs, which stands in the way of that.
            self.store.rename(from, to)?;
            return Ok(());
        }
        let renaming = self.store.begin_rename(from, to, self.timeouts.lock)?;
        if self.has(to) {
            let why = format!("`{}` is there already", self.agent_path(to).display());
            let hint = format!("`hermes gateway uninstall {to}` removes it");
            return Err(refused(&operation, why, Some(hint)).into());
        }
        let [old, new] = [from, to].map(|name| self.profile_called(name));
        let intent = Intent::read(&old.home).map_err(|error| corrupt(&operation, error))?;
        let state = self.status_of(&operation, &old)?.state;
        let port = self.claim_port(&operation, &old);
        let (before, _port) = Before::new(true, intent, state == State::Up, port)?;
        reseat(self, &operation, &renaming, (&old, &new), before)
    }

    fn examine(&self) -> Vec<Examination> {
        let installed = match self.installed() {
            Ok(installed) => installed,
            Err(error) => {
                let finding = Finding {
                    severe: true,
                    problem: format!("what is installed can't be seen: {error}"),
                    remedy: Remedy::Do(format!("make `{}` readable", self.agents.display())),
                };
                return vec![examination(self.agents.display().to_string(), vec![finding])];
            }
        };
        let findings = installed.iter().filter_map(|name| self.finding(name)).collect();
        let evidence = format!("{} installed in {}", installed.len(), self.agents.display());
        vec![examination(evidence, findings)]
    }
}

impl Launchd {
    /// What is wrong with an installed gateway.
    fn finding(&self, name: &ProfileName) -> Option<Finding> {
        let Ok(Some(profile)) = self.store.find(name) else {
            return Some(Finding {
                severe: true,
                problem: format!("`{}` is left of `{name}`, which is no profile", self.label(name)),
                remedy: Remedy::Run(format!("hermes gateway uninstall {name}")),
            });
        };
        let stop_timeout = config_of(&profile).stop_timeout;
        let kill_after = stop_timeout.kill_after().as_secs();
        (kill_after > LONGEST_EXIT_TIMEOUT).then(|| Finding {
            severe: false,
            problem: format!(
                "`{name}` may take {} s to stop, and launchd kills it after {LONGEST_EXIT_TIMEOUT} s",
                stop_timeout.seconds()
            ),
            remedy: Remedy::Do("set its gateway.stop_timeout to 62 or less".to_owned()),
        })
    }
}

fn examination(evidence: String, findings: Vec<Finding>) -> Examination {
    Examination { check: "launchd", evidence, findings }
}

impl Reseat for Launchd {
    fn take_away(&self, name: &ProfileName) -> Result<(), ManagerError> {
        self.uninstall_locked(&format!("uninstall the gateway of `{name}`"), name)
    }

    /// It comes up at the next login if it is wanted, whatever is said here; what ran is started.
    fn make(&self, profile: &Profile, _up: bool) -> Result<(), ManagerError> {
        self.install_locked(&format!("install the gateway of `{}`", profile.name), profile)
    }

    fn has(&self, name: &ProfileName) -> bool {
        self.agent_path(name).exists()
    }

    fn start(&self, profile: &Profile) -> Result<(), ManagerError> {
        self.start_locked(&format!("start the gateway of `{}`", profile.name), profile)
    }
}
