//! A profile's `config.yaml`: reads the keys under `gateway` that are ours, and writes the port.
//!
//! The file is shared with the Python agent, whose PyYAML (YAML 1.1) reads it too, while our
//! library follows YAML 1.2. So a value counts only if both readers see the same in it; anything
//! else is refused with its place in the file. Every key that is not ours belongs to the agent: it
//! is neither checked nor touched.
//!
//! How a value's place and spelling are known: the library's own values have neither. But its
//! strings borrow from the input, so where a string lies in memory is where it stands in the file,
//! and asking for a string gives a scalar's text as it is written. `yaml` uses that to turn the
//! text into a small tree with places; everything else works on the tree.
//!
//! | file | what it does |
//! |---|---|
//! | `yaml` | text to tree; alone in naming the library |
//! | `pyyaml` | what PyYAML takes an unquoted scalar for |
//! | `keys` | the names of our keys |
//! | `read` | tree to [`GatewayConfig`], with errors and warnings |
//! | `edit` | [`with_port`] |
//! | `fill` | [`Placeholders`] |
//! | `error` | [`ConfigError`] |

mod edit;
mod error;
mod fill;
mod keys;
mod pyyaml;
mod read;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fsutil;

pub use edit::with_port;
pub use error::{ConfigError, Place};
pub use fill::{MissingPort, Placeholders};

/// Where a gateway listens unless `gateway.host` says otherwise.
pub const DEFAULT_HOST: &str = "127.0.0.1";

/// The largest `config.yaml` that is read, in bytes.
pub const MAX_SIZE: usize = 1024 * 1024;

/// Our keys under `gateway`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// `host`: where the gateway listens.
    pub host: String,
    /// `port`: absent, the profile claims none.
    pub port: Option<u16>,
    /// `command`: the program with its arguments; absent, the built-in gateway.
    pub command: Option<Vec<String>>,
    /// `env`: variables added to the gateway's environment.
    pub env: BTreeMap<String, String>,
    /// `ready_url`: answers once the gateway is ready.
    pub ready_url: Option<String>,
    /// `stop_timeout`: how long a stop may take.
    pub stop_timeout: StopTimeout,
}

impl GatewayConfig {
    /// Whether somebody tells when this gateway is ready: itself, if it is the built-in one, or
    /// whoever asks its `ready_url`.
    pub fn notifies_readiness(&self) -> bool {
        self.command.is_none() || self.ready_url.is_some()
    }

    /// `command` with its placeholders filled in; `None` for the built-in gateway.
    pub fn filled_command(
        &self,
        placeholders: &Placeholders<'_>,
    ) -> Result<Option<Vec<String>>, MissingPort> {
        let Some(command) = &self.command else { return Ok(None) };
        let fill = |argument: &String| placeholders.fill("gateway.command", argument);
        command.iter().map(fill).collect::<Result<_, _>>().map(Some)
    }

    /// `ready_url` with its placeholders filled in.
    pub fn filled_ready_url(
        &self,
        placeholders: &Placeholders<'_>,
    ) -> Result<Option<String>, MissingPort> {
        let url = self.ready_url.as_ref();
        url.map(|url| placeholders.fill("gateway.ready_url", url)).transpose()
    }

    /// `env` with the placeholders in its values filled in.
    pub fn filled_env(
        &self,
        placeholders: &Placeholders<'_>,
    ) -> Result<BTreeMap<String, String>, MissingPort> {
        let fill = |(name, value): (&String, &String)| {
            Ok((name.clone(), placeholders.fill(&format!("gateway.env.{name}"), value)?))
        };
        self.env.iter().map(fill).collect()
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            host: DEFAULT_HOST.to_owned(),
            port: None,
            command: None,
            env: BTreeMap::new(),
            ready_url: None,
            stop_timeout: StopTimeout::default(),
        }
    }
}

/// How long a stop may take, in whole seconds: the one number that every stop budget comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StopTimeout(u64);

impl StopTimeout {
    /// The shortest that leaves every part of a stop some time.
    pub const MIN: u64 = 4;
    /// The longest, an hour.
    pub const MAX: u64 = 3600;

    /// What the supervisor needs, after the kill, to see the end and write the last lines.
    const AFTER_KILL: u64 = 2;
    /// What a gateway needs to exit once its open requests are finished.
    const AFTER_DRAIN: u64 = 1;

    /// `None` outside of [`StopTimeout::MIN`] to [`StopTimeout::MAX`].
    pub fn new(seconds: u64) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&seconds).then_some(Self(seconds))
    }

    /// The one whose [`kill_after`](Self::kill_after) is `kill_after`, or the nearest allowed.
    pub fn killing_after(kill_after: Duration) -> Self {
        let seconds = kill_after.as_secs().saturating_add(Self::AFTER_KILL);
        Self(seconds.clamp(Self::MIN, Self::MAX))
    }

    /// The number as it stands in the file.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// All the time from asking for a stop until nothing is left.
    pub fn budget(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// When a gateway that is still there is killed (s6's `timeout-kill`).
    pub fn kill_after(self) -> Duration {
        Duration::from_secs(self.0 - Self::AFTER_KILL)
    }

    /// What the gateway itself may use to finish open requests.
    pub fn drain(self) -> Duration {
        Duration::from_secs(self.0 - Self::AFTER_KILL - Self::AFTER_DRAIN)
    }
}

impl Default for StopTimeout {
    /// Leaves `docker stop`, which waits 10 s, time to spare.
    fn default() -> Self {
        Self(8)
    }
}

/// What a `config.yaml` says to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Our keys, or their defaults.
    pub gateway: GatewayConfig,
    /// Keys that look like one of ours misspelt, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// A key under `gateway` that is not ours but looks like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub path: PathBuf,
    /// The key as it is written, without `gateway.`.
    pub key: String,
    /// The key of ours that was probably meant.
    pub suggestion: &'static str,
    /// Where the key stands, from 1; `None` only for a key written with escapes.
    pub line: Option<usize>,
    /// Likewise, in characters.
    pub column: Option<usize>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Place { path: self.path.clone(), at: self.line.zip(self.column) };
        let (key, suggestion) = (self.key.escape_debug(), self.suggestion);
        write!(f, "unknown key `gateway.{key}` in {place}: did you mean `{suggestion}`?")
    }
}

/// Reads the file; one that does not exist says nothing.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    // One byte more than allowed tells a file that is too large from one that just fits.
    match fsutil::read_up_to(path, MAX_SIZE as u64 + 1) {
        Ok(bytes) => parse(error::utf8(&bytes, path)?, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Loaded::default()),
        Err(error) => Err(ConfigError::Read(error)),
    }
}

/// Reads `text`; `path` only serves in messages.
pub fn parse(text: &str, path: &Path) -> Result<Loaded, ConfigError> {
    let root = yaml::read(text, yaml::Scope::Ours, path)?;
    read::loaded(&root, text, path)
}

#[cfg(test)]
mod tests;
