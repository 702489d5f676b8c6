//! The units: what they are called, and the one text that all instances share.
//!
//! Sources: systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5). The template has nothing
//! of a profile in it but `%i`, which systemd fills in as it is (`%I` would make slashes of dashes), and
//! nothing of an environment: what a gateway is to know it reads when it starts.
//!
//! Why some of its lines are what they are:
//!
//! * `ExecCondition=`: the intent decides, at every start, whoever asks for it.
//! * `NotifyAccess=all`: who asks a `ready_url` is not the main process, which is the user's own program.
//! * `Restart=always`: a gateway that exits with 0 was not told to stop.
//! * `TimeoutStartSec=infinity`: one that is slow is starting; how long that is waited for is the command's.
//! * `KillMode=mixed`: the gateway is asked to end, and what it leaves behind is killed.
//! * `NoNewPrivileges=` and the lines below: what an agent that works on its user's files can live with.

use std::path::{Path, PathBuf};

use hermes_core::config::StopTimeout;
use hermes_core::home::env;
use hermes_core::restart::{DEATHS, EXIT_CONFIG, WINDOW};
use hermes_core::{ProfileName, RootHome};
use thiserror::Error;

/// Rises with every change of the template's text.
pub const GENERATION: u32 = 1;

/// How long the name of a unit may be (systemd.unit(5), "at most 255 characters").
const MAX_UNIT: usize = 255;
const SUFFIX: &str = ".service";

/// From this version on the delay before a restart may grow (systemd.service(5), `RestartSteps=`).
pub const GROWING_DELAY: u32 = 254;
const FIRST_DELAY: u64 = 1;
const LONGEST_DELAY: u64 = 30;
/// 1, 2, 4, 8, 15, 30.
const STEPS: u32 = 5;
/// Where it can't grow. Ten deaths are then a minute's, and not ten seconds'.
const FIXED_DELAY: u64 = 5;

/// What the units of one root home are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    base: String,
}

impl Names {
    /// `hermes-gateway@NAME.service`, with `tag` between the two where there is one.
    pub fn new(tag: Option<&str>) -> Self {
        let tag = tag.map_or_else(String::new, |tag| format!("-{tag}"));
        Self { base: format!("hermes-gateway{tag}") }
    }

    /// The unit file that all have in common.
    pub fn template(&self) -> String {
        format!("{}@{SUFFIX}", self.base)
    }

    /// The unit of one profile's gateway.
    pub fn unit(&self, profile: &ProfileName) -> String {
        format!("{}@{profile}{SUFFIX}", self.base)
    }

    /// The units of all of them, as a pattern of systemctl's.
    pub fn pattern(&self) -> String {
        format!("{}@*{SUFFIX}", self.base)
    }

    /// Whose unit it is; `None` if it is none of these.
    pub fn profile(&self, unit: &str) -> Option<ProfileName> {
        let name = unit.strip_prefix(self.base.as_str())?.strip_prefix('@')?;
        name.strip_suffix(SUFFIX)?.parse().ok()
    }

    /// How long a profile's name may be.
    pub fn longest_profile(&self) -> usize {
        MAX_UNIT - self.template().len()
    }
}

/// What the text of the template depends on.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a> {
    /// The program `hermes`.
    pub program: &'a Path,
    /// The home whose gateways they are.
    pub root: &'a RootHome,
    /// The account that they run as, where that is not the manager's own.
    pub user: Option<&'a str>,
    /// The longest stop budget of its profiles.
    pub stop_timeout: StopTimeout,
    /// Whether this systemd knows delays that grow.
    pub grows: bool,
}

impl Template<'_> {
    /// The text.
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
             WorkingDirectory={directory}\n\
             ExecCondition={run} wanted\n\
             ExecStart={run} start --foreground\n\
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

/// A path that can't stand in a unit file and mean itself in each of its dialects of quoting.
#[derive(Debug, Error)]
#[error("a unit file can't hold the path `{}`: {why}", path.display().to_string().escape_debug())]
pub struct Unfit {
    path: PathBuf,
    why: &'static str,
}

/// The path as text that needs no other quoting than `"`, and that of `%` and `$`.
fn plain(path: &Path) -> Result<&str, Unfit> {
    let unfit = |why| Unfit { path: path.to_owned(), why };
    let text = path.to_str().ok_or_else(|| unfit("it is no UTF-8"))?;
    if !text.starts_with('/') {
        return Err(unfit("it is not absolute"));
    }
    if text.chars().any(char::is_control) {
        return Err(unfit("it has control characters"));
    }
    if text.contains(['"', '\\', '\'']) {
        return Err(unfit("it has quotes or backslashes"));
    }
    if text.trim() != text {
        return Err(unfit("it ends in white space"));
    }
    Ok(text)
}

/// What a template that is there says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Which generation of Hermes wrote it.
    pub generation: u32,
    /// Whose gateways it runs.
    pub home: PathBuf,
    /// After how many seconds a stop kills.
    pub kill_after: u64,
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template<'a>(program: &'a str, root: &'a RootHome) -> Template<'a> {
        let stop_timeout = StopTimeout::default();
        Template { program: Path::new(program), root, user: None, stop_timeout, grows: false }
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
        Generation=1
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
        Generation=1
        Home=/srv/agents 50%
        "#);
    }

    #[test]
    fn what_it_says_of_itself_is_read() {
        let root = RootHome::new("/srv/agents 50%");
        let text = template("/usr/bin/hermes", &root).render().unwrap();
        let mark = Mark::read(&text).unwrap();
        let expected = Mark { generation: GENERATION, home: root.path().into(), kill_after: 6 };
        assert_eq!(mark, expected);
        assert_eq!(Mark::read("[Service]\nExecStart=/bin/true\n"), None);
    }

    #[test]
    fn a_path_that_could_say_more_than_itself_is_refused() {
        for home in ["/a\nExecStartPre=/x", "/a\"b", "/a\\", "/a'", "/a ", "a", "/a\u{7f}"] {
            let root = RootHome::new(home);
            assert!(template("/usr/bin/hermes", &root).render().is_err(), "{home:?}");
            assert!(template(home, &RootHome::new("/d")).render().is_err(), "{home:?}");
        }
    }

    #[test]
    fn units_are_told_by_their_names() {
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
        assert_eq!(names.unit(&longest).len(), MAX_UNIT);
    }
}
