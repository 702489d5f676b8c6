//! Writes a port into every place from which a profile's gateway takes it.
//!
//! `config.yaml` is the file that names the port: there, every key that names one says the same afterwards. From `.env`,
//! which the agent prefers, its line is taken out.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::{CONFIG_MODE, StoreError};
use crate::config::{self, ConfigError, Place};
use crate::dotenv::{self, Dotenv};
use crate::fsutil;
use crate::home::ProfileHome;
use crate::{agent, settings};

/// A change to a file, displayed as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortChange {
    /// The full name of the key, or the name of the variable.
    pub key: String,
    /// The file and the line.
    pub place: Place,
    /// The port that it names now; `None` if its line was taken out.
    pub port: Option<u16>,
}

impl fmt::Display for PortChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, place, port } = self;
        let path = place.path.display();
        let line = place.at.map_or_else(String::new, |(line, _)| format!(" line {line}"));
        match port {
            Some(port) => write!(f, "wrote `{key}: {port}` to `{path}`{line}"),
            None => write!(f, "took `{key}` out of `{path}`{line}"),
        }
    }
}

/// A file with its text before and after.
struct Edit {
    path: PathBuf,
    old: Option<String>,
    new: String,
}

impl Edit {
    fn is_change(&self) -> bool {
        self.old.as_ref() != Some(&self.new)
    }

    fn write(&self) -> io::Result<()> {
        config::write(&self.path, self.new.as_bytes(), CONFIG_MODE)
    }

    fn undo(&self) -> io::Result<()> {
        match &self.old {
            Some(old) => config::write(&self.path, old.as_bytes(), CONFIG_MODE),
            None => fsutil::remove_file_if_there(&self.path).map(drop),
        }
    }
}

/// Writes `port` everywhere, or changes nothing. Keeps the rest of each text. Returns the changes.
pub(super) fn write(home: &ProfileHome, port: u16) -> Result<Vec<PortChange>, StoreError> {
    let path = home.config();
    let failed = |path: PathBuf| move |source| StoreError::Port { path, source };
    let old = fsutil::read_if_there(&path).map_err(failed(path.clone()))?.map(String::from_utf8);
    let old = old.transpose().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
    let old = old.map_err(failed(path.clone()))?;
    let text = old.as_deref().unwrap_or_default();
    let variables = dotenv::load(&home.dotenv()).unwrap_or_default();
    let before = settings::address_in(home, text, &variables).ok();
    let new = config::with_port(text, port, &path)?;
    let mut edits = vec![Edit { path: path.clone(), old: old.clone(), new }];
    let mut changes = Vec::new();
    let mut dotenv = Dotenv::default();
    if settings::address_in(home, &edits[0].new, &dotenv)?.is_agents {
        edits[0].new = config::with_agents_port(&edits[0].new, port, &path)?;
        let path = home.dotenv();
        let in_dotenv =
            |error| StoreError::Port { path: path.clone(), source: io::Error::other(error) };
        if let Some(old) = dotenv::text(&path).map_err(in_dotenv)? {
            let (new, lines) = dotenv::without(&old, agent::PORT);
            dotenv = Dotenv::of(&new, &path);
            changes.extend(lines.into_iter().map(|line| PortChange {
                key: agent::PORT.to_owned(),
                place: Place { path: path.clone(), at: Some((line, 1)) },
                port: None,
            }));
            edits.push(Edit { path, old: Some(old), new });
        }
    }
    let after = settings::address_in(home, &edits[0].new, &dotenv)?.places;
    if let Some(other) = after.iter().find(|place| place.port != Some(port)) {
        let (key, place) = (other.key.clone(), other.place.clone());
        return Err(ConfigError::Uneditable { key, place, port }.into());
    }
    let named = |key: &str| {
        let before = before.iter().flat_map(|address| &address.places);
        before.into_iter().any(|place| place.key == key && place.port == Some(port))
    };
    let written = after.into_iter().filter(|place| !named(&place.key));
    changes.splice(
        0..0,
        written.map(|place| PortChange { key: place.key, place: place.place, port: Some(port) }),
    );
    edits.retain(Edit::is_change);
    for edit in &edits {
        config::check_writable(&edit.path).map_err(failed(edit.path.clone()))?;
    }
    for (done, edit) in edits.iter().enumerate() {
        let Err(error) = edit.write() else { continue };
        let source = match edits[..done].iter().try_for_each(Edit::undo) {
            Ok(()) => error,
            Err(left) => {
                let what = format!("{error}; nor could the other file be restored: {left}");
                io::Error::new(left.kind(), what)
            }
        };
        return Err(StoreError::Port { path: edit.path.clone(), source });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fs_err as fs;

    use super::*;
    use crate::RootHome;

    struct Home {
        dir: tempfile::TempDir,
        home: ProfileHome,
    }

    impl Home {
        fn new(config: &str, dotenv: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let home = RootHome::new(dir.path()).profile(&"coder".parse().unwrap());
            fs::create_dir_all(home.path()).unwrap();
            fs::write(home.config(), config).unwrap();
            fs::write(home.dotenv(), dotenv).unwrap();
            fs::set_permissions(home.dotenv(), PermissionsExt::from_mode(0o600)).unwrap();
            Self { dir, home }
        }

        fn texts(&self) -> [String; 2] {
            [self.home.config(), self.home.dotenv()].map(|path| fs::read_to_string(path).unwrap())
        }

        fn write(&self, port: u16) -> Result<Vec<String>, String> {
            let below = format!("{}/", self.home.path().display());
            let shown = |text: String| text.replace(&below, "");
            match write(&self.home, port) {
                Ok(changes) => Ok(changes.iter().map(|it| shown(it.to_string())).collect()),
                Err(error) => Err(shown(crate::error_chain::in_one_line(&error))),
            }
        }
    }

    const CONFIG: &str = "_config_version: 33\nAPI_SERVER_PORT: 1\nplatforms:\n  api_server:\n    extra: {port: 2}\n";
    const DOTENV: &str =
        "# mine\nAPI_SERVER_KEY=x\nexport API_SERVER_PORT='3\n' # why\r\nB=1\nAPI_SERVER_PORT=4\n";

    #[test]
    fn every_place_says_the_same() {
        let home = Home::new(CONFIG, DOTENV);
        let written = [
            "wrote `gateway.port: 9000` to `config.yaml` line 7",
            "wrote `API_SERVER_PORT: 9000` to `config.yaml` line 2",
            "wrote `platforms.api_server.extra.port: 9000` to `config.yaml` line 5",
            "took `API_SERVER_PORT` out of `.env` line 3",
            "took `API_SERVER_PORT` out of `.env` line 6",
        ];
        assert_eq!(home.write(9000).unwrap(), written);
        let config = "_config_version: 33\nAPI_SERVER_PORT: 9000\nplatforms:\n  api_server:\n    extra: {port: 9000}\n\
                      gateway:\n  port: 9000\n";
        assert_eq!(home.texts(), [config, "# mine\nAPI_SERVER_KEY=x\nB=1\n"]);
        assert_eq!(fs::metadata(home.home.dotenv()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(settings::load(&home.home).unwrap().gateway.port, Some(9000));
        assert!(home.write(9000).unwrap().is_empty(), "once is enough");
    }

    #[test]
    fn a_home_that_is_not_the_agents_keeps_its_variables() {
        let home = Home::new("", DOTENV);
        let written = home.write(9000).unwrap();
        assert_eq!(written, ["wrote `gateway.port: 9000` to `config.yaml` line 2"]);
        assert_eq!(home.texts()[1], DOTENV);
    }

    #[test]
    fn a_place_that_can_not_be_written_changes_nothing() {
        let by_hand = |config: &str, place: &str| {
            let home = Home::new(config, DOTENV);
            let shared = "gateway: {defaults: {env: {API_SERVER_PORT: '5'}}}";
            fs::write(home.dir.path().join("config.yaml"), shared).unwrap();
            let error = home.write(9000).unwrap_err();
            assert!(error.contains(place), "{error}");
            assert_eq!(home.texts(), [config, DOTENV]);
        };
        by_hand("_config_version: 33\nAPI_SERVER_PORT: >\n  1\n", "set `API_SERVER_PORT: 9000`");
        by_hand(CONFIG, "set `gateway.env.API_SERVER_PORT: 9000` there by hand");
        let home = Home::new(CONFIG, DOTENV);
        fs::remove_file(home.home.dotenv()).unwrap();
        fs::create_dir(home.home.dotenv()).unwrap();
        let error = home.write(9000).unwrap_err();
        assert!(error.contains("failed to write the port into `.env`"), "{error}");
        assert_eq!(fs::read_to_string(home.home.config()).unwrap(), CONFIG);
    }
}
