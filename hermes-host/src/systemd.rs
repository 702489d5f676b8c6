//! The systemd driver: the primitives of a backend over one manager, the user's or the system's.
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
//! | `journal` | what gateways said |
//! | `examine` | what `doctor` checks of systemd |

mod examine;
mod journal;
mod lifecycle;
mod scope;
mod show;
mod template;
pub mod unit;

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use fs_err as fs;
use hermes_core::config::StopTimeout;
use hermes_core::detect::Facts;
use hermes_core::diagnostics::{Examination, Snapshot};
use hermes_core::driver::{CreateOptions, Driver, DriverError, Environment, Lifetime};
use hermes_core::log::Logs;
use hermes_core::status::Status;
use hermes_core::wait::Timeouts;
use hermes_core::{Gateway, Kind, ProfileName, RootHome, Store};

use crate::account::{Account, tag};
use crate::command::Tool;
use scope::Places;
pub use scope::Scope;
use unit::Names;

/// The kind of this backend.
pub const KIND: Kind = Kind::new("systemd");

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

    /// Refuses to change what the system's manager runs, unless this is root.
    fn require_rights(&self, command: &str) -> Result<(), DriverError> {
        if self.scope == Scope::User || self.setup.is_root {
            return Ok(());
        }
        let home = self.store.root().path().display();
        Err(DriverError::denied("its unit is the system's, which root alone changes")
            .with_hint(format!("sudo env HERMES_HOME={home} hermes --system {command}")))
    }
}

fn names(home: &RootHome, scope: Scope, account: &Account) -> Names {
    // Two users' own homes are both the default one, and may have units of the same system.
    let plain = scope == Scope::User && account.is_default(home);
    Names::new((!plain).then(|| tag(home)).as_deref())
}

impl Driver for Systemd {
    /// A manager answers, the system's or the user's own.
    fn detect(facts: &Facts) -> bool {
        facts.systemd || facts.user_systemd.is_some()
    }

    /// The system's manager if that is meant, or if it alone has this home's units; else the user's own.
    fn connect(environment: &Environment) -> Result<Self, DriverError> {
        let me = rustix::process::geteuid().as_raw();
        // The gateways are their home's owner's. A home that does not exist yet will be its maker's.
        let owner = fs::metadata(environment.root.path()).map_or(me, |metadata| metadata.uid());
        let is_root = rustix::process::getuid().is_root();
        let setup = |scope| {
            let uid = if scope == Scope::System { owner } else { me };
            let runtime = environment.runtime_dir();
            Ok::<_, DriverError>(Setup {
                account: Account::of(uid)?,
                runtime: runtime.unwrap_or_else(|| format!("/run/user/{uid}").into()),
                program: environment.program.clone(),
                root: "/".into(),
                is_root,
                timeouts: environment.timeouts,
            })
        };
        let scope = match environment.system {
            true => Scope::System,
            false => Self::scope_of(&environment.root, &setup(Scope::User)?),
        };
        let path = (environment.variable)("PATH").unwrap_or_default();
        Ok(Self::new(environment.root.clone(), scope, setup(scope)?, &path))
    }

    fn kind(&self) -> Kind {
        KIND
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Installed
    }

    /// Refuses a name that is too long for a unit's.
    fn check_name(&self, name: &ProfileName) -> Result<(), DriverError> {
        let (len, longest) = (name.as_str().len(), self.names.longest_profile());
        if len <= longest {
            return Ok(());
        }
        let why = format!("the name has {len} bytes, and systemd carries at most {longest}");
        Err(DriverError::new(why))
    }

    /// Refuses a change of the system's units to anybody but root, and a template of another home's.
    fn check(&self, _: &ProfileName, command: &str) -> Result<(), DriverError> {
        self.require_rights(command)?;
        self.serves(StopTimeout::default()).map(drop)
    }

    fn exists(&self, name: &ProfileName) -> Result<bool, DriverError> {
        Ok(self.link(name).symlink_metadata().is_ok())
    }

    fn list(&self) -> Result<Vec<ProfileName>, DriverError> {
        Ok(self.installed()?)
    }

    /// Links the unit into the manager's target, and brings the template that all units share up to date.
    fn create(&self, gateway: &Gateway, _: &CreateOptions) -> Result<(), DriverError> {
        self.install(gateway)
    }

    fn remove(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.uninstall(gateway)
    }

    fn up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.bring_up(gateway)
    }

    fn request_up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.ask(&["start", "--no-block", &self.names.unit(gateway.name())]).map(drop)
    }

    fn down(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.bring_down(gateway)
    }

    fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        self.status_of(gateway, &self.seen(gateway.name())?)
    }

    /// One question to the manager about all units.
    fn observe_many(
        &self,
        gateways: &[Gateway],
    ) -> Result<Vec<Result<Status, DriverError>>, DriverError> {
        let all = self.show(&[&self.names.pattern()])?;
        let status = |gateway: &Gateway| {
            let unit = self.names.unit(gateway.name());
            // A unit that is not loaded is down.
            let seen = all.iter().find(|seen| seen.id == unit).cloned().unwrap_or_default();
            self.status_of(gateway, &seen)
        };
        Ok(gateways.iter().map(status).collect())
    }

    fn running(&self, _: &[Gateway]) -> Result<Vec<ProfileName>, DriverError> {
        let units = self.show(&[&self.names.pattern()])?.into_iter();
        let up = units.filter(|unit| unit.pid.is_some());
        Ok(up.filter_map(|unit| self.names.profile(&unit.id)).collect())
    }

    fn logs(&self) -> Option<&dyn Logs> {
        Some(self)
    }

    fn examine(&self, snapshot: &Snapshot) -> Examination {
        self.checks(snapshot)
    }
}
