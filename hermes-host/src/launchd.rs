//! The launchd backend: one job for each gateway, in the user's own domain.
//!
//! | file | what it does |
//! |---|---|
//! | `plist` | the property list that describes a job |
//! | `launchctl` | what is said to launchd, and read of its answers |
//! | `launcher` | what the job's own process decides before it becomes the gateway |
//! | `record` | what launchd forgets: deaths, and why a gateway is parked |
//! | `log` | the file that launchd appends a gateway's lines to |
//! | `lifecycle`, `status` | up and down, seen; and what is so now |
//! | `services` | the traits |
//!
//! Installed means that the property list is in `~/Library/LaunchAgents`; loaded, that the gateway is to be
//! kept running. Every login loads what is installed, and the launcher unloads what is not wanted: the intent
//! in the profile's home stays the one truth.

mod launchctl;
mod launcher;
mod lifecycle;
mod log;
mod plist;
mod record;
mod services;
mod status;

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use hermes_core::failure::{failed, of_lock, of_store, refused};
use hermes_core::fsutil;
use hermes_core::gateway::{self, config_of};
use hermes_core::home::ProfileHome;
use hermes_core::lock::Lock;
use hermes_core::manager::ManagerError;
use hermes_core::process_lock::other_holder;
use hermes_core::store::Profile;
use hermes_core::wait::Timeouts;
use hermes_core::{ProfileName, ProfileRegistrar, RootHome, Store};

use self::launchctl::{Domain, Launchctl};
use self::lifecycle::Gateway;
use self::plist::{Agent, Pinned};
use crate::account::{Account, tag};
use crate::command::Tool;

pub use self::launcher::Launcher;
pub use self::plist::LABEL_OPTION;

/// Labels, and the names of the property lists, begin with this.
const LABEL: &str = "ai.hermes.gateway";
/// How property lists end.
const EXTENSION: &str = ".plist";
/// The longest name that a file may have.
const NAME_MAX: usize = 255;

/// Where the backend works, and as whom.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The account that the gateways run as: launchd looks into its home, whatever `$HOME` says.
    pub account: Account,
    /// The program `launchctl`.
    pub launchctl: Tool,
    /// The program `hermes` that jobs run, an absolute path.
    pub program: PathBuf,
    /// How long commands wait.
    pub timeouts: Timeouts,
}

/// The launchd backend.
#[derive(Debug, Clone)]
pub struct Launchd {
    store: Store,
    launchctl: Launchctl,
    /// Where property lists are.
    agents: PathBuf,
    /// The program that jobs run.
    program: PathBuf,
    /// [`LABEL`], with what tells this home from the account's own.
    prefix: String,
    timeouts: Timeouts,
}

impl Launchd {
    /// The backend for the gateways of `root`. Nothing is read yet.
    pub fn new(root: RootHome, setup: Setup) -> Self {
        let Setup { account, launchctl, program, timeouts } = setup;
        let prefix = match account.is_default(&root) {
            true => LABEL.to_owned(),
            false => format!("{LABEL}-{}", tag(&root)),
        };
        Self {
            launchctl: Launchctl::new(launchctl, account.uid, timeouts.supervise),
            store: Store::new(root).with_timeout(timeouts.lock),
            agents: account.home.join("Library/LaunchAgents"),
            program,
            prefix,
            timeouts,
        }
    }

    /// This process as the launcher of the job `label`, for the profile at `home`.
    pub fn launcher<'a>(&'a self, label: &'a str, home: &'a ProfileHome) -> Launcher<'a> {
        Launcher::new(&self.launchctl, label, home)
    }

    /// The profiles whose property lists pin this home, sorted, whether they still exist or not.
    fn installed(&self) -> io::Result<Vec<ProfileName>> {
        let entries = match fs::read_dir(&self.agents) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let label = file.strip_suffix(EXTENSION).unwrap_or_default();
            let name = label.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('.'));
            let Some(name) = name.and_then(|name| name.parse().ok()) else { continue };
            if self.is_ours(&plist::pinned(&path)?) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn install_locked(&self, operation: &str, profile: &Profile) -> Result<(), ManagerError> {
        self.check_name(&profile.name)?;
        self.refuse_other_home(operation, &profile.name)?;
        let io = |error: io::Error| failed(operation, error);
        let domain = self.launchctl.domain(operation)?;
        let gateway = self.gateway(operation, profile);
        let bytes = self.render(&gateway, domain).map_err(io)?;
        // launchd, which makes no directories, may start it before `start` is ever called.
        fs::create_dir_all(&gateway.log).map_err(io)?;
        plist::write(&gateway.agent, &bytes).map_err(io)?;
        Ok(())
    }

    fn uninstall_locked(&self, operation: &str, name: &ProfileName) -> Result<(), ManagerError> {
        self.refuse_other_home(operation, name)?;
        let gateway = self.gateway(operation, &self.profile_called(name));
        gateway.bring_down()?;
        let remove = || {
            fsutil::remove_file_if_there(&gateway.home.launchd_record())?;
            if fsutil::remove_file_if_there(&gateway.agent)? {
                fsutil::sync_directory(&self.agents)?;
            }
            Ok(())
        };
        remove().map_err(|error: io::Error| failed(operation, error))?;
        // Somebody at the screen may have loaded it once more before it was gone.
        gateway.bring_down()
    }

    fn start_locked(&self, operation: &str, profile: &Profile) -> Result<(), ManagerError> {
        let domain = self.launchctl.domain(operation)?;
        self.gateway(operation, profile).bring_up(domain)
    }

    fn stop_locked(&self, operation: &str, profile: &Profile) -> Result<(), ManagerError> {
        let gateway = self.gateway(operation, profile);
        gateway.bring_down()?;
        // What was stopped is not parked.
        let removed = fsutil::remove_file_if_there(&gateway.home.launchd_record());
        removed.map(|_| ()).map_err(|error| failed(operation, error))
    }

    fn gateway<'a>(&'a self, operation: &'a str, profile: &Profile) -> Gateway<'a> {
        let config = config_of(profile);
        Gateway {
            launchctl: &self.launchctl,
            timeouts: self.timeouts,
            operation,
            name: profile.name.clone(),
            home: profile.home.clone(),
            label: self.label(&profile.name),
            agent: self.agent_path(&profile.name),
            log: self.store.root().gateway_logs(&profile.name),
            notifies: config.notifies_readiness(),
            stop_timeout: config.stop_timeout,
        }
    }

    fn render(&self, gateway: &Gateway<'_>, domain: Domain) -> io::Result<Vec<u8>> {
        let agent = Agent {
            label: &gateway.label,
            hermes: &self.program,
            profile: gateway.name.as_str(),
            root: self.store.root().path(),
            log: &gateway.log.join(log::CURRENT),
            stop_timeout: gateway.stop_timeout,
            domain,
        };
        agent.render()
    }

    /// The label of the profile's job.
    fn label(&self, name: &ProfileName) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Where the profile's property list is, whether it is there or not.
    fn agent_path(&self, name: &ProfileName) -> PathBuf {
        self.agents.join(self.label(name) + EXTENSION)
    }

    fn is_ours(&self, pinned: &Pinned) -> bool {
        matches!(pinned, Pinned::Home(home) if home == self.store.root().path())
    }

    /// Refuses a property list that is another home's, or nobody knows whose.
    fn refuse_other_home(&self, operation: &str, name: &ProfileName) -> Result<(), ManagerError> {
        let path = self.agent_path(name);
        let pinned = plist::pinned(&path).map_err(|error| failed(operation, error))?;
        let (path, home) = (path.display(), self.store.root().path().display());
        let why = match &pinned {
            Pinned::Nothing => return Ok(()),
            _ if self.is_ours(&pinned) => return Ok(()),
            Pinned::Home(other) => {
                format!(
                    "`{path}` is for the home `{}`, and the home here is `{home}`",
                    other.display()
                )
            }
            Pinned::Unknown => format!("`{path}` is not ours: it names no home"),
        };
        Err(refused(operation, why, Some("remove the file if it is nobody's any more".to_owned())))
    }

    /// The profile and its lock. Where there is no profile no lock is made, nor a home for it.
    fn locked(&self, operation: &str, name: &ProfileName) -> Result<(Profile, Lock), ManagerError> {
        self.profile(operation, name)?;
        let settled = self.store.settle_renames_of(name, self.timeouts.lock);
        settled.map_err(|error| of_store(operation, error))?;
        let lock = self.lock(operation, self.store.root().profile_lock(name))?;
        // It may have been deleted while this one waited.
        Ok((self.profile(operation, name)?, lock))
    }

    fn lock(&self, operation: &str, path: PathBuf) -> Result<Lock, ManagerError> {
        Lock::acquire(&path, self.timeouts.lock).map_err(|error| of_lock(operation, error))
    }

    /// Refuses a port that another profile's running gateway has ([`gateway::claim_port`]).
    fn claim_port(&self, operation: &str, profile: &Profile) -> Result<Option<Lock>, ManagerError> {
        let running = || {
            let listing = self.store.list().map_err(|error| of_store(operation, error))?;
            let mut names = Vec::new();
            for other in listing.profiles {
                let holder = other_holder(&other.home.gateway_lock(), None);
                if holder.map_err(|error| failed(operation, error))?.is_some() {
                    names.push(other.name);
                }
            }
            Ok(names)
        };
        gateway::claim_port(&self.store, self.timeouts.lock, operation, profile, running)
    }

    fn profile(&self, operation: &str, name: &ProfileName) -> Result<Profile, ManagerError> {
        self.store.get(name).map_err(|error| of_store(operation, error))
    }

    fn profile_called(&self, name: &ProfileName) -> Profile {
        Profile { name: name.clone(), home: self.store.root().profile(name) }
    }
}
