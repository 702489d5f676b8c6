//! Every path below a home and the name of every environment variable, each defined once.
//!
//! The *root home* (`HERMES_HOME`) is the home of the profile `default`; the home of every other
//! profile is `profiles/<name>` below it.

mod locate;

use std::path::{Path, PathBuf};

use crate::name::ProfileName;

pub use locate::{HomeError, HomeFacts, locate};

/// The names of the environment variables that Hermes reads or sets.
pub mod env {
    /// The root home, or a profile's home below it. For a gateway: its profile's home.
    pub const HOME: &str = "HERMES_HOME";
    /// The gateway's profile.
    pub const PROFILE: &str = "HERMES_PROFILE";
    /// The scan directory that holds the gateways' slots.
    pub const SCANDIR: &str = "HERMES_SCANDIR";
    /// The name of the backend to use. Overrides detection.
    pub const BACKEND: &str = "HERMES_BACKEND";
    /// The value of [`BACKEND`] for the backend that not every build has.
    pub const BACKEND_KUBERNETES: &str = "kubernetes";
    /// Set by `hermes up` in its tree, to its process ID and start time: services keep their user and their `HOME`.
    pub const UP: &str = "HERMES_UP";
    /// The soft limit on descriptors before `hermes up` raised it; gateways restore it.
    pub const UP_NOFILE: &str = "HERMES_UP_NOFILE";
    /// The Python agent's program, if neither a configuration nor the home names it.
    pub const AGENT: &str = "HERMES_AGENT";
    /// Set for the Python agent: the program with which it starts processes of its own.
    pub const AGENT_BIN: &str = "HERMES_BIN";
    /// Set for the Python agent that runs a command line in our place: how many such lines there are, each run by the one
    /// before.
    pub const AGENT_DEPTH: &str = "HERMES_AGENT_DEPTH";
    /// Set for the Python agent: it is supervised and must not delegate itself to a supervisor.
    pub const SUPERVISED_CHILD: &str = "HERMES_S6_SUPERVISED_CHILD";

    /// `client` if a tree on another machine or in another container runs the home's gateways;
    /// otherwise `owner` or unset.
    pub const ROLE: &str = "HERMES_ROLE";
    /// The value of [`ROLE`] for a machine or container that supervises nothing.
    pub const ROLE_CLIENT: &str = "client";
    /// How many seconds `hermes up` waits for another tree that runs the home's gateways.
    pub const OWNER_WAIT: &str = "HERMES_OWNER_WAIT";
    /// `off` if the home's file system has no locks.
    pub const OWNER_LOCK: &str = "HERMES_OWNER_LOCK";

    /// `1` if other users may write to the homes, which a shared group needs.
    pub const OPEN_HOME: &str = "HERMES_OPEN_HOME";

    /// `1` if a command of root stays root's even if another user owns the home.
    pub const AS_ROOT: &str = "HERMES_AS_ROOT";

    /// The image of gateways' Pods, under Kubernetes.
    pub const KUBERNETES_IMAGE: &str = "HERMES_KUBERNETES_IMAGE";
    /// The claim of the volume with the root home, under Kubernetes.
    pub const KUBERNETES_CLAIM: &str = "HERMES_KUBERNETES_CLAIM";

    /// `1` if the image runs the dashboard as a service.
    pub const DASHBOARD: &str = "HERMES_DASHBOARD";
    /// The port that the dashboard listens on.
    pub const DASHBOARD_PORT: &str = "HERMES_DASHBOARD_PORT";
    /// The address that the dashboard listens on.
    pub const DASHBOARD_HOST: &str = "HERMES_DASHBOARD_HOST";
    /// The dashboard's URLs behind reverse proxies, separated by commas.
    pub const DASHBOARD_ORIGIN: &str = "HERMES_DASHBOARD_ORIGIN";

    /// For the program of `notify.command`: the event.
    pub const EVENT: &str = "HERMES_EVENT";
    /// For the program of `notify.command`: the profile of the event.
    pub const EVENT_PROFILE: &str = "HERMES_EVENT_PROFILE";
    /// For the program of `notify.command`: the reason of the event, in one line.
    pub const EVENT_WHY: &str = "HERMES_EVENT_WHY";

    /// A divisor for the delays of the restart policy, for tests.
    pub const TEST_FASTER: &str = "HERMES_TEST_FASTER";

    /// The program that tests run in place of launchctl, on machines without launchd.
    pub const TEST_LAUNCHCTL: &str = "HERMES_TEST_LAUNCHCTL";

    /// Variables that decide the tree, home, profile and role of a process. No profile may set them
    /// for its gateway.
    pub const DECIDING: [&str; 9] =
        [HOME, PROFILE, SCANDIR, ROLE, OWNER_WAIT, OWNER_LOCK, UP, UP_NOFILE, SUPERVISED_CHILD];
}

/// The root home inside a container.
pub const CONTAINER_ROOT: &str = "/opt/data";
pub(crate) const PROFILES: &str = "profiles";
const CONFIG: &str = "config.yaml";
/// Short: a profile name may take 251 of the 255 bytes of a file name.
const RENAME_JOURNAL: &str = ".mv-";
/// Likewise: the home of a profile that is being deleted with its logs, and without.
const GRAVES: [(&str, bool); 2] = [(".rm-", false), (".rk-", true)];

/// The root home: `<root>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootHome(PathBuf);

impl RootHome {
    /// The root home at `path`, which should be absolute. Reads and creates nothing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory with the homes of all profiles but `default`.
    pub fn profiles(&self) -> PathBuf {
        self.0.join(PROFILES)
    }

    /// The home of `profile`, whether it exists or not.
    pub fn profile(&self, profile: &ProfileName) -> ProfileHome {
        let path = match profile.is_default() {
            true => self.0.clone(),
            false => self.profiles().join(profile.as_str()),
        };
        let gateway_lock = self.gateway_locks().join(profile.as_str());
        ProfileHome { profile: profile.clone(), path, root: self.0.clone(), gateway_lock }
    }

    /// The home of `profile` while it is made at `path`.
    pub(crate) fn staged(&self, profile: &ProfileName, path: &Path) -> ProfileHome {
        ProfileHome { path: path.to_owned(), ..self.profile(profile) }
    }

    /// The file with the name that `profile use` chose, for interactive commands only.
    pub fn active_profile(&self) -> PathBuf {
        self.0.join("active_profile")
    }

    /// The lock of the one tree that runs the home's gateways.
    pub fn owner_lock(&self) -> PathBuf {
        self.0.join("hermes-owner.lock")
    }

    /// The token that users of the dashboard present, mode 0600. An archive of `default` omits it.
    pub fn dashboard_token(&self) -> PathBuf {
        self.0.join("dashboard.token")
    }

    /// The file that opens the dashboard with a one-time code, mode 0600. By its name an archive omits it, too.
    pub fn dashboard_sign_in(&self) -> PathBuf {
        self.0.join("dashboard.token.html")
    }

    /// The directory of the locks. Its dot name can't be a profile's.
    pub fn locks(&self) -> PathBuf {
        self.profiles().join(".locks")
    }

    /// The lock of one profile, held by commands that change it.
    pub fn profile_lock(&self, profile: &ProfileName) -> PathBuf {
        self.locks().join(profile.as_str())
    }

    /// The lock that a command holds while a gateway claims `port`.
    pub fn port_lock(&self, port: u16) -> PathBuf {
        self.locks().join(format!(".port-{port}"))
    }

    /// The lock that a command holds while it creates or removes a profile or assigns a port.
    pub fn ports_lock(&self) -> PathBuf {
        self.locks().join(".ports")
    }

    /// The directory of the locks that gateways hold, outside of their homes, where an agent would read and copy
    /// them. Its dot name can't be a profile's.
    pub fn gateway_locks(&self) -> PathBuf {
        self.profiles().join(".gateways")
    }

    /// The lock of an adoption.
    pub fn adoption_lock(&self) -> PathBuf {
        self.locks().join(".adoption")
    }

    /// The directory that says how adopted gateways ran before; absent if none is adopted.
    pub fn adoption(&self) -> PathBuf {
        self.0.join("hermes-adopted")
    }

    /// The journal of an adoption, in that directory.
    pub fn adoption_journal(&self) -> PathBuf {
        self.adoption().join("journal.json")
    }

    /// The lock of the process that asks the gateways for their liveness.
    pub fn liveness_lock(&self) -> PathBuf {
        self.locks().join(".liveness")
    }

    /// One of the locks that gateways in backoff hold while each of them uses an instance of inotify.
    pub fn backoff_lock(&self, number: usize) -> PathBuf {
        self.locks().join(format!(".backoff-{number}"))
    }

    /// The lock of the files that the services of all profiles share.
    pub fn services_lock(&self) -> PathBuf {
        self.locks().join(".services")
    }

    /// The journal of a rename of `profile`, written before the first step and removed after the last.
    /// Its dot name can't be a profile's.
    pub fn rename_journal(&self, profile: &ProfileName) -> PathBuf {
        self.profiles().join(format!("{RENAME_JOURNAL}{profile}"))
    }

    /// The profile's old name, from a journal's file name; `None` if the file is not a journal.
    pub fn renamed_in(file_name: &str) -> Option<&str> {
        file_name.strip_prefix(RENAME_JOURNAL)
    }

    /// The home of `profile` while it is being deleted. The name says whether its logs are kept, so that no note is needed,
    /// which a full disk would not take.
    pub fn grave(&self, profile: &ProfileName, keep_logs: bool) -> PathBuf {
        let [(removing, _), (keeping, _)] = GRAVES;
        let prefix = if keep_logs { keeping } else { removing };
        self.profiles().join(format!("{prefix}{profile}"))
    }

    /// The profile, and whether its logs are kept, from a grave's file name; `None` if the file is not a grave.
    pub fn deleted_in(file_name: &str) -> Option<(ProfileName, bool)> {
        GRAVES.iter().find_map(|(prefix, keep_logs)| {
            Some((file_name.strip_prefix(prefix)?.parse().ok()?, *keep_logs))
        })
    }

    /// The directory with the logs of all gateways, each in a directory of its own.
    pub fn all_gateway_logs(&self) -> PathBuf {
        self.0.join("logs/gateways")
    }

    /// The log directory of a profile's gateway, under backends without a journal of their own.
    pub fn gateway_logs(&self, profile: &ProfileName) -> PathBuf {
        self.all_gateway_logs().join(profile.as_str())
    }

    /// The log of `hermes boot`: one line per profile and boot.
    pub fn boot_log(&self) -> PathBuf {
        self.0.join("logs/container-boot.log")
    }

    /// The messages of a tree in the background.
    pub fn up_log(&self) -> PathBuf {
        self.0.join("logs/up.log")
    }

    /// `gateway.defaults` in a file of its own, for gateways that don't see the root home's.
    pub fn projected_defaults(&self) -> PathBuf {
        self.profiles().join(".defaults").join(CONFIG)
    }

    /// The journal of events ([`crate::events`]).
    pub fn events(&self) -> PathBuf {
        self.0.join("logs/events.jsonl")
    }
}

/// The home of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileHome {
    profile: ProfileName,
    path: PathBuf,
    root: PathBuf,
    gateway_lock: PathBuf,
}

impl ProfileHome {
    /// The profile whose home it is.
    pub fn profile(&self) -> &ProfileName {
        &self.profile
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root home that it belongs to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The agent's persona.
    pub fn soul(&self) -> PathBuf {
        self.path.join("SOUL.md")
    }

    /// The configuration, shared with the agent.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The root home's configuration, whose `gateway.defaults` hold for every profile.
    pub fn root_config(&self) -> PathBuf {
        self.root.join(CONFIG)
    }

    /// The profile's secrets, mode 0600.
    pub fn dotenv(&self) -> PathBuf {
        self.path.join(".env")
    }

    /// The agent's own logs.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The file with the operator's intent.
    pub fn intent(&self) -> PathBuf {
        self.path.join("gateway.intent")
    }

    /// The lock that the gateway holds, outside of the home. Not `gateway.lock`, which is the Python agent's.
    pub fn gateway_lock(&self) -> PathBuf {
        self.gateway_lock.clone()
    }

    /// The gateway's own message about its last failed start; absent after a successful one.
    pub fn fault(&self) -> PathBuf {
        self.path.join("gateway.fault")
    }

    /// Why the running gateway is not healthy ([`health`](crate::health)); absent if it is.
    pub fn health(&self) -> PathBuf {
        self.path.join("gateway.health")
    }

    /// The process ID of the ready gateway, under supervisors without readiness.
    pub fn readiness(&self) -> PathBuf {
        self.path.join("gateway.ready")
    }

    /// The gateway's deaths and the reason why it is parked, which launchd does not record.
    pub fn launchd_record(&self) -> PathBuf {
        self.path.join("gateway.launchd")
    }

    /// The state of the gateway in a Pod ([`PodRecord`](crate::restart::PodRecord)).
    pub fn pod_record(&self) -> PathBuf {
        self.path.join("gateway.pod")
    }

    /// The state file of the Python agent's gateway ([`State`](crate::agent::State)), read if there is no intent file.
    pub fn agent_state(&self) -> PathBuf {
        self.path.join("gateway_state.json")
    }

    /// The lock of the Python agent's gateway ([`Locks`](crate::agent::Locks)).
    pub fn agent_lock(&self) -> PathBuf {
        self.path.join("gateway.lock")
    }

    /// The mark by which the Python agent's gateway knows that its end is planned.
    pub fn planned_stop(&self) -> PathBuf {
        self.path.join(".gateway-planned-stop.json")
    }

    /// Files that a killed gateway of the Python implementation leaves behind.
    pub fn stale_when_down(&self) -> [PathBuf; 2] {
        [self.path.join("gateway.pid"), self.path.join("processes.json")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_home_is_the_home_of_default() {
        let root = RootHome::new("/d");
        assert_eq!(root.profile(&ProfileName::default_profile()).path(), Path::new("/d"));
        let coder = "coder".parse().unwrap();
        assert_eq!(root.profile(&coder).path(), Path::new("/d/profiles/coder"));
    }

    #[test]
    fn journal_and_grave_of_the_longest_name_have_valid_file_names() {
        let longest: ProfileName = "a".repeat(251).parse().unwrap();
        let journal = RootHome::new("/d").rename_journal(&longest);
        let name = journal.file_name().unwrap().to_str().unwrap();
        assert!(name.len() <= 255);
        assert_eq!(RootHome::renamed_in(name), Some(longest.as_str()));
        for keep_logs in [false, true] {
            let grave = RootHome::new("/d").grave(&longest, keep_logs);
            let name = grave.file_name().unwrap().to_str().unwrap();
            assert!(name.len() <= 255);
            assert_eq!(RootHome::deleted_in(name), Some((longest.clone(), keep_logs)));
        }
    }
}
