//! What the arguments and the environment mean here: the home, the profile, the backend.
//!
//! This is the one file of this crate that picks a backend, and that reads environment variables (but for
//! the one that tests set, in `args`).

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hermes_core::detect::{self, Facts};
use hermes_core::home::{self, CONTAINER_ROOT, HomeFacts};
use hermes_core::manager::NoManager;
use hermes_core::shell::quote;
use hermes_core::wait::Timeouts;
use hermes_core::{Backend, Kind, ProfileName, RootHome, Store};
use hermes_host::command::Tool;
use hermes_host::systemd::Setup;
use hermes_host::{Account, Launchd, Scope, Systemd, launchd};
use hermes_s6::{S6Manager, S6Programs, ScanDir, ScriptPrograms, Tree, owner};

use crate::args::Global;
use crate::error::{CliError, exit};

/// The scan directory of a machine where s6 is in charge.
const SYSTEM_SCANDIR: &str = "/run/service";

/// Everything a command needs to know of where it runs.
pub(crate) struct App {
    /// The root home's profiles.
    pub(crate) store: Store,
    /// What the backend was picked by.
    pub(crate) facts: Facts,
    /// Whether to print JSON.
    pub(crate) json: bool,
    /// How long to wait for anything, if that was said.
    pub(crate) timeout: Option<Duration>,
    timeouts: Timeouts,
    /// Whether `--system` asks for the system's manager.
    system: bool,
    /// The scan directory that `--scandir` names.
    scandir_option: Option<PathBuf>,
    /// The profile that `-p` names.
    profile_option: Option<ProfileName>,
    /// The profile whose home `HERMES_HOME` is.
    home_profile: Option<ProfileName>,
}

/// A backend of any kind.
pub(crate) type Services = Box<dyn Backend + Sync>;

impl App {
    /// Looks around.
    pub(crate) fn new(global: Global) -> Result<Self, CliError> {
        let mut facts = Facts::gather(Path::new("/"));
        let scandir_option = global.scandir.map(absolute).transpose()?;
        facts.named_scandir = match &scandir_option {
            Some(dir) => Some(dir.clone()),
            None => variable(home::env::SCANDIR).map(PathBuf::from),
        };
        facts.launchd |= variable(home::env::TEST_LAUNCHCTL).is_some();
        facts.user_scandir = Some(user_scandir()).filter(|dir| is_held(dir));
        let socket = runtime_dir().map(|dir| dir.join("systemd/private"));
        facts.user_systemd = socket.filter(|socket| detect::answers(socket));
        let home_facts = HomeFacts {
            hermes_home: variable(home::env::HOME).map(PathBuf::from),
            user_home: env::home_dir(),
            s6_in_charge: facts.s6_in_charge(),
            container_root: Path::new(CONTAINER_ROOT).is_dir(),
        };
        let (root, home_profile) = home::locate(&home_facts)
            .map_err(|error| CliError::of(error).with_code(exit::USAGE))?;
        let timeout = global.timeout.map(Duration::from_secs);
        let timeouts = timeout.map_or_else(Timeouts::default, Timeouts::all);
        Ok(Self {
            store: timeout
                .iter()
                .fold(Store::new(root), |store, timeouts| store.with_timeout(*timeouts)),
            facts,
            json: global.json,
            timeout,
            timeouts,
            system: global.system,
            scandir_option,
            profile_option: global.profile,
            home_profile,
        })
    }

    /// The root home.
    pub(crate) fn root(&self) -> &RootHome {
        self.store.root()
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
        if let Some(profile) = self.profile_option.as_ref().or(self.home_profile.as_ref()) {
            return Ok(profile.clone());
        }
        Ok(self.store.active()?.unwrap_or_else(ProfileName::default_profile))
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
            names.extend(self.home_profile.clone());
        }
        match names.as_slice() {
            [] => Ok(ProfileName::default_profile()),
            [name] => Ok(name.clone()),
            [name, other, ..] => {
                let which = format!("it was told to be both `{name}` and `{other}`");
                Err(CliError::new("a gateway is one profile's")
                    .because(which)
                    .with_code(exit::USAGE))
            }
        }
    }

    /// Whether another machine or container runs the gateways of the home.
    pub(crate) fn is_client(&self) -> bool {
        variable(home::env::ROLE).is_some_and(|role| role == home::env::ROLE_CLIENT)
    }

    /// Refuses what needs a slot where another machine or container runs the gateways.
    pub(crate) fn refuse_client(&self) -> Result<(), CliError> {
        match variable(home::env::ROLE).as_ref().map(|role| role.to_string_lossy()) {
            None => return Ok(()),
            Some(role) if role == "owner" => return Ok(()),
            Some(role) if role == home::env::ROLE_CLIENT => {}
            Some(role) => {
                return Err(CliError::new(format!("`{role}` is no value of {}", home::env::ROLE))
                    .with_hint(
                        "it is `owner`, which supervises gateways, or `client`, which does not",
                    )
                    .with_code(exit::USAGE));
            }
        }
        let home = self.root().path().display();
        let because = match owner::owner(self.root()) {
            Ok(Some(owner)) => format!("the gateways of `{home}` are run by {owner}"),
            Ok(None) => format!("the gateways of `{home}` are run elsewhere, and by nobody now"),
            Err(error) => format!("who runs the gateways of `{home}` can't be seen: {error}"),
        };
        Err(CliError::new(format!(
            "{}={} supervises nothing",
            home::env::ROLE,
            home::env::ROLE_CLIENT
        ))
        .because(because)
        .with_hint("run the command there")
        .with_code(exit::OUT_OF_REACH))
    }

    /// The backend in charge, whether it answers or not.
    pub(crate) fn registrar(&self) -> Result<Services, CliError> {
        Ok(match self.kind()? {
            Kind::S6 => Box::new(self.s6()?),
            Kind::Systemd => Box::new(self.systemd()?),
            Kind::Launchd => Box::new(self.launchd()?),
            Kind::None => Box::new(NoManager),
        })
    }

    /// The kind of backend in charge, for commands that may use it here.
    fn kind(&self) -> Result<Kind, CliError> {
        self.refuse_client()?;
        let kind = self.facts.backend();
        if self.system && kind != Kind::Systemd {
            return Err(CliError::new("`--system` means the system's systemd")
                .because(format!("the backend here is {kind}"))
                .with_code(exit::USAGE));
        }
        Ok(kind)
    }

    /// The backend in charge, which must be there to answer.
    pub(crate) fn services(&self) -> Result<Services, CliError> {
        match self.kind()? {
            Kind::S6 => {
                let s6 = self.s6()?;
                s6.tree().require_svscan("reach the supervision tree")?;
                return Ok(Box::new(s6));
            }
            Kind::None => {
                return Err(CliError::new("nothing supervises gateways here")
                    .because("there is neither s6 nor systemd nor launchd")
                    .with_hint("`hermes up` runs a supervision tree for this user")
                    .with_code(exit::OUT_OF_REACH));
            }
            Kind::Systemd | Kind::Launchd => {}
        }
        self.registrar()
    }

    /// The s6 backend, for commands that exist for it alone.
    pub(crate) fn s6(&self) -> Result<S6Manager, CliError> {
        let kind = self.facts.backend();
        if kind != Kind::S6 {
            return Err(CliError::new(format!("s6 is not in charge here: the backend is {kind}"))
                .with_hint("`hermes up` runs a supervision tree for this user")
                .with_code(exit::OUT_OF_REACH));
        }
        let in_charge = || self.facts.s6_in_charge().then(|| SYSTEM_SCANDIR.into());
        let scandir =
            self.facts.named_scandir.clone().or_else(in_charge).unwrap_or_else(user_scandir);
        Ok(S6Manager::new(tree(scandir, self.root(), self.timeouts)?))
    }

    /// The systemd backend: the system's where `--system` says so, or where it alone has this home's units.
    fn systemd(&self) -> Result<Systemd, CliError> {
        let me = rustix::process::geteuid().as_raw();
        // The gateways are their home's owner's; one that is not there yet will be its maker's.
        let owner = std::fs::metadata(self.root().path()).map_or(me, |metadata| metadata.uid());
        let is_root = rustix::process::getuid().is_root();
        let setup = |scope| {
            let uid = if scope == Scope::System { owner } else { me };
            let runtime = runtime_dir().unwrap_or_else(|| format!("/run/user/{uid}").into());
            Ok::<_, CliError>(Setup {
                account: account(uid)?,
                runtime,
                program: program()?,
                root: "/".into(),
                is_root,
                timeouts: self.timeouts,
            })
        };
        let scope = match self.system {
            true => Scope::System,
            false => Systemd::scope_of(self.root(), &setup(Scope::User)?),
        };
        let path = variable("PATH").unwrap_or_default();
        Ok(Systemd::new(self.root().clone(), scope, setup(scope)?, &path))
    }

    /// The launchd backend, whether launchd is in charge or not.
    pub(crate) fn launchd(&self) -> Result<Launchd, CliError> {
        let uid = rustix::process::getuid().as_raw();
        let (launchctl, account) = match variable(home::env::TEST_LAUNCHCTL) {
            Some(program) => {
                let home = env::home_dir().unwrap_or_default();
                let account = Account { name: uid.to_string(), uid, home };
                (Tool::at("launchctl", Path::new(&program)), account)
            }
            None => {
                let path = variable("PATH").unwrap_or_default();
                (Tool::find("launchctl", &path), account(uid)?)
            }
        };
        let (program, timeouts) = (program()?, self.timeouts);
        let setup = launchd::Setup { account, launchctl, program, timeouts };
        Ok(Launchd::new(self.root().clone(), setup))
    }

    /// The tree that `hermes up` runs: on the scan directory that was named, else on this user's.
    pub(crate) fn tree_of_user(&self) -> Result<Tree, CliError> {
        let scandir = self.facts.named_scandir.clone().unwrap_or_else(user_scandir);
        tree(scandir, self.root(), self.timeouts)
    }
}

/// Whether a tree locks its home for itself.
pub(crate) fn owner_locks() -> bool {
    variable(home::env::OWNER_LOCK).is_none_or(|value| value != "off")
}

/// How long a tree waits for another owner of its home: what the environment says, or `default`.
pub(crate) fn owner_wait(default: Duration) -> Result<Duration, CliError> {
    let Some(value) = variable(home::env::OWNER_WAIT) else { return Ok(default) };
    let seconds = value.to_str().and_then(|value| value.parse().ok());
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let value = value.to_string_lossy();
        CliError::new(format!("`{value}` is no value of {}", home::env::OWNER_WAIT))
            .with_hint("it is a number of seconds")
            .with_code(exit::USAGE)
    })
}

fn tree(scandir: PathBuf, root: &RootHome, timeouts: Timeouts) -> Result<Tree, CliError> {
    let path = variable("PATH").unwrap_or_default();
    let s6 = S6Programs::find(Path::new("/"), &path).ok_or_else(|| {
        CliError::new("s6 is not installed: there is no s6-svscan in /command or on PATH")
            .with_hint(install_s6())
            .with_code(exit::OUT_OF_REACH)
    })?;
    let hermes = program()?;
    let programs = ScriptPrograms::new(s6, &hermes);
    Ok(Tree { timeouts, ..Tree::new(ScanDir::new(scandir), root.clone(), programs) })
}

fn account(uid: u32) -> Result<Account, CliError> {
    Account::of(uid).map_err(|error| CliError::new("failed to find the user").because(error))
}

/// The program that this is.
pub(crate) fn program() -> Result<PathBuf, CliError> {
    env::current_exe()
        .map_err(|error| CliError::new("failed to find the `hermes` program").because(error))
}

fn install_s6() -> &'static str {
    "install it with one of: apt install s6 · apk add s6 · brew install s6 · pacman -S s6"
}

/// The scan directory of this user's own `hermes up`: below the runtime directory, which is the
/// user's alone and gone after a restart.
fn user_scandir() -> PathBuf {
    match runtime_dir() {
        Some(dir) => dir.join("hermes/service"),
        None => {
            let uid = rustix::process::getuid().as_raw();
            PathBuf::from(format!("/tmp/hermes-{uid}/service"))
        }
    }
}

/// This user's runtime directory, be it that the environment does not name it, as after `su`.
fn runtime_dir() -> Option<PathBuf> {
    let named = variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    // After `su` it may be somebody else's.
    let me = rustix::process::geteuid().as_raw();
    let is_mine = |dir: &PathBuf| std::fs::metadata(dir).is_ok_and(|dir| dir.uid() == me);
    named.filter(is_mine).or_else(|| {
        let dir = PathBuf::from(format!("/run/user/{me}"));
        is_mine(&dir).then_some(dir)
    })
}

/// Whether a tree of this user's runs there. Where the way to it is open to all, somebody else may
/// have been first.
fn is_held(scandir: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    // A link of theirs may lead to another tree of this user's.
    let mine =
        |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.uid() == me);
    mine(scandir)
        && scandir.parent().is_some_and(mine)
        && matches!(ScanDir::new(scandir).svscan(), Ok(Some(_)))
}

fn absolute(dir: PathBuf) -> Result<PathBuf, CliError> {
    std::path::absolute(&dir).map_err(|error| {
        CliError::new(format!("`{}` is no directory", dir.display())).because(error)
    })
}

/// The value of an environment variable; an empty one counts as unset.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
