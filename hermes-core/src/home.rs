//! Where things are: every path below a home and every environment variable, named once.
//!
//! The *root home* (`HERMES_HOME`) is the home of the profile `default`; every other profile lives
//! in `profiles/<name>` below it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::name::{NameError, ProfileName};

/// The names of environment variables that Hermes reads or sets.
pub mod env {
    /// The root home, or a profile's home below it. A gateway gets its profile's home here.
    pub const HOME: &str = "HERMES_HOME";
    /// The profile that a gateway runs for.
    pub const PROFILE: &str = "HERMES_PROFILE";
    /// The scan directory that holds the gateways' slots.
    pub const SCANDIR: &str = "HERMES_SCANDIR";
    /// The backend to use, by its name, whatever detection would pick.
    pub const BACKEND: &str = "HERMES_BACKEND";
    /// Set (to anything) by `hermes up` in its tree: services keep the user and `HOME` they have.
    pub const UP: &str = "HERMES_UP";
    /// The soft limit on descriptors that `hermes up` found, for its gateways to return to.
    pub const UP_NOFILE: &str = "HERMES_UP_NOFILE";
    /// Tells the Python agent that it is supervised, so that it doesn't hand itself over.
    pub const SUPERVISED_CHILD: &str = "HERMES_S6_SUPERVISED_CHILD";

    /// `client` where the gateways of the home are another tree's to run, on another machine or in
    /// another container; `owner`, or nothing, anywhere else.
    pub const ROLE: &str = "HERMES_ROLE";
    /// The value of [`ROLE`] that supervises nothing.
    pub const ROLE_CLIENT: &str = "client";
    /// For how many seconds `hermes up` waits for another tree that runs the home's gateways.
    pub const OWNER_WAIT: &str = "HERMES_OWNER_WAIT";
    /// `off` where the home lies on a file system without locks.
    pub const OWNER_LOCK: &str = "HERMES_OWNER_LOCK";

    /// Set (to `1`) where a command that root runs is to stay root's, whoever owns the home.
    pub const AS_ROOT: &str = "HERMES_AS_ROOT";

    /// `1` has the image run the dashboard as a service.
    pub const DASHBOARD: &str = "HERMES_DASHBOARD";
    /// The port that the dashboard listens on.
    pub const DASHBOARD_PORT: &str = "HERMES_DASHBOARD_PORT";
    /// The address that the dashboard listens on.
    pub const DASHBOARD_HOST: &str = "HERMES_DASHBOARD_HOST";
    /// Where browsers find the dashboard behind a proxy.
    pub const DASHBOARD_ORIGIN: &str = "HERMES_DASHBOARD_ORIGIN";

    /// Divides the delays of the restart policy, for tests that can't wait for them.
    pub const TEST_FASTER: &str = "HERMES_TEST_FASTER";

    /// The program that is launchctl for tests, where there is no launchd.
    pub const TEST_LAUNCHCTL: &str = "HERMES_TEST_LAUNCHCTL";

    /// Variables that decide which tree, home and profile a process belongs to, and as what. No
    /// profile may set them for its gateway.
    pub const DECIDING: [&str; 9] =
        [HOME, PROFILE, SCANDIR, ROLE, OWNER_WAIT, OWNER_LOCK, UP, UP_NOFILE, SUPERVISED_CHILD];
}

/// The root home inside a container.
pub const CONTAINER_ROOT: &str = "/opt/data";
const PROFILES: &str = "profiles";
/// Short, because a profile's name may have 251 of the 255 bytes that a file's name may have.
const RENAME_JOURNAL: &str = ".mv-";

/// The root home: `<root>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootHome(PathBuf);

impl RootHome {
    /// The root home at `path`, which should be absolute. Nothing is read or made.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the homes of all profiles but `default` are.
    pub fn profiles(&self) -> PathBuf {
        self.0.join(PROFILES)
    }

    /// The home of `profile`, whether it exists or not.
    pub fn profile(&self, profile: &ProfileName) -> ProfileHome {
        ProfileHome(if profile.is_default() {
            self.0.clone()
        } else {
            self.profiles().join(profile.as_str())
        })
    }

    /// The name that `profile use` chose, for interactive commands only.
    pub fn active_profile(&self) -> PathBuf {
        self.0.join("active_profile")
    }

    /// The lock of the one tree that runs the home's gateways.
    pub fn owner_lock(&self) -> PathBuf {
        self.0.join("hermes-owner.lock")
    }

    /// What whoever uses the dashboard has to know, mode 0600. Not an entry that an archive of
    /// `default` takes along.
    pub fn dashboard_token(&self) -> PathBuf {
        self.0.join("dashboard.token")
    }

    /// Locks of commands that change a profile. A dot name, so that it is never taken for a profile.
    pub fn locks(&self) -> PathBuf {
        self.profiles().join(".locks")
    }

    /// The lock of one profile.
    pub fn profile_lock(&self, profile: &ProfileName) -> PathBuf {
        self.locks().join(profile.as_str())
    }

    /// The lock of gateways that are about to listen on `port`.
    pub fn port_lock(&self, port: u16) -> PathBuf {
        self.locks().join(format!(".port-{port}"))
    }

    /// The lock that is held while a free port is looked for and written down.
    pub fn ports_lock(&self) -> PathBuf {
        self.locks().join(".ports")
    }

    /// The lock of what the services of all profiles have in common.
    pub fn services_lock(&self) -> PathBuf {
        self.locks().join(".services")
    }

    /// The journal of a rename of `profile`: there from before its first step until after its last. A
    /// dot name, so that it is never taken for a profile.
    pub fn rename_journal(&self, profile: &ProfileName) -> PathBuf {
        self.profiles().join(format!("{RENAME_JOURNAL}{profile}"))
    }

    /// The profile's old name as a journal's file name has it; `None` if it is no journal's.
    pub fn renamed_in(file_name: &str) -> Option<&str> {
        file_name.strip_prefix(RENAME_JOURNAL)
    }

    /// Where a profile's lines are kept where no service manager has a journal.
    pub fn gateway_logs(&self, profile: &ProfileName) -> PathBuf {
        self.0.join("logs/gateways").join(profile.as_str())
    }

    /// One line per profile and boot.
    pub fn boot_log(&self) -> PathBuf {
        self.0.join("logs/container-boot.log")
    }
}

/// The home of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileHome(PathBuf);

impl ProfileHome {
    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The agent's persona. Its presence is what makes a directory a profile.
    pub fn soul(&self) -> PathBuf {
        self.0.join("SOUL.md")
    }

    /// The configuration, shared with the agent.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.yaml")
    }

    /// The profile's secrets, mode 0600.
    pub fn dotenv(&self) -> PathBuf {
        self.0.join(".env")
    }

    /// The agent's own logs.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// What the operator wants of the gateway.
    pub fn intent(&self) -> PathBuf {
        self.0.join("gateway.intent")
    }

    /// The lock that the gateway holds. Not `gateway.lock`, which is the Python agent's.
    pub fn gateway_lock(&self) -> PathBuf {
        self.0.join("hermes-gateway.lock")
    }

    /// Why the gateway could not start last time, in its own words; absent if it could.
    pub fn fault(&self) -> PathBuf {
        self.0.join("gateway.fault")
    }

    /// The process that said it is ready, where no supervisor is there to be told.
    pub fn readiness(&self) -> PathBuf {
        self.0.join("gateway.ready")
    }

    /// What launchd does not remember of the gateway: its deaths, and why it was parked.
    pub fn launchd_record(&self) -> PathBuf {
        self.0.join("gateway.launchd")
    }

    /// The state file of the Python implementation, read where there is no intent file.
    pub fn legacy_state(&self) -> PathBuf {
        self.0.join("gateway_state.json")
    }

    /// Files that a gateway of the Python implementation leaves behind when it is killed.
    pub fn stale_when_down(&self) -> [PathBuf; 2] {
        [self.0.join("gateway.pid"), self.0.join("processes.json")]
    }
}

/// What the root home is decided from.
#[derive(Debug, Clone, Default)]
pub struct HomeFacts {
    /// `HERMES_HOME`, if set and not empty.
    pub hermes_home: Option<PathBuf>,
    /// The user's home directory.
    pub user_home: Option<PathBuf>,
    /// Whether s6 is in charge of this machine ([`crate::detect::Facts::s6_in_charge`]).
    pub s6_in_charge: bool,
    /// Whether [`CONTAINER_ROOT`] is a directory.
    pub container_root: bool,
}

/// Decides the root home, and the profile that `HERMES_HOME` names if it lies below `profiles/`.
pub fn locate(facts: &HomeFacts) -> Result<(RootHome, Option<ProfileName>), HomeError> {
    let Some(home) = &facts.hermes_home else {
        if facts.s6_in_charge && facts.container_root {
            return Ok((RootHome::new(CONTAINER_ROOT), None));
        }
        let user = facts.user_home.as_ref().ok_or(HomeError::Unknown)?;
        return Ok((RootHome::new(user.join(".hermes")), None));
    };
    if !home.is_absolute() {
        return Err(HomeError::Relative { home: home.clone() });
    }
    let root = home
        .parent()
        .filter(|parent| parent.file_name() == Some(OsStr::new(PROFILES)))
        .and_then(Path::parent);
    let Some(root) = root else {
        return Ok((RootHome::new(home), None));
    };
    let name = home.file_name().unwrap_or_default().to_string_lossy();
    let profile = name.parse().map_err(|source| HomeError::Name { home: home.clone(), source })?;
    Ok((RootHome::new(root), Some(profile)))
}

/// Why there is no root home.
#[derive(Debug, Error)]
pub enum HomeError {
    /// Neither `HERMES_HOME` nor a home directory is known.
    #[error("no home: HERMES_HOME is not set, and the user has no home directory")]
    Unknown,
    /// `HERMES_HOME` depends on the working directory.
    #[error("HERMES_HOME is `{}`, which is not an absolute path", home.display())]
    Relative {
        /// The value of `HERMES_HOME`.
        home: PathBuf,
    },
    /// `HERMES_HOME` is below `profiles/` but names no profile.
    #[error("HERMES_HOME is `{}`, which is no profile's home", home.display())]
    Name {
        /// The value of `HERMES_HOME`.
        home: PathBuf,
        /// What is wrong with the name.
        source: NameError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(home: Option<&str>) -> HomeFacts {
        HomeFacts {
            hermes_home: home.map(PathBuf::from),
            user_home: Some("/home/u".into()),
            s6_in_charge: false,
            container_root: true,
        }
    }

    #[test]
    fn hermes_home_decides_root_and_profile() {
        let root = |home| locate(&facts(home)).unwrap();
        assert_eq!(root(Some("/d")), (RootHome::new("/d"), None));
        assert_eq!(
            root(Some("/d/profiles/coder")),
            (RootHome::new("/d"), Some("coder".parse().unwrap()))
        );
        assert_eq!(root(None), (RootHome::new("/home/u/.hermes"), None));
        assert!(locate(&facts(Some("/d/profiles/Coder"))).is_err());
        assert!(locate(&facts(Some("relative"))).is_err());
    }

    #[test]
    fn a_container_under_s6_has_its_root_in_opt_data() {
        let mut facts = facts(None);
        facts.s6_in_charge = true;
        assert_eq!(locate(&facts).unwrap().0, RootHome::new("/opt/data"));
        facts.container_root = false;
        assert_eq!(locate(&facts).unwrap().0, RootHome::new("/home/u/.hermes"));
    }

    #[test]
    fn default_lives_in_the_root_itself() {
        let root = RootHome::new("/d");
        assert_eq!(root.profile(&ProfileName::default_profile()).path(), Path::new("/d"));
        let coder = "coder".parse().unwrap();
        assert_eq!(root.profile(&coder).path(), Path::new("/d/profiles/coder"));
    }

    #[test]
    fn a_journal_of_the_longest_name_has_a_file_name_that_says_whose_it_is() {
        let longest: ProfileName = "a".repeat(251).parse().unwrap();
        let journal = RootHome::new("/d").rename_journal(&longest);
        let name = journal.file_name().unwrap().to_str().unwrap();
        assert!(name.len() <= 255);
        assert_eq!(RootHome::renamed_in(name), Some(longest.as_str()));
    }
}
