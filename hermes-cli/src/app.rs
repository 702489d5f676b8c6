//! What the arguments mean here: home and backend, which the library finds, and the profile.

use std::path::PathBuf;
use std::time::Duration;

use hermes::{Hermes, Settings};
use hermes_core::driver::Backend;
use hermes_core::shell::quote;
use hermes_core::{ProfileName, RootHome, Store, Supervisor};

use crate::args::Global;
use crate::error::{CliError, exit};

/// Everything a command needs to know of where it runs.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// Home and backend.
    pub(crate) hermes: Hermes,
    /// Whether to print JSON.
    pub(crate) json: bool,
    /// How long to wait for anything, if an option says so.
    pub(crate) timeout: Option<Duration>,
    /// Whether `--system` asks for the system's manager.
    system: bool,
    /// The scan directory that `--scandir` names.
    scandir_option: Option<PathBuf>,
    /// The profile that `-p` names.
    profile_option: Option<ProfileName>,
}

impl App {
    /// Finds home and backend; `backends` come before those that are built in.
    pub(crate) fn new(global: Global, backends: &[Backend]) -> Result<Self, CliError> {
        let timeout = global.timeout.map(Duration::from_secs);
        let settings = Settings { scandir: global.scandir.clone(), system: global.system, timeout };
        let hermes = Hermes::with(settings, backends)?;
        Ok(Self {
            json: global.json,
            timeout,
            system: global.system,
            scandir_option: global.scandir.and(hermes.facts().named_scandir.clone()),
            profile_option: global.profile,
            hermes,
        })
    }

    /// The root home's profiles.
    pub(crate) fn store(&self) -> &Store {
        self.hermes.store()
    }

    /// The root home.
    pub(crate) fn root(&self) -> &RootHome {
        self.hermes.root()
    }

    /// The backend in charge, whether it answers or not.
    pub(crate) fn supervisor(&self) -> Result<Supervisor, CliError> {
        Ok(self.hermes.supervisor()?)
    }

    /// The backend in charge, which answers.
    pub(crate) fn reachable(&self) -> Result<Supervisor, CliError> {
        Ok(self.hermes.reachable()?)
    }

    /// A command line of `hermes` as it may be typed where this one was.
    pub(crate) fn line(&self, command: &str) -> String {
        let scandir = self.scandir_option.as_ref().map(|dir| quote(&dir.to_string_lossy()));
        let scandir = scandir.map_or_else(String::new, |dir| format!(" --scandir {dir}"));
        let system = if self.system { " --system" } else { "" };
        format!("hermes {command}{scandir}{system}")
    }

    /// The profile that a command means which names none: the one named on the line or by
    /// `HERMES_HOME`, else the chosen one, else `default`.
    pub(crate) fn profile(&self) -> Result<ProfileName, CliError> {
        match &self.profile_option {
            Some(profile) => Ok(profile.clone()),
            None => Ok(self.hermes.profile()?),
        }
    }

    /// The profile of a gateway's own process, of which there is one: the one among `names`, named by
    /// `-p` or by `HERMES_HOME`, else `default`. A chosen one never decides that.
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
