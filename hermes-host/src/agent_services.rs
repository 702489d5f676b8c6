//! The services that the Python agent itself installs for its gateways: units of the user's systemd, agents of launchd.
//!
//! A service is one if it runs the agent's module, which no service of this Hermes does, and a gateway's if it pins the
//! home, whatever it is called: the agent derives names in several ways. To
//! retire one stops it, and moves its file and the link that starts it at login aside; to restore it undoes that. Where no
//! manager answers, the files alone are moved. (hermes-agent 0.19.0: `hermes_cli/gateway.py`.)

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use hermes_core::DriverError;
use hermes_core::fsutil;
use hermes_core::home::ProfileHome;
use serde::{Deserialize, Serialize};

use crate::command::Tool;

/// The beginnings of the names of its units and property lists, and their ends.
const UNIT: (&str, &str) = ("hermes-gateway", ".service");
const PLIST: (&str, &str) = ("ai.hermes.gateway", ".plist");
/// The module that they run.
const MODULE: &str = "hermes_cli.main";
/// The variable with which it pins a home.
const HOME: &str = "HERMES_HOME";
/// The states of a unit that runs, or that its manager starts again.
const RUNNING: [&str; 3] = ["active", "activating", "reloading"];
const SYSTEM_UNITS: &str = "/etc/systemd/system";

/// The service managers of a user.
#[derive(Debug)]
pub struct Managers {
    user_home: PathBuf,
    systemctl: Tool,
    launchctl: Tool,
    timeout: Duration,
}

/// A service of the agent's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentService {
    /// Its unit file or property list.
    pub file: PathBuf,
    /// The link that starts it at login, and its target.
    pub link: Option<(PathBuf, PathBuf)>,
    /// Whether its manager runs it.
    pub is_active: bool,
}

impl AgentService {
    /// Its name: that of the unit, or the label.
    pub fn name(&self) -> String {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix(PLIST.1).map_or_else(|| name.to_string(), str::to_owned)
    }

    fn is_unit(&self) -> bool {
        self.file.extension() == Some(OsStr::new("service"))
    }

    fn aside(&self, directory: &Path) -> PathBuf {
        directory.join(self.file.file_name().unwrap_or_default())
    }
}

impl Managers {
    /// Those of the user whose home is `user_home` and whose runtime directory is `runtime`. `path` is searched for their
    /// programs, each call of which takes at most `timeout`.
    pub fn new(
        user_home: PathBuf,
        runtime: Option<PathBuf>,
        path: &OsStr,
        timeout: Duration,
    ) -> Self {
        let systemctl = Tool::find("systemctl", path)
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env("LC_ALL", "C.UTF-8");
        let systemctl = match runtime {
            Some(runtime) => systemctl.env("XDG_RUNTIME_DIR", runtime),
            None => systemctl,
        };
        Self { user_home, systemctl, launchctl: Tool::find("launchctl", path), timeout }
    }

    /// The services for the gateway at `home`. Files that can't be read are none.
    pub fn services_of(&self, home: &ProfileHome) -> Vec<AgentService> {
        let units = self.user_home.join(".config/systemd/user");
        let agents = self.user_home.join("Library/LaunchAgents");
        let mut services = Vec::new();
        for file in files(&units, UNIT).into_iter().filter(|file| pins_unit(file, home)) {
            let name = file.file_name().unwrap_or_default().to_owned();
            let link = units.join("default.target.wants").join(&name);
            let link = fs::read_link(&link).ok().map(|target| (link, target));
            let is_active = self.runs(&name.to_string_lossy());
            services.push(AgentService { file, link, is_active });
        }
        for file in files(&agents, PLIST).into_iter().filter(|file| pins_plist(file, home)) {
            let mut service = AgentService { file, link: None, is_active: false };
            service.is_active = self.launchctl(&["print", &target(&service)]);
            services.push(service);
        }
        services
    }

    /// The unit of the system's manager for the gateway at `home`, which only root can retire.
    pub fn system_unit_of(home: &ProfileHome) -> Option<PathBuf> {
        files(Path::new(SYSTEM_UNITS), UNIT).into_iter().find(|file| pins_unit(file, home))
    }

    /// Stops a service, and moves its files into the directory `aside`. Idempotent, also if an earlier call was killed.
    pub fn retire(&self, service: &AgentService, aside: &Path) -> io::Result<()> {
        fs::create_dir_all(aside)?;
        if fsutil::exists(&service.file)? {
            match service.is_unit() {
                true if service.is_active => self.act(&["stop", &service.name()])?,
                false if service.is_active => {
                    self.launchctl(&["bootout", &target(service)]);
                }
                _ => {}
            }
            move_file(&service.file, &service.aside(aside))?;
        }
        if let Some((link, _)) = &service.link {
            fsutil::remove_file_if_there(link)?;
        }
        self.reload(service);
        if service.is_unit() {
            // One whose gateway ended with an error stays listed, and its manager counts as degraded.
            let _ = self.systemctl(&["reset-failed", &service.name()]);
        }
        Ok(())
    }

    /// Puts the files of a retired service back, and starts it if it ran. Idempotent, also if an earlier call was killed.
    pub fn restore(&self, service: &AgentService, aside: &Path) -> io::Result<()> {
        let stored = service.aside(aside);
        if fsutil::exists(&stored)? {
            move_file(&stored, &service.file)?;
        } else if !fsutil::exists(&service.file)? {
            // Somebody has removed it since.
            return Ok(());
        }
        if let Some((link, target)) = service.link.as_ref().filter(|(link, _)| !link.is_symlink()) {
            symlink(target, link)?;
        }
        self.reload(service);
        if service.is_active {
            match service.is_unit() {
                true => self.act(&["start", &service.name()])?,
                false => {
                    let domain = format!("gui/{}", rustix::process::getuid().as_raw());
                    self.launchctl(&["bootstrap", &domain, &service.file.to_string_lossy()]);
                }
            }
        }
        Ok(())
    }

    fn reload(&self, service: &AgentService) {
        if service.is_unit() {
            // Without a manager there is nothing to reload.
            let _ = self.systemctl(&["daemon-reload"]);
        }
    }

    /// Whether the user's systemd runs a unit, or will start it again after a death.
    fn runs(&self, unit: &str) -> bool {
        let state = self.systemctl(&["show", "--property=ActiveState", "--value", unit]);
        state.is_ok_and(|state| RUNNING.contains(&state.trim()))
    }

    /// Has the user's systemd change a unit.
    fn act(&self, args: &[&str]) -> io::Result<()> {
        self.systemctl(args).map(drop).map_err(io::Error::other)
    }

    /// Calls the user's systemd; what it printed.
    fn systemctl(&self, args: &[&str]) -> Result<String, DriverError> {
        self.systemctl.data(&[&["--user"], args].concat(), self.timeout)
    }

    fn launchctl(&self, args: &[&str]) -> bool {
        self.launchctl.run(args, self.timeout).is_ok_and(|output| output.is_success())
    }
}

/// What launchctl calls a job.
fn target(service: &AgentService) -> String {
    format!("gui/{}/{}", rustix::process::getuid().as_raw(), service.name())
}

/// The files in `directory` whose names have this beginning and end, sorted.
fn files(directory: &Path, (prefix, suffix): (&str, &str)) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_ours = |name: &OsString| {
        name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
    };
    let entries = entries.flatten().filter(|entry| is_ours(&entry.file_name()));
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Whether a unit file sets the home in its environment.
fn pins_unit(file: &Path, home: &ProfileHome) -> bool {
    let text = fsutil::read_to_string(file).unwrap_or_default();
    if !text.contains(MODULE) {
        return false;
    }
    let settings = text.lines().filter_map(|line| line.trim().strip_prefix("Environment="));
    let values = settings.filter_map(|setting| {
        setting.trim_matches('"').strip_prefix(HOME)?.strip_prefix('=').map(PathBuf::from)
    });
    values.into_iter().any(|value| is_same(&value, home))
}

/// Whether a property list sets the home in its environment.
fn pins_plist(file: &Path, home: &ProfileHome) -> bool {
    let list = plist::Value::from_file(file).ok();
    let list = list.as_ref().and_then(plist::Value::as_dictionary);
    let arguments = list.and_then(|list| list.get("ProgramArguments")?.as_array());
    if !arguments.into_iter().flatten().any(|argument| argument.as_string() == Some(MODULE)) {
        return false;
    }
    let variables = list.and_then(|list| list.get("EnvironmentVariables")?.as_dictionary());
    let value = variables.and_then(|variables| variables.get(HOME)?.as_string());
    value.is_some_and(|value| is_same(Path::new(value), home))
}

fn is_same(path: &Path, home: &ProfileHome) -> bool {
    hermes_core::proc::same_directory(path, home.path())
}

/// Moves a file, maybe to another file system, durably.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    let old = fs::metadata(from)?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&old.permissions()) & 0o777;
    fsutil::write_durably(to, &fsutil::read(from)?, mode)?;
    fs::remove_file(from)
}

#[cfg(test)]
mod tests {
    use hermes_core::RootHome;

    use super::*;

    #[test]
    fn files_are_moved_aside_and_back_where_no_manager_answers() {
        let dir = tempfile::tempdir().unwrap();
        let (user, aside) = (dir.path().join("user"), dir.path().join("aside"));
        let root = RootHome::new(user.join(".hermes"));
        let home = root.profile(&"coder".parse().unwrap());
        let other = root.profile(&"writer".parse().unwrap());
        fs::create_dir_all(home.path()).unwrap();
        let units = user.join(".config/systemd/user");
        let agents = user.join("Library/LaunchAgents");
        fs::create_dir_all(units.join("default.target.wants")).unwrap();
        fs::create_dir_all(&agents).unwrap();
        let unit = units.join("hermes-gateway-1234abcd.service");
        let text = format!(
            "[Service]\nExecStart=/usr/bin/python3 -m {MODULE} gateway run\nEnvironment=\"HERMES_HOME={}\"\n",
            home.path().display()
        );
        fs::write(&unit, &text).unwrap();
        let own = text.replace(MODULE, "hermes");
        fs::write(units.join("hermes-gateway@.service"), own).unwrap();
        let link = units.join("default.target.wants/hermes-gateway-1234abcd.service");
        symlink(&unit, &link).unwrap();
        let list = agents.join("ai.hermes.gateway-coder.plist");
        let variables = [(HOME.to_owned(), plist::Value::from(home.path().to_str().unwrap()))];
        let variables = plist::Value::from(plist::Dictionary::from_iter(variables));
        let arguments = ["python3", "-m", MODULE].map(plist::Value::from).to_vec();
        let dictionary = |arguments| {
            let entries = [
                ("EnvironmentVariables".to_owned(), variables.clone()),
                ("ProgramArguments".to_owned(), plist::Value::from(arguments)),
            ];
            plist::Value::from(plist::Dictionary::from_iter(entries))
        };
        dictionary(arguments).to_file_xml(&list).unwrap();
        let own = agents.join("ai.hermes.gateway.coder.plist");
        dictionary(vec!["hermes".into()]).to_file_xml(own).unwrap();

        let managers = Managers::new(user, None, OsStr::new(""), Duration::from_secs(60));
        assert_eq!(managers.services_of(&other), []);
        let services = managers.services_of(&home);
        let names: Vec<_> = services.iter().map(AgentService::name).collect();
        assert_eq!(names, ["hermes-gateway-1234abcd.service", "ai.hermes.gateway-coder"]);
        for _ in 0..2 {
            services.iter().for_each(|service| managers.retire(service, &aside).unwrap());
            assert!(!unit.exists() && !link.is_symlink() && !list.exists());
        }
        for _ in 0..2 {
            services.iter().for_each(|service| managers.restore(service, &aside).unwrap());
            assert_eq!(fs::read_to_string(&unit).unwrap(), text);
        }
        assert_eq!(fs::read_link(&link).unwrap(), unit);
        assert_eq!(managers.services_of(&home), services, "as before");
    }
}
