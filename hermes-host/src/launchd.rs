//! The launchd driver: one job for each gateway, in the user's own domain.
//!
//! | file | what it does |
//! |---|---|
//! | `plist` | the property list that describes a job |
//! | `launchctl` | calls launchctl, and parses its output |
//! | `launcher` | the job's process before it becomes the gateway |
//! | `log` | the file that launchd appends a gateway's output to |
//! | `examine` | the findings of `doctor` about launchd |
//! | `lifecycle`, `status` | starting and stopping; the current status |
//!
//! A gateway is *installed* if its property list is in `~/Library/LaunchAgents`. launchd keeps every *loaded*
//! job running. A login loads all installed jobs, and the launcher unloads those whose intent is not
//! `running`: the intent in the profile's home is the only record of what the operator wants.

mod examine;
mod launchctl;
mod launcher;
mod lifecycle;
mod log;
mod plist;
mod status;

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use hermes_core::detect::Facts;
use hermes_core::diagnostics::{Examination, Snapshot};
use hermes_core::driver::{CreateOptions, Driver, DriverError, Environment, Lifetime};
use hermes_core::events::Journal;
use hermes_core::home::{ProfileHome, env};
use hermes_core::process_lock::other_holder;
use hermes_core::status::Status;
use hermes_core::wait::Timeouts;
use hermes_core::{Gateway, Kind, ProfileName, RootHome, Store, fsutil, writers};

use self::launchctl::{Domain, Launchctl};
use self::lifecycle::ManagedJob;
use self::plist::{Agent, Pinned};
use crate::account::{Account, tag};
use crate::command::Tool;

pub use self::launcher::Launcher;
pub use self::plist::LABEL_OPTION;

/// The kind of this backend.
pub const KIND: Kind = Kind::new("launchd");
/// The prefix of labels, and so of the file names of property lists.
const LABEL: &str = "ai.hermes.gateway";
/// The extension of property lists.
const EXTENSION: &str = ".plist";
/// The longest file name, in bytes.
const NAME_MAX: usize = 255;

/// The account and programs that the backend works with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The account that the gateways run as. launchd searches its home directory, not `$HOME`.
    pub account: Account,
    /// The program `launchctl`.
    pub launchctl: Tool,
    /// The program `hermes` that jobs run, an absolute path.
    pub program: PathBuf,
    /// The timeouts of commands.
    pub timeouts: Timeouts,
    /// Whether jobs use homes that other users may write to.
    pub open_homes: bool,
}

/// The launchd backend.
#[derive(Debug, Clone)]
pub struct Launchd {
    store: Store,
    launchctl: Launchctl,
    /// The directory of property lists.
    agents: PathBuf,
    /// The program that jobs run.
    program: PathBuf,
    /// [`LABEL`], with a tag if this is not the account's default home.
    prefix: String,
    timeouts: Timeouts,
}

impl Launchd {
    /// The backend for the gateways of `root`. Reads no file.
    pub fn new(root: RootHome, setup: Setup) -> Self {
        let Setup { account, launchctl, program, timeouts, open_homes } = setup;
        let prefix = match account.is_default(&root) {
            true => LABEL.to_owned(),
            false => format!("{LABEL}-{}", tag(&root)),
        };
        Self {
            launchctl: Launchctl::new(launchctl, account.uid, timeouts.supervise),
            store: Store::new(root).with_timeout(timeouts.lock).with_open_homes(open_homes),
            agents: account.home.join("Library/LaunchAgents"),
            program,
            prefix,
            timeouts,
        }
    }

    /// This process as the launcher of the job `label`, for the profile `name` at `home`.
    pub fn launcher<'a>(
        &'a self,
        label: &'a str,
        name: &ProfileName,
        home: &'a ProfileHome,
    ) -> Launcher<'a> {
        let root = self.store.root();
        let events = Journal::new(root).of(name);
        Launcher::new(&self.launchctl, label, home, root.gateway_logs(name), events)
    }

    /// The profiles whose property lists name this home, sorted, including profiles that no longer exist.
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

    fn job<'a>(&'a self, gateway: &'a Gateway) -> ManagedJob<'a> {
        ManagedJob {
            gateway,
            launchctl: &self.launchctl,
            timeouts: self.timeouts,
            label: self.label(gateway.name()),
            agent: self.agent_path(gateway.name()),
            log: self.store.root().gateway_logs(gateway.name()),
        }
    }

    fn render(&self, job: &ManagedJob<'_>, domain: Domain) -> io::Result<Vec<u8>> {
        let agent = Agent {
            label: &job.label,
            hermes: &self.program,
            profile: job.gateway.name().as_str(),
            root: self.store.root().path(),
            log: &job.log.join(log::CURRENT),
            stop_timeout: job.gateway.stop_timeout(),
            files: job.gateway.config().resources.files,
            domain,
            // Commands without the variable don't take back what one with it allowed.
            open_homes: self.store.allows_open_homes()
                || matches!(plist::pinned(&job.agent)?, Pinned::Home { open_homes: true, .. }),
        };
        agent.render()
    }

    /// The label of the profile's job.
    fn label(&self, name: &ProfileName) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// The path of the profile's property list, which may not exist.
    fn agent_path(&self, name: &ProfileName) -> PathBuf {
        self.agents.join(self.label(name) + EXTENSION)
    }

    fn is_ours(&self, pinned: &Pinned) -> bool {
        matches!(pinned, Pinned::Home { home, .. } if home == self.store.root().path())
    }

    /// Returns an error if the property list is another home's, or names no home.
    fn refuse_other_home(&self, name: &ProfileName) -> Result<(), DriverError> {
        let path = self.agent_path(name);
        let pinned = plist::pinned(&path)?;
        let (path, home) = (path.display(), self.store.root().path().display());
        let reason = match &pinned {
            Pinned::Nothing => return Ok(()),
            _ if self.is_ours(&pinned) => return Ok(()),
            Pinned::Home { home: other, .. } => {
                format!("`{path}` is for the home `{}`, not for `{home}`", other.display())
            }
            Pinned::Unknown => format!("`{path}` was not written by hermes: it names no home"),
        };
        Err(DriverError::new(reason).with_hint("remove the file if nothing else needs it"))
    }
}

impl Driver for Launchd {
    fn detect(facts: &Facts) -> bool {
        facts.launchd
    }

    fn connect(environment: &Environment) -> Result<Self, DriverError> {
        let uid = rustix::process::getuid().as_raw();
        let (launchctl, account) = match (environment.variable)(env::TEST_LAUNCHCTL) {
            Some(program) => {
                let home = (environment.variable)("HOME").map(PathBuf::from).unwrap_or_default();
                let account = Account { name: uid.to_string(), uid, home };
                (Tool::at("launchctl", Path::new(&program)), account)
            }
            None => {
                let path = (environment.variable)("PATH").unwrap_or_default();
                let launchctl = Tool::find("launchctl", &path);
                launchctl.path()?;
                (launchctl, Account::of(uid, &path)?)
            }
        };
        let (program, timeouts) = (environment.program.clone(), environment.timeouts);
        let open_homes = environment.allows_open_homes();
        let setup = Setup { account, launchctl, program, timeouts, open_homes };
        Ok(Self::new(environment.root.clone(), setup))
    }

    fn kind(&self) -> Kind {
        KIND
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Installed
    }

    /// Refuses a profile name that is too long for the file name of a property list.
    fn check_name(&self, name: &ProfileName) -> Result<(), DriverError> {
        let file = self.label(name).len() + EXTENSION.len();
        if file <= NAME_MAX {
            return Ok(());
        }
        let (len, longest) = (name.as_str().len(), NAME_MAX + name.as_str().len() - file);
        let reason = format!("the name has {len} bytes; the property list's file allows {longest}");
        Err(DriverError::new(reason))
    }

    /// Refuses a property list of another home, or one that names no home.
    fn check(&self, name: &ProfileName, _: &str) -> Result<(), DriverError> {
        self.refuse_other_home(name)
    }

    fn exists(&self, name: &ProfileName) -> Result<bool, DriverError> {
        Ok(fsutil::exists(&self.agent_path(name))?)
    }

    fn list(&self) -> Result<Vec<ProfileName>, DriverError> {
        Ok(self.installed()?)
    }

    /// Writes the property list. The next login starts the gateway if its intent is `running`.
    fn create(&self, gateway: &Gateway, _: &CreateOptions) -> Result<(), DriverError> {
        self.check_name(gateway.name())?;
        self.refuse_other_home(gateway.name())?;
        let domain = self.launchctl.domain()?;
        let job = self.job(gateway);
        let bytes = self.render(&job, domain)?;
        // launchd creates no directories, and a login may start the job before `start` does.
        writers::create_log_directory(&job.log)?;
        plist::write(&job.agent, &bytes)?;
        Ok(())
    }

    fn remove(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.refuse_other_home(gateway.name())?;
        let job = self.job(gateway);
        job.bring_down()?;
        fsutil::remove_file_if_there(&gateway.home().launchd_record())?;
        if fsutil::remove_file_if_there(&job.agent)? {
            fsutil::sync_directory(&self.agents)?;
        }
        // A login may have loaded the job again before the property list was removed.
        job.bring_down()
    }

    fn up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let domain = self.launchctl.domain()?;
        self.job(gateway).bring_up(domain)
    }

    fn request_up(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.job(gateway).request_up(self.launchctl.domain()?)
    }

    fn down(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.job(gateway).bring_down()?;
        // A stopped gateway is not parked.
        fsutil::remove_file_if_there(&gateway.home().launchd_record())?;
        Ok(())
    }

    fn observe(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        self.status_of(gateway)
    }

    /// The gateways whose lock is held, which is faster than calling launchctl for each.
    fn running(&self, gateways: &[Gateway]) -> Result<Vec<ProfileName>, DriverError> {
        let mut names = Vec::new();
        for gateway in gateways {
            if other_holder(&gateway.home().gateway_lock(), None)?.is_some() {
                names.push(gateway.name().clone());
            }
        }
        Ok(names)
    }

    fn examine(&self, snapshot: &Snapshot) -> Examination {
        Examination { backend: vec![self.installed_agents(snapshot)], ..Examination::default() }
    }
}
