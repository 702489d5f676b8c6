//! The property list of one gateway's job, `~/Library/LaunchAgents/<label>.plist` (`launchd.plist(5)`).
//!
//! A serializer writes the file, so no value needs quoting here. The file holds no secrets: a gateway reads
//! its settings from its home.
//!
//! | key | value | why |
//! |---|---|---|
//! | `RunAtLoad`, `KeepAlive` | true | a loaded job is restarted after any exit code: exit 0 is no intent to stop |
//! | `ThrottleInterval` | 10 | launchd's default; it has no growing delay |
//! | `ExitTimeOut` | the stop budget less 2 s, 60 at most | a user's domain allows 60; the default is 5 |
//! | `ProcessType` | Interactive | otherwise launchd throttles CPU and disk, and people wait for answers |
//! | `SoftResourceLimits`, `HardResourceLimits` | `NumberOfFiles`: `gateway.resources.files` | launchd's other limits count a user or a process |
//! | `LimitLoadToSessionType` | Background without a screen | otherwise launchd loads it only into Aqua sessions |
//!
//! So a job that must not run must not be loaded: see [`super::launcher`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hermes_core::config::StopTimeout;
use hermes_core::home::env;
use hermes_core::{fsutil, writers};
use serde::{Deserialize, Serialize};

use super::launchctl::Domain;

/// The hidden option that gives a launcher the label of its job.
pub const LABEL_OPTION: &str = "--launchd";
/// The longest `ExitTimeOut` that launchd allows in a user's domain, in seconds.
pub(super) const LONGEST_EXIT_TIMEOUT: u64 = 60;
const THROTTLE: u64 = 10;
const FILE_MODE: u32 = 0o644;

/// The values in a gateway's property list.
#[derive(Debug)]
pub(super) struct Agent<'a> {
    /// The job's label.
    pub(super) label: &'a str,
    /// The `hermes` program, an absolute path.
    pub(super) hermes: &'a Path,
    /// The profile.
    pub(super) profile: &'a str,
    /// The root home.
    pub(super) root: &'a Path,
    /// The file that launchd appends the gateway's output to.
    pub(super) log: &'a Path,
    /// The gateway's stop budget.
    pub(super) stop_timeout: StopTimeout,
    /// The limit on open descriptors, if one is configured.
    pub(super) files: Option<u64>,
    /// The domain to load the job into.
    pub(super) domain: Domain,
    /// Whether the gateway uses homes that other users may write to.
    pub(super) open_homes: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Keys<'a> {
    label: &'a str,
    program_arguments: [&'a Path; 8],
    environment_variables: BTreeMap<&'a str, &'a Path>,
    working_directory: &'a Path,
    run_at_load: bool,
    keep_alive: bool,
    throttle_interval: u64,
    exit_time_out: u64,
    process_type: &'a str,
    standard_out_path: &'a Path,
    standard_error_path: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    soft_resource_limits: Option<BTreeMap<&'a str, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard_resource_limits: Option<BTreeMap<&'a str, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_load_to_session_type: Option<&'a str>,
}

impl Agent<'_> {
    /// The file's bytes, XML.
    pub(super) fn render(&self) -> io::Result<Vec<u8>> {
        let arguments =
            ["-p", self.profile, "gateway", "start", "--foreground", LABEL_OPTION, self.label];
        let [p, profile, gateway, start, foreground, option, label] = arguments.map(Path::new);
        let limits = self.files.map(|files| BTreeMap::from([("NumberOfFiles", files)]));
        let keys = Keys {
            label: self.label,
            program_arguments: [self.hermes, p, profile, gateway, start, foreground, option, label],
            environment_variables: [(env::HOME, self.root)]
                .into_iter()
                .chain(self.open_homes.then(|| (env::OPEN_HOME, Path::new(writers::ALLOWED))))
                .collect(),
            working_directory: self.root,
            run_at_load: true,
            keep_alive: true,
            throttle_interval: THROTTLE,
            exit_time_out: self.stop_timeout.kill_after().as_secs().min(LONGEST_EXIT_TIMEOUT),
            process_type: "Interactive",
            standard_out_path: self.log,
            standard_error_path: self.log,
            soft_resource_limits: limits.clone(),
            hard_resource_limits: limits,
            limit_load_to_session_type: match self.domain {
                Domain::Gui(_) => None,
                Domain::User(_) => Some("Background"),
            },
        };
        let mut bytes = Vec::new();
        plist::to_writer_xml(&mut bytes, &keys).map_err(io::Error::other)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Writes the file durably unless it has these bytes already; returns whether it was written.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if fsutil::read_if_there(path)?.as_deref() == Some(bytes) {
        return Ok(false);
    }
    if let Some(directory) = path.parent() {
        writers::create_directory(directory)?;
    }
    fsutil::write_durably(path, bytes, FILE_MODE)?;
    Ok(true)
}

/// The root home that a property list names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pinned {
    /// The file does not exist.
    Nothing,
    /// This root home; whether the gateway uses homes that other users may write to.
    Home { home: PathBuf, open_homes: bool },
    /// The file names no home, or is not a property list.
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Owner {
    environment_variables: BTreeMap<String, PathBuf>,
}

/// Reads the home that the property list at `path` names.
pub(super) fn pinned(path: &Path) -> io::Result<Pinned> {
    let Some(bytes) = fsutil::read_if_there(path)? else { return Ok(Pinned::Nothing) };
    let owner: Result<Owner, _> = plist::from_bytes(&bytes);
    let mut variables = owner.map(|owner| owner.environment_variables).unwrap_or_default();
    let open_homes =
        variables.get(env::OPEN_HOME).is_some_and(|value| value == Path::new(writers::ALLOWED));
    let home = variables.remove(env::HOME);
    Ok(home.map_or(Pinned::Unknown, |home| Pinned::Home { home, open_homes }))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn agent() -> Agent<'static> {
        Agent {
            label: "ai.hermes.gateway.coder",
            hermes: Path::new("/opt/homebrew/bin/hermes"),
            profile: "coder",
            root: Path::new("/Users/u/.hermes"),
            log: Path::new("/Users/u/.hermes/logs/gateways/coder/current"),
            stop_timeout: StopTimeout::default(),
            files: None,
            domain: Domain::Gui(501),
            open_homes: false,
        }
    }

    fn text(agent: &Agent<'_>) -> String {
        String::from_utf8(agent.render().unwrap()).unwrap()
    }

    #[test]
    fn the_whole_file() {
        insta::assert_snapshot!(text(&agent()).replace('\t', "  "), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
        <plist version="1.0">
        <dict>
          <key>Label</key>
          <string>ai.hermes.gateway.coder</string>
          <key>ProgramArguments</key>
          <array>
            <string>/opt/homebrew/bin/hermes</string>
            <string>-p</string>
            <string>coder</string>
            <string>gateway</string>
            <string>start</string>
            <string>--foreground</string>
            <string>--launchd</string>
            <string>ai.hermes.gateway.coder</string>
          </array>
          <key>EnvironmentVariables</key>
          <dict>
            <key>HERMES_HOME</key>
            <string>/Users/u/.hermes</string>
          </dict>
          <key>WorkingDirectory</key>
          <string>/Users/u/.hermes</string>
          <key>RunAtLoad</key>
          <true/>
          <key>KeepAlive</key>
          <true/>
          <key>ThrottleInterval</key>
          <integer>10</integer>
          <key>ExitTimeOut</key>
          <integer>6</integer>
          <key>ProcessType</key>
          <string>Interactive</string>
          <key>StandardOutPath</key>
          <string>/Users/u/.hermes/logs/gateways/coder/current</string>
          <key>StandardErrorPath</key>
          <string>/Users/u/.hermes/logs/gateways/coder/current</string>
        </dict>
        </plist>
        "#);
    }

    #[test]
    fn background_domain_and_long_stop_budgets() {
        let stop_timeout = StopTimeout::new(600).unwrap();
        let text = text(&Agent { domain: Domain::User(501), stop_timeout, ..agent() });
        let tail = text.split_once("LimitLoadToSessionType</key>").unwrap().1;
        assert!(tail.trim_start().starts_with("<string>Background</string>"), "{text}");
        let tail = text.split_once("ExitTimeOut</key>").unwrap().1;
        assert!(tail.trim_start().starts_with("<integer>60</integer>"), "{text}");
    }

    #[test]
    fn a_limit_on_descriptors_is_soft_and_hard() {
        let text = text(&Agent { files: Some(4096), ..agent() });
        for key in ["SoftResourceLimits", "HardResourceLimits"] {
            let tail = text.split_once(&format!("<key>{key}</key>")).unwrap().1;
            let tail: String = tail.split_ascii_whitespace().take(4).collect();
            assert_eq!(tail, "<dict><key>NumberOfFiles</key><integer>4096</integer></dict>");
        }
    }

    /// Another implementation reads the file, with values that contain markup.
    #[test]
    fn plistutil_reads_the_same_values() {
        let dir = tempfile::tempdir().unwrap();
        let (xml, binary) = (dir.path().join("xml"), dir.path().join("binary"));
        let root = Path::new("/Users/ü & <b>\"x\"</b>\n%h ${HOME}/]]>");
        let bytes = Agent { root, ..agent() }.render().unwrap();
        std::fs::write(&xml, &bytes).unwrap();
        let status = Command::new("plistutil")
            .args(["-f", "bin", "-i"])
            .arg(&xml)
            .arg("-o")
            .arg(&binary)
            .status()
            .expect("plistutil: `cargo xtask install`");
        assert!(status.success());
        let [ours, theirs] = [&xml, &binary].map(|path| plist::Value::from_file(path).unwrap());
        assert!(std::fs::read(&binary).unwrap().starts_with(b"bplist00"));
        assert_eq!(ours, theirs);
        assert_eq!(
            pinned(&binary).unwrap(),
            Pinned::Home { home: root.to_owned(), open_homes: false }
        );
    }

    #[test]
    fn a_file_is_written_once_and_names_its_home() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LaunchAgents/a.plist");
        assert_eq!(pinned(&path).unwrap(), Pinned::Nothing);
        let bytes = agent().render().unwrap();
        assert!(write(&path, &bytes).unwrap());
        assert!(!write(&path, &bytes).unwrap());
        let home = PathBuf::from("/Users/u/.hermes");
        assert_eq!(pinned(&path).unwrap(), Pinned::Home { home: home.clone(), open_homes: false });
        let bytes = Agent { open_homes: true, ..agent() }.render().unwrap();
        assert!(write(&path, &bytes).unwrap());
        assert_eq!(pinned(&path).unwrap(), Pinned::Home { home, open_homes: true });
        for other in ["", "no property list", "<plist version=\"1.0\"><dict/></plist>"] {
            std::fs::write(&path, other).unwrap();
            assert_eq!(pinned(&path).unwrap(), Pinned::Unknown, "{other}");
        }
    }
}
