//! The systemd backend: the service traits over one manager, the user's or the system's.
//!
//! There is one template unit for all gateways of a root home, and a gateway is *installed* when the
//! manager's target has a link that wants its instance. The intent decides the rest: an instance asks
//! for it before it starts (`ExecCondition=`), so that a start of the machine brings up what is wanted
//! and nothing else, and no second record can disagree.
//!
//! | file | what it does |
//! |---|---|
//! | `scope` | which manager, and where it keeps what |
//! | `unit` | names of units, and the template's text |
//! | `show` | what systemd says of units |
//! | `template` | writing and removing the template and the links |
//! | `lifecycle` | starting and stopping, until it was seen |
//! | `journal` | the gateways' logs, which the journal keeps |
//! | `examine` | what a look at the machine finds |

mod examine;
mod journal;
mod lifecycle;
mod scope;
mod show;
mod template;
pub mod unit;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use hermes_core::backend::RenameError;
use hermes_core::diagnostics::Examination;
use hermes_core::failure::{corrupt, failed, of_lock, of_store, refused};
use hermes_core::gateway::{self, record_intent};
use hermes_core::lock::Lock;
use hermes_core::log::Logs;
use hermes_core::manager::ManagerError;
use hermes_core::reseat::{Before, Reseat, reseat};
use hermes_core::status::{State, Status};
use hermes_core::store::Profile;
use hermes_core::wait::Timeouts;
use hermes_core::{
    Backend, Intent, Kind, ProfileName, ProfileRegistrar, RootHome, ServiceManager, Store,
};

use crate::account::{Account, tag};
use crate::command::Tool;
use scope::Places;
pub use scope::Scope;
use unit::Names;

/// Where the backend works, and as whom.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The account that the gateways run as.
    pub account: Account,
    /// Its runtime directory, usually `/run/user/<uid>`.
    pub runtime: PathBuf,
    /// The program `hermes` that the units start.
    pub program: PathBuf,
    /// Where the file system begins: `/` but in tests.
    pub root: PathBuf,
    /// Whether this process may change what the system's manager runs.
    pub is_root: bool,
    /// How long commands wait.
    pub timeouts: Timeouts,
}

/// The systemd backend.
#[derive(Debug)]
pub struct Systemd {
    store: Store,
    scope: Scope,
    names: Names,
    places: Places,
    setup: Setup,
    systemctl: Tool,
    journalctl: Tool,
    /// Whether this backend has brought the template up to date already.
    settled: AtomicBool,
}

impl Systemd {
    /// A backend for the gateways of `home` in the manager of `scope`. Programs are looked for in the
    /// system's directories and on `path`; nothing else is read yet.
    pub fn new(home: RootHome, scope: Scope, setup: Setup, path: &OsStr) -> Self {
        let store = Store::new(home).with_timeout(setup.timeouts.lock);
        let tool = |name| {
            // A shell's bus may be another user's; the runtime directory has the manager's own socket.
            let tool = Tool::find(name, path).env("XDG_RUNTIME_DIR", setup.runtime.as_os_str());
            tool.env_remove("DBUS_SESSION_BUS_ADDRESS").env("LC_ALL", "C.UTF-8")
        };
        Self {
            names: names(store.root(), scope, &setup.account),
            places: scope.places(&setup.root, &setup.account, &setup.runtime),
            systemctl: tool("systemctl"),
            journalctl: tool("journalctl"),
            settled: AtomicBool::new(false),
            store,
            scope,
            setup,
        }
    }

    /// The manager that has the units of `home`: the system's if it has them and the user's has not,
    /// else the user's.
    pub fn scope_of(home: &RootHome, setup: &Setup) -> Scope {
        let has = |scope: Scope| {
            let places = scope.places(&setup.root, &setup.account, &setup.runtime);
            places.units.join(names(home, scope, &setup.account).template()).exists()
        };
        match !has(Scope::User) && has(Scope::System) {
            true => Scope::System,
            false => Scope::User,
        }
    }

    /// The manager it works with.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    fn profile(&self, operation: &str, name: &ProfileName) -> Result<Profile, ManagerError> {
        self.store.get(name).map_err(|error| of_store(operation, error))
    }

    /// The profile and its lock. Where there is no profile no lock is made, nor a home for it.
    fn locked(&self, operation: &str, name: &ProfileName) -> Result<(Profile, Lock), ManagerError> {
        self.profile(operation, name)?;
        let settled = self.store.settle_renames_of(name, self.setup.timeouts.lock);
        settled.map_err(|error| of_store(operation, error))?;
        let lock = self.lock(operation, self.store.root().profile_lock(name))?;
        // It may have been deleted while this one waited.
        Ok((self.profile(operation, name)?, lock))
    }

    fn lock(&self, operation: &str, path: PathBuf) -> Result<Lock, ManagerError> {
        Lock::acquire(&path, self.setup.timeouts.lock).map_err(|error| of_lock(operation, error))
    }

    /// Refuses to change what the system's manager runs, where only root may.
    fn require_rights(&self, operation: &str, command: &str) -> Result<(), ManagerError> {
        if self.scope == Scope::User || self.setup.is_root {
            return Ok(());
        }
        let home = self.store.root().path().display();
        Err(ManagerError::Denied {
            operation: operation.to_owned(),
            source: "its unit is the system's, which root alone changes".into(),
            hint: Some(format!("sudo env HERMES_HOME={home} hermes --system {command}")),
        })
    }

    /// Refuses a port that another profile's running gateway has ([`gateway::claim_port`]).
    fn claim_port(&self, operation: &str, profile: &Profile) -> Result<Option<Lock>, ManagerError> {
        let running = || {
            let units = self.show(operation, &[&self.names.pattern()])?.into_iter();
            let up = units.filter(|unit| unit.pid.is_some());
            Ok(up.filter_map(|unit| self.names.profile(&unit.id)).collect())
        };
        let timeout = self.setup.timeouts.lock;
        gateway::claim_port(&self.store, timeout, operation, profile, running)
    }
}

fn names(home: &RootHome, scope: Scope, account: &Account) -> Names {
    // Two users' own homes are both the default one, and may have units of the same system.
    let plain = scope == Scope::User && account.is_default(home);
    Names::new((!plain).then(|| tag(home)).as_deref())
}

impl ServiceManager for Systemd {
    fn kind(&self) -> Kind {
        Kind::Systemd
    }

    fn start(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("start the gateway of `{name}`");
        self.profile(&operation, name)?;
        self.require_rights(&operation, &format!("gateway start {name}"))?;
        let (profile, _lock) = self.locked(&operation, name)?;
        let _port = self.claim_port(&operation, &profile)?;
        record_intent(&operation, Intent::Running, &profile)?;
        self.install_locked(&operation, &profile)?;
        self.bring_up(&operation, &profile)?;
        self.status(name)
    }

    fn stop(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("stop the gateway of `{name}`");
        self.profile(&operation, name)?;
        self.require_rights(&operation, &format!("gateway stop {name}"))?;
        let (profile, _lock) = self.locked(&operation, name)?;
        record_intent(&operation, Intent::Stopped, &profile)?;
        self.bring_down(&operation, name)?;
        self.status(name)
    }

    fn restart(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("restart the gateway of `{name}`");
        self.profile(&operation, name)?;
        self.require_rights(&operation, &format!("gateway restart {name}"))?;
        let (profile, _lock) = self.locked(&operation, name)?;
        let _port = self.claim_port(&operation, &profile)?;
        record_intent(&operation, Intent::Running, &profile)?;
        self.install_locked(&operation, &profile)?;
        self.bring_down(&operation, name)?;
        self.bring_up(&operation, &profile)?;
        self.status(name)
    }

    fn status(&self, name: &ProfileName) -> Result<Status, ManagerError> {
        let operation = format!("read the status of `{name}`");
        let profile = self.profile(&operation, name)?;
        let seen = self.seen(&operation, name)?;
        self.status_of(&profile, &seen).map_err(|error| failed(operation, error))
    }

    fn statuses(
        &self,
        profiles: &[ProfileName],
    ) -> Result<Vec<Result<Status, ManagerError>>, ManagerError> {
        let all = self.show("read the status of the gateways", &[&self.names.pattern()])?;
        let status = |name: &ProfileName| {
            let operation = format!("read the status of `{name}`");
            let profile = self.profile(&operation, name)?;
            let unit = self.names.unit(name);
            // What is not loaded is down.
            let seen = all.iter().find(|seen| seen.id == unit).cloned().unwrap_or_default();
            self.status_of(&profile, &seen).map_err(|error| failed(operation, error))
        };
        Ok(profiles.iter().map(status).collect())
    }
}

impl ProfileRegistrar for Systemd {
    fn check_name(&self, name: &ProfileName) -> Result<(), ManagerError> {
        let (len, longest) = (name.as_str().len(), self.names.longest_profile());
        if len <= longest {
            return Ok(());
        }
        let why = format!("the name has {len} bytes, and systemd carries at most {longest}");
        Err(refused(&format!("install the gateway of `{name}`"), why, None))
    }
}

impl Backend for Systemd {
    fn supports_installation(&self) -> bool {
        true
    }

    fn install_profile_gateway(&self, name: &ProfileName) -> Result<(), ManagerError> {
        let operation = format!("install the gateway of `{name}`");
        self.profile(&operation, name)?;
        self.check_name(name)?;
        self.require_rights(&operation, &format!("gateway install {name}"))?;
        let (profile, _lock) = self.locked(&operation, name)?;
        let intent = Intent::read(&profile.home).map_err(|error| corrupt(&operation, error))?;
        let _port = match intent {
            Intent::Running => self.claim_port(&operation, &profile)?,
            Intent::Stopped => None,
        };
        self.install_locked(&operation, &profile)?;
        match intent {
            Intent::Running => self.bring_up(&operation, &profile),
            Intent::Stopped => Ok(()),
        }
    }

    fn uninstall_profile_gateway(&self, name: &ProfileName) -> Result<(), ManagerError> {
        let operation = format!("uninstall the gateway of `{name}`");
        let known = self.store.find(name).map_err(|error| failed(&operation, error))?.is_some();
        if !known && !self.has(name) {
            return Ok(());
        }
        self.require_rights(&operation, &format!("gateway uninstall {name}"))?;
        let _lock = self.lock(&operation, self.store.root().profile_lock(name))?;
        self.uninstall_locked(&operation, name)
    }

    fn list_services(&self) -> Result<Vec<ProfileName>, ManagerError> {
        let operation = format!("list the units in `{}`", self.places.wants.display());
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
        self.require_rights(&operation, &format!("profile rename {from} {to}"))?;
        let renaming = self.store.begin_rename(from, to, self.setup.timeouts.lock)?;
        let called = |name: &ProfileName| Profile {
            name: name.clone(),
            home: self.store.root().profile(name),
        };
        let (old, new) = (called(from), called(to));
        if self.has(to) {
            let why = format!("a unit of `{to}` is installed already, and belongs to no profile");
            let hint = format!("`hermes gateway uninstall {to}` removes it");
            return Err(refused(&operation, why, Some(hint)).into());
        }
        let intent = Intent::read(&old.home).map_err(|error| corrupt(&operation, error))?;
        let state = self.seen(&operation, from)?.state(false);
        let port = self.claim_port(&operation, &old);
        let (before, _port) = Before::new(true, intent, state == State::Up, port)?;
        reseat(self, &operation, &renaming, (&old, &new), before)
    }

    fn examine(&self) -> Vec<Examination> {
        self.look_around()
    }

    fn logs(&self) -> Option<&dyn Logs> {
        Some(self)
    }
}

impl Reseat for Systemd {
    fn take_away(&self, profile: &ProfileName) -> Result<(), ManagerError> {
        self.uninstall_locked(&format!("uninstall the gateway of `{profile}`"), profile)
    }

    fn make(&self, profile: &Profile, up: bool) -> Result<(), ManagerError> {
        let operation = format!("install the gateway of `{}`", profile.name);
        self.install_locked(&operation, profile)?;
        if up { self.bring_up_later(&operation, &profile.name) } else { Ok(()) }
    }

    fn has(&self, profile: &ProfileName) -> bool {
        self.link(profile).symlink_metadata().is_ok()
    }

    fn start(&self, profile: &Profile) -> Result<(), ManagerError> {
        self.bring_up(&format!("start the gateway of `{}`", profile.name), profile)
    }
}
