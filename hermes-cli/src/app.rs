//! Resolves the global arguments: finds home and backend with the library, and selects the profile.

use std::time::Duration;

use hermes::{Hermes, Settings};
use hermes_core::driver::Backend;
use hermes_core::{ProfileName, RootHome, Store, Supervisor};

use crate::args::{Global, ProfileSelector};
use crate::error::{CliError, exit};

/// The context of a command: home, backend, profile and output format.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// Home and backend.
    pub(crate) hermes: Hermes,
    /// Whether to print JSON.
    pub(crate) json: bool,
    /// The timeout that `--timeout` sets.
    pub(crate) timeout: Option<Duration>,
    /// The profile that `-p` names.
    profile_option: Option<ProfileName>,
}

impl App {
    /// Finds home and backend. `backends` come before the built-in ones.
    pub(crate) fn new(global: Global, backends: &[Backend]) -> Result<Self, CliError> {
        let timeout = global.timeout.map(Duration::from_secs);
        let settings = Settings { scandir: global.scandir, system: global.system, timeout };
        let hermes = Hermes::with(settings, backends)?;
        Ok(Self { json: global.json, timeout, profile_option: global.profile, hermes })
    }

    /// The root home's profiles.
    pub(crate) fn store(&self) -> &Store {
        self.hermes.store()
    }

    /// The root home.
    pub(crate) fn root(&self) -> &RootHome {
        self.hermes.root()
    }

    /// The backend in charge, which may not answer.
    pub(crate) fn supervisor(&self) -> Result<Supervisor, CliError> {
        Ok(self.hermes.supervisor()?)
    }

    /// The backend in charge; an error if it does not answer.
    pub(crate) fn reachable(&self) -> Result<Supervisor, CliError> {
        Ok(self.hermes.reachable()?)
    }

    /// The profile of a command whose arguments name none: that of `-p` or `HERMES_HOME`, else the one that
    /// `profile use` set, else `default`.
    pub(crate) fn profile(&self) -> Result<ProfileName, CliError> {
        match &self.profile_option {
            Some(profile) => Ok(profile.clone()),
            None => Ok(self.hermes.profile()?),
        }
    }

    /// The profile that `-p` names.
    pub(crate) fn named_profile(&self) -> Option<&ProfileName> {
        self.profile_option.as_ref()
    }

    /// The profiles of a command: all, the named ones, or the default profile.
    pub(crate) fn selected(&self, which: &ProfileSelector) -> Result<Vec<ProfileName>, CliError> {
        match which {
            ProfileSelector { all: true, .. } => Ok(self.store().possible_names()?),
            ProfileSelector { names, .. } if names.is_empty() => Ok(vec![self.profile()?]),
            ProfileSelector { names, .. } => Ok(names.clone()),
        }
    }

    /// The profile of a gateway's own process: that of `names` or `-p`, else of `HERMES_HOME`, else
    /// `default`. `profile use` has no effect here. Two different profiles are an error.
    pub(crate) fn single_profile(
        &self,
        mut names: Vec<ProfileName>,
    ) -> Result<ProfileName, CliError> {
        names.extend(self.profile_option.clone());
        names.dedup();
        if names.is_empty() {
            names.extend(self.hermes.home_profile().cloned());
        }
        match names.as_slice() {
            [] => Ok(ProfileName::default_profile()),
            [name] => Ok(name.clone()),
            [name, other, ..] => {
                let why = format!("the command line names both `{name}` and `{other}`");
                Err(CliError::new("a gateway belongs to one profile")
                    .because(why)
                    .with_code(exit::USAGE))
            }
        }
    }
}
