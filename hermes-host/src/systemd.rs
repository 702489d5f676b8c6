//! The systemd driver: runs gateways under one manager, the user's or the system's.
//!
//! All gateways of a root home share one template unit. A gateway is *installed* if the `.wants` directory
//! of the manager's target has a link to its instance. Each instance checks the profile's intent before it
//! starts (`ExecCondition=`), so a boot starts exactly the gateways whose intent is `running`, and there is
//! no second record of it.
//!
//! | file | what it does |
//! |---|---|
//! | `scope` | the two managers, and their paths |
//! | `unit` | names of units, and the text of the template |
//! | `show` | reads `systemctl show` |
//! | `template` | writes and removes the template and the links |
//! | `drop_in` | writes and removes the limits of each gateway |
//! | `lifecycle` | starts and stops gateways, and checks the result |
//! | `journal` | reads and follows the gateways' logs |
//! | `ended` | records a death when a unit ended |
//! | `examine` | the findings of `doctor` about systemd |

mod drop_in;
mod ended;
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
use hermes_core::config::{Resource, StopTimeout};
use hermes_core::detect::Facts;
use hermes_core::diagnostics::{Examination, Snapshot};
use hermes_core::driver::{CreateOptions, Driver, DriverError, Environment, Lifetime};
use hermes_core::log::Logs;
use hermes_core::status::Status;
use hermes_core::wait::Timeouts;
use hermes_core::{Gateway, Kind, ProfileName, RootHome, Store, fsutil};

use crate::account::{Account, tag};
use crate::command::Tool;
use scope::Places;
pub use scope::Scope;
use unit::Names;

/// The kind of this backend.
pub const KIND: Kind = Kind::new("systemd");

/// The account, programs and paths that the backend works with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The account that the gateways run as.
    pub account: Account,
    /// The account's runtime directory, usually `/run/user/<uid>`.
    pub runtime: PathBuf,
    /// The program `hermes` that the units start.
    pub program: PathBuf,
    /// The root of the file system: `/`, except in tests.
    pub root: PathBuf,
    /// Whether this process may change units of the system's manager.
    pub is_root: bool,
    /// The timeouts of commands.
    pub timeouts: Timeouts,
    /// Whether units use homes that other users may write to.
    pub open_homes: bool,
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
    /// Whether this backend has already brought the template up to date.
    settled: AtomicBool,
}

impl Systemd {
    /// A backend for the gateways of `home` in the manager of `scope`. Searches `systemctl` and `journalctl`
    /// in the system's directories and in `path`; reads nothing else.
    pub fn new(home: RootHome, scope: Scope, setup: Setup, path: &OsStr) -> Self {
        let store = Store::new(home).with_timeout(setup.timeouts.lock);
        let store = store.with_open_homes(setup.open_homes);
        let tool = |name| {
            // The shell's bus may be another user's; the manager's own socket is in the runtime directory.
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

    /// The manager that has the template of `home`: the system's if only the system's has it, else the
    /// user's.
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

    /// The manager of this backend.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns an error if the units are the system's and this process is not root.
    fn require_rights(&self, command: &str) -> Result<(), DriverError> {
        if self.scope == Scope::User || self.setup.is_root {
            return Ok(());
        }
        let home = self.store.root().path().display();
        Err(DriverError::denied("the unit is the system's, and only root may change it")
            .with_hint(format!("sudo env HERMES_HOME={home} hermes --system {command}")))
    }
}

fn names(home: &RootHome, scope: Scope, account: &Account) -> Names {
    // In the system's manager, the default homes of two users would have the same name.
    let plain = scope == Scope::User && account.is_default(home);
    Names::new((!plain).then(|| tag(home)).as_deref())
}

impl Driver for Systemd {
    /// Whether a manager answers, the system's or the user's own.
    fn detect(facts: &Facts) -> bool {
        facts.systemd || facts.user_systemd.is_some()
    }

    /// Uses the system's manager with `--system`, or if only it has this home's template; else the user's.
    fn connect(environment: &Environment) -> Result<Self, DriverError> {
        let me = rustix::process::geteuid().as_raw();
        // Gateways run as the owner of their home. This user creates a home that does not exist yet.
        let owner = fs::metadata(environment.root.path()).map_or(me, |metadata| metadata.uid());
        let is_root = rustix::process::getuid().is_root();
        let path = (environment.variable)("PATH").unwrap_or_default();
        let setup = |scope| {
            let uid = if scope == Scope::System { owner } else { me };
            let runtime = environment.runtime_dir();
            Ok::<_, DriverError>(Setup {
                account: Account::of(uid, &path)?,
                runtime: runtime.unwrap_or_else(|| format!("/run/user/{uid}").into()),
                program: environment.program.clone(),
                root: "/".into(),
                is_root,
                timeouts: environment.timeouts,
                open_homes: environment.allows_open_homes(),
            })
        };
        let scope = match environment.system {
            true => Scope::System,
            false => Self::scope_of(&environment.root, &setup(Scope::User)?),
        };
        Ok(Self::new(environment.root.clone(), scope, setup(scope)?, &path))
    }

    fn kind(&self) -> Kind {
        KIND
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Installed
    }

    /// Refuses a profile name that is too long for the name of a unit.
    fn check_name(&self, name: &ProfileName) -> Result<(), DriverError> {
        let (len, longest) = (name.as_str().len(), self.names.longest_profile());
        if len <= longest {
            return Ok(());
        }
        let reason = format!("the name has {len} bytes; systemd allows {longest}");
        Err(DriverError::new(reason))
    }

    /// Refuses a change of the system's units unless this is root, and a template of another home.
    fn check(&self, _: &ProfileName, command: &str) -> Result<(), DriverError> {
        self.require_rights(command)?;
        self.serves(StopTimeout::default()).map(drop)
    }

    fn exists(&self, name: &ProfileName) -> Result<bool, DriverError> {
        Ok(fsutil::exists(&self.link(name))?)
    }

    fn list(&self) -> Result<Vec<ProfileName>, DriverError> {
        Ok(self.installed()?)
    }

    /// Brings the template up to date and links the instance into the target's `.wants` directory.
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
        self.status_of(gateway, &self.properties(gateway.name())?)
    }

    /// One call of systemctl for all units.
    fn observe_many(
        &self,
        gateways: &[Gateway],
    ) -> Result<Vec<Result<Status, DriverError>>, DriverError> {
        let all = self.show(&[&self.names.pattern()])?;
        let status = |gateway: &Gateway| {
            let unit = self.names.unit(gateway.name());
            // A unit that is not loaded is down.
            let properties = all.iter().find(|other| other.id == unit).cloned();
            self.status_of(gateway, &properties.unwrap_or_default())
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

    fn enforces(&self, resource: Resource, _: u64) -> Result<(), DriverError> {
        self.can_limit(resource)
    }

    fn examine(&self, snapshot: &Snapshot) -> Examination {
        self.checks(snapshot)
    }
}
