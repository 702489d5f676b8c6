//! The names of the units, and the text of the template unit that all instances share.
//!
//! Sources: systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5). The profile is
//! only in `%i`, which systemd inserts unchanged (`%I` would turn dashes into slashes). The template has no
//! environment except the home: a gateway reads its settings when it starts.
//!
//! The reasons for some lines:
//!
//! * `ExecCondition=`: the intent decides at every start, whoever requests it.
//! * `NotifyAccess=all`: the process that polls `ready_url` is not the main process, which is the agent.
//! * `Restart=always`: exit code 0 does not mean that the operator wanted a stop.
//! * `ExecStopPost=`: records a death, which only systemd sees. `-`: a failure of it is none of the gateway.
//! * `SyslogIdentifier=%n`: journald can't find the unit of a process that has ended (see `journal`).
//! * `TimeoutStartSec=infinity`: a slow gateway is still starting; the command has its own timeout.
//! * `KillMode=mixed`: only the gateway gets SIGTERM; its remaining processes get SIGKILL.
//! * `NoNewPrivileges=` and below: the sandboxing that an agent which edits its user's files can bear.

use std::path::{Path, PathBuf};

use hermes_core::config::StopTimeout;
use hermes_core::home::env;
use hermes_core::restart::{DEATHS, EXIT_CONFIG, WINDOW};
use hermes_core::{ProfileName, RootHome, writers};
use thiserror::Error;

/// Increased with every change of the template's text.
pub const GENERATION: u32 = 3;

/// The longest name of a unit (systemd.unit(5), "at most 255 characters").
const MAX_UNIT: usize = 255;
const SUFFIX: &str = ".service";
/// Ends the name of the directory of a unit's drop-ins, which is a file name of 255 bytes at most, too.
const DROP_INS: &str = ".d";

/// The first version of systemd whose delay before a restart may grow (systemd.service(5), `RestartSteps=`).
pub const GROWING_DELAY: u32 = 254;
const FIRST_DELAY: u64 = 1;
const LONGEST_DELAY: u64 = 30;
/// 1, 2, 4, 8, 15, 30.
const STEPS: u32 = 5;
/// The delay of older versions: ten deaths then take a minute, not ten seconds.
const FIXED_DELAY: u64 = 5;

/// The names of the units of one root home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    base: String,
}

impl Names {
    /// `hermes-gateway@NAME.service`, or `hermes-gateway-TAG@NAME.service` with a `tag`.
    pub fn new(tag: Option<&str>) -> Self {
        let tag = tag.map_or_else(String::new, |tag| format!("-{tag}"));
        Self { base: format!("hermes-gateway{tag}") }
    }

    /// The file name of the template unit.
    pub fn template(&self) -> String {
        format!("{}@{SUFFIX}", self.base)
    }

    /// The unit of one profile's gateway.
    pub fn unit(&self, profile: &ProfileName) -> String {
        format!("{}@{profile}{SUFFIX}", self.base)
    }

    /// The directory of the drop-ins of one profile's unit.
    pub fn drop_ins(&self, profile: &ProfileName) -> String {
        format!("{}{DROP_INS}", self.unit(profile))
    }

    /// All these units, as a pattern for systemctl.
    pub fn pattern(&self) -> String {
        format!("{}@*{SUFFIX}", self.base)
    }

    /// The profile of `unit`; `None` if it is not one of these units.
    pub fn profile(&self, unit: &str) -> Option<ProfileName> {
        let name = unit.strip_prefix(self.base.as_str())?.strip_prefix('@')?;
        name.strip_suffix(SUFFIX)?.parse().ok()
    }

    /// The longest profile name that fits into the names of a unit and of its directory of drop-ins, in bytes.
    pub fn longest_profile(&self) -> usize {
        MAX_UNIT - DROP_INS.len() - self.template().len()
    }
}

/// The values in the template's text.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a> {
    /// The program `hermes`.
    pub program: &'a Path,
    /// The root home of the gateways.
    pub root: &'a RootHome,
    /// The account that they run as, if it is not the manager's own.
    pub user: Option<&'a str>,
    /// The longest stop budget of the home's profiles.
    pub stop_timeout: StopTimeout,
    /// Whether this systemd supports growing delays.
    pub grows: bool,
    /// Whether the gateways use homes that other users may write to.
    pub open_homes: bool,
}

impl Template<'_> {
    /// The text of the unit file.
    pub fn render(&self) -> Result<String, Unfit> {
        let program = plain(self.program)?;
        let home = plain(self.root.path())?;
        let (home_arg, directory) = (home.replace('%', "%%"), home.replace('%', "%%"));
        let run = format!("\"{}\" -p %i gateway", program.replace('%', "%%").replace('$', "$$"));
        let (target, user) = match self.user {
            None => ("default.target", String::new()),
            Some(user) => ("multi-user.target", format!("User={}\n", user.replace('%', "%%"))),
        };
        let delay = match self.grows {
            true => format!(
                "RestartSec={FIRST_DELAY}\nRestartSteps={STEPS}\nRestartMaxDelaySec={LONGEST_DELAY}\n"
            ),
            false => format!("RestartSec={FIXED_DELAY}\n"),
        };
        let (window, stop) = (WINDOW.as_secs(), self.stop_timeout.kill_after().as_secs());
        let variable = env::HOME;
        let open = if self.open_homes { open_homes() + "\n" } else { String::new() };
        Ok(format!(
            "# Written by hermes, and again when it has to change. What is to differ here stands in a\n\
             # file of its own: systemctl edit.\n\
             [Unit]\n\
             Description=Hermes gateway %i\n\
             After=network.target\n\
             StartLimitIntervalSec={window}\n\
             StartLimitBurst={DEATHS}\n\
             \n\
             [Service]\n\
             Type=notify\n\
             NotifyAccess=all\n\
             {user}\
             Environment=\"{variable}={home_arg}\"\n\
             {open}\
             WorkingDirectory={directory}\n\
             ExecCondition={run} wanted\n\
             ExecStart={run} start --foreground\n\
             ExecStopPost=-{run} ended\n\
             SyslogIdentifier=%n\n\
             TimeoutStartSec=infinity\n\
             TimeoutStopSec={stop}\n\
             KillMode=mixed\n\
             Restart=always\n\
             {delay}\
             RestartPreventExitStatus={EXIT_CONFIG}\n\
             NoNewPrivileges=yes\n\
             PrivateTmp=yes\n\
             ProtectSystem=full\n\
             ReadWritePaths=\"{home_arg}\"\n\
             \n\
             [Install]\n\
             WantedBy={target}\n\
             \n\
             [X-Hermes]\n\
             Generation={GENERATION}\n\
             Home={home}\n"
        ))
    }
}

/// The line that lets gateways use homes that other users may write to.
fn open_homes() -> String {
    format!("Environment=\"{}={}\"", env::OPEN_HOME, writers::ALLOWED)
}

/// A path that the quoting rules of unit files can't express everywhere.
#[derive(Debug, Error)]
#[error("the path `{}` can't stand in a unit file: {reason}", path.display().to_string().escape_debug())]
pub struct Unfit {
    path: PathBuf,
    reason: &'static str,
}

/// The path as text, if quoting with `"` and doubling `%` and `$` is enough for it.
fn plain(path: &Path) -> Result<&str, Unfit> {
    let unfit = |reason| Unfit { path: path.to_owned(), reason };
    let text = path.to_str().ok_or_else(|| unfit("it is not valid UTF-8"))?;
    if !text.starts_with('/') {
        return Err(unfit("it is not absolute"));
    }
    if text.chars().any(char::is_control) {
        return Err(unfit("it contains control characters"));
    }
    if text.contains(['"', '\\', '\'']) {
        return Err(unfit("it contains quotes or backslashes"));
    }
    if text.trim() != text {
        return Err(unfit("it starts or ends with white space"));
    }
    Ok(text)
}

/// What Hermes reads from an existing template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The generation of its text.
    pub generation: u32,
    /// The root home of its gateways.
    pub home: PathBuf,
    /// The seconds from a stop to SIGKILL.
    pub kill_after: u64,
    /// Whether the gateways use homes that other users may write to.
    pub open_homes: bool,
}

impl Mark {
    /// Reads the mark in `text`; `None` if Hermes did not write it.
    pub fn read(text: &str) -> Option<Self> {
        let (unit, ours) = text.split_once("\n[X-Hermes]\n")?;
        let value = |text: &str, key: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(key));
            values.next().map(str::to_owned)
        };
        Some(Self {
            generation: value(ours, "Generation=")?.parse().ok()?,
            home: value(ours, "Home=")?.into(),
            kill_after: value(unit, "TimeoutStopSec=")?.parse().ok()?,
            open_homes: unit.lines().any(|line| line == open_homes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template<'a>(program: &'a str, root: &'a RootHome) -> Template<'a> {
        let stop_timeout = StopTimeout::default();
        Template {
            program: Path::new(program),
            root,
            user: None,
            stop_timeout,
            grows: false,
            open_homes: false,
        }
    }

    #[test]
    fn a_users_template() {
        let root = RootHome::new("/home/u/.hermes");
        insta::assert_snapshot!(template("/usr/local/bin/hermes", &root).render().unwrap(), @r#"
        # Written by hermes, and again when it has to change. What is to differ here stands in a
        # file of its own: systemctl edit.
        [Unit]
        Description=Hermes gateway %i
        After=network.target
        StartLimitIntervalSec=600
        StartLimitBurst=10

        [Service]
        Type=notify
        NotifyAccess=all
        Environment="HERMES_HOME=/home/u/.hermes"
        WorkingDirectory=/home/u/.hermes
        ExecCondition="/usr/local/bin/hermes" -p %i gateway wanted
        ExecStart="/usr/local/bin/hermes" -p %i gateway start --foreground
        ExecStopPost=-"/usr/local/bin/hermes" -p %i gateway ended
        SyslogIdentifier=%n
        TimeoutStartSec=infinity
        TimeoutStopSec=6
        KillMode=mixed
        Restart=always
        RestartSec=5
        RestartPreventExitStatus=78
        NoNewPrivileges=yes
        PrivateTmp=yes
        ProtectSystem=full
        ReadWritePaths="/home/u/.hermes"

        [Install]
        WantedBy=default.target

        [X-Hermes]
        Generation=3
        Home=/home/u/.hermes
        "#);
    }

    #[test]
    fn a_systems_template_with_growing_delays() {
        let root = RootHome::new("/srv/agents 50%");
        let template =
            Template { user: Some("u"), grows: true, ..template("/opt/$x/hermes", &root) };
        insta::assert_snapshot!(template.render().unwrap(), @r#"
        # Written by hermes, and again when it has to change. What is to differ here stands in a
        # file of its own: systemctl edit.
        [Unit]
        Description=Hermes gateway %i
        After=network.target
        StartLimitIntervalSec=600
        StartLimitBurst=10

        [Service]
        Type=notify
        NotifyAccess=all
        User=u
        Environment="HERMES_HOME=/srv/agents 50%%"
        WorkingDirectory=/srv/agents 50%%
        ExecCondition="/opt/$$x/hermes" -p %i gateway wanted
        ExecStart="/opt/$$x/hermes" -p %i gateway start --foreground
        ExecStopPost=-"/opt/$$x/hermes" -p %i gateway ended
        SyslogIdentifier=%n
        TimeoutStartSec=infinity
        TimeoutStopSec=6
        KillMode=mixed
        Restart=always
        RestartSec=1
        RestartSteps=5
        RestartMaxDelaySec=30
        RestartPreventExitStatus=78
        NoNewPrivileges=yes
        PrivateTmp=yes
        ProtectSystem=full
        ReadWritePaths="/srv/agents 50%%"

        [Install]
        WantedBy=multi-user.target

        [X-Hermes]
        Generation=3
        Home=/srv/agents 50%
        "#);
    }

    #[test]
    fn the_mark_of_a_rendered_template_is_read() {
        let root = RootHome::new("/srv/agents 50%");
        for open_homes in [false, true] {
            let template = Template { open_homes, ..template("/usr/bin/hermes", &root) };
            let mark = Mark::read(&template.render().unwrap()).unwrap();
            let home = root.path().into();
            let expected = Mark { generation: GENERATION, home, kill_after: 6, open_homes };
            assert_eq!(mark, expected);
        }
        assert_eq!(Mark::read("[Service]\nExecStart=/bin/true\n"), None);
    }

    #[test]
    fn paths_that_need_other_quoting_are_refused() {
        for home in ["/a\nExecStartPre=/x", "/a\"b", "/a\\", "/a'", "/a ", "a", "/a\u{7f}"] {
            let root = RootHome::new(home);
            assert!(template("/usr/bin/hermes", &root).render().is_err(), "{home:?}");
            assert!(template(home, &RootHome::new("/d")).render().is_err(), "{home:?}");
        }
    }

    #[test]
    fn unit_names_map_to_profiles() {
        let names = Names::new(Some("0a1b2c3d"));
        let coder: ProfileName = "my-coder".parse().unwrap();
        let unit = names.unit(&coder);
        assert_eq!(unit, "hermes-gateway-0a1b2c3d@my-coder.service");
        assert_eq!(names.profile(&unit), Some(coder.clone()));
        let other = Names::new(None);
        assert_eq!(other.profile(&unit), None);
        assert_eq!(other.unit(&coder), "hermes-gateway@my-coder.service");
        for unit in
            ["hermes-gateway@.service", "hermes-gateway@A.service", "hermes-gateway@a.timer"]
        {
            assert_eq!(other.profile(unit), None, "{unit}");
        }
        let longest: ProfileName = "a".repeat(names.longest_profile()).parse().unwrap();
        assert_eq!(names.drop_ins(&longest).len(), MAX_UNIT);
    }
}
