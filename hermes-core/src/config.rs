//! A profile's `config.yaml`: reads Hermes's keys under `gateway`, and writes the port.
//!
//! The Python agent reads the same file with PyYAML (YAML 1.1), while our library follows YAML 1.2. So
//! a value is accepted only if both read it alike; any other is refused with its place in the file. All
//! other keys belong to the agent: Hermes neither checks nor changes them.
//!
//! The library's values have no place and no original spelling. But a string that it deserializes
//! borrows from the input, so its address gives its place in the file, and a scalar deserialized as a
//! string has its original spelling. `yaml` uses that to turn the text into a small tree with places;
//! the other files work on the tree.
//!
//! | file | contents |
//! |---|---|
//! | `yaml` | text to tree; the only file that uses the library |
//! | `pyyaml` | the type that PyYAML gives an unquoted scalar |
//! | `keys` | the names of our keys |
//! | `read` | the values of our keys, with errors and warnings |
//! | `draft` | a profile's keys over those of `defaults`; [`Loaded`] once it is known what runs |
//! | `defaults` | `gateway.defaults`, in the root home's file |
//! | `projection` | [`defaults_alone`] |
//! | `version` | whether a file is still the one that was read |
//! | `agent_keys` | the agent's own keys that decide its address |
//! | `spelling` | recognizes our keys if they are misspelt |
//! | `edit` | [`with_port`] |
//! | `fill` | [`Placeholders`] |
//! | `ready_url` | [`ReadyUrl`] |
//! | `liveness` | [`Liveness`], [`OnHang`] |
//! | `notify` | [`Notify`], in the root home's file |
//! | `resources` | [`Resources`] |
//! | `error` | [`ConfigError`] |
//! | `quote` | [`Quote`] |

mod agent_keys;
mod defaults;
mod draft;
mod edit;
mod error;
mod fill;
mod keys;
mod liveness;
mod notify;
mod projection;
mod pyyaml;
mod quote;
mod read;
mod ready_url;
mod resources;
mod secrets;
mod spelling;
mod version;
mod write;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fsutil;

pub(crate) use agent_keys::{AgentKeys, Setting};
pub(crate) use draft::Draft;
pub use draft::{Origin, Origins};
pub(crate) use edit::with_agents_port;
pub use edit::with_port;
pub use error::{ConfigError, Place, PortPlace};
pub use fill::{Placeholders, Unfilled};
pub(crate) use keys::agent::PORT as AGENTS_PORT;
pub use liveness::{Liveness, OnHang};
pub use notify::{Notify, load_notify, parse_notify};
pub use projection::defaults_alone;
pub use quote::Quote;
pub use ready_url::{InvalidReadyUrl, ReadyUrl};
pub use resources::{Resource, Resources};
pub use secrets::{
    MASK, SecretKey, is_secret, is_secret_value, looks_like_secret, masked, masked_arguments,
    secret_keys,
};
pub(crate) use write::check_writable;
pub use write::write;

/// The default of `gateway.host`.
pub const DEFAULT_HOST: &str = "127.0.0.1";

/// The largest `config.yaml` that is read, in bytes.
pub const MAX_SIZE: usize = 1024 * 1024;

/// Our keys under `gateway`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// What runs, as `kind`, `command` and the home decide it.
    pub kind: GatewayKind,
    /// `program`: the Python agent's program; `None` to look for it.
    pub program: Option<PathBuf>,
    /// `topology`: whether the Python agent may serve several profiles with one gateway.
    pub topology: Topology,
    /// `host`: the address that the gateway listens on.
    pub host: String,
    /// `port`; `None` claims no port.
    pub port: Option<u16>,
    /// `command`: the program and its arguments; `None` for the built-in gateway.
    pub command: Option<Vec<String>>,
    /// `env`: variables added to the gateway's environment.
    pub env: BTreeMap<String, String>,
    /// `ready_url`: answers with success once the gateway is ready.
    pub ready_url: Option<String>,
    /// `liveness`: how the gateway is asked while it is up; `None` if it is not.
    pub liveness: Option<Liveness>,
    /// `on_hang`: what follows if it does not answer.
    pub on_hang: OnHang,
    /// `resources`: how much the gateway may use.
    pub resources: Resources,
    /// `stop_timeout`: how long a stop may take.
    pub stop_timeout: StopTimeout,
}

impl GatewayConfig {
    /// Whether the supervisor is notified when this gateway is ready: the built-in gateway notifies it
    /// itself, for any other the probe of the `ready_url` does.
    pub fn notifies_readiness(&self) -> bool {
        self.command.is_none() || self.ready_url.is_some()
    }

    /// Whether the gateway may listen on its port: always, but for an agent whose API server is disabled.
    pub fn may_listen(&self) -> bool {
        let command = self.command.iter().flatten();
        let mut texts = command.chain(self.env.values()).chain(&self.ready_url);
        self.kind != GatewayKind::HermesAgent
            || self.env.contains_key(AGENTS_PORT)
            || texts.any(|text| text.contains("{port}"))
    }

    /// `command` with its placeholders filled in; `None` for the built-in gateway.
    pub fn filled_command(
        &self,
        placeholders: &Placeholders<'_>,
    ) -> Result<Option<Vec<String>>, Unfilled> {
        let Some(command) = &self.command else { return Ok(None) };
        let fill = |argument: &String| placeholders.fill("gateway.command", argument);
        command.iter().map(fill).collect::<Result<_, _>>().map(Some)
    }

    /// `ready_url` with its placeholders filled in. An IPv6 host gets its brackets.
    pub fn filled_ready_url(
        &self,
        placeholders: &Placeholders<'_>,
    ) -> Result<Option<String>, Unfilled> {
        let url = self.ready_url.as_ref();
        url.map(|url| ready_url::fill(placeholders, url)).transpose()
    }

    /// `env` with the placeholders in its values filled in.
    pub fn filled_env(
        &self,
        placeholders: &Placeholders<'_>,
    ) -> Result<BTreeMap<String, String>, Unfilled> {
        let fill = |(name, value): (&String, &String)| {
            Ok((name.clone(), placeholders.fill(&format!("gateway.env.{name}"), value)?))
        };
        self.env.iter().map(fill).collect()
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            kind: GatewayKind::BuiltIn,
            program: None,
            topology: Topology::default(),
            host: DEFAULT_HOST.to_owned(),
            port: None,
            command: None,
            env: BTreeMap::new(),
            ready_url: None,
            liveness: Some(Liveness::default()),
            on_hang: OnHang::default(),
            resources: Resources::default(),
            stop_timeout: StopTimeout::default(),
        }
    }
}

/// What runs as a profile's gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayKind {
    /// The gateway that is built into `hermes`.
    BuiltIn,
    /// The program of `command`.
    Command,
    /// The Python agent.
    HermesAgent,
}

impl fmt::Display for GatewayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BuiltIn => "built-in",
            Self::Command => "command",
            Self::HermesAgent => "hermes-agent",
        })
    }
}

/// Which profiles a gateway of the Python agent serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Topology {
    /// Its own alone.
    #[default]
    Isolated,
    /// Those that the agent decides.
    Shared,
}

/// How long a stop may take, in whole seconds. All deadlines of a stop derive from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StopTimeout(u64);

impl StopTimeout {
    /// The minimum: each part of a stop has at least a second.
    pub const MIN: u64 = 4;
    /// The maximum, an hour.
    pub const MAX: u64 = 3600;

    /// How long the supervisor needs, after the kill, to notice the end and write the last log lines.
    const AFTER_KILL: u64 = 2;
    /// How long a gateway needs to exit after its last open request.
    const AFTER_DRAIN: u64 = 1;

    /// `None` outside of [`StopTimeout::MIN`] to [`StopTimeout::MAX`].
    pub fn new(seconds: u64) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&seconds).then_some(Self(seconds))
    }

    /// The timeout with this [`kill_after`](Self::kill_after), or the nearest valid one.
    pub fn killing_after(kill_after: Duration) -> Self {
        let seconds = kill_after.as_secs().saturating_add(Self::AFTER_KILL);
        Self(seconds.clamp(Self::MIN, Self::MAX))
    }

    /// The number of seconds, as in the file.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// The time from the request to stop until no process of the gateway remains.
    pub fn budget(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// The time from the request to stop until the supervisor kills the gateway (s6's `timeout-kill`).
    pub fn kill_after(self) -> Duration {
        Duration::from_secs(self.0 - Self::AFTER_KILL)
    }

    /// The time that the gateway has to finish open requests.
    pub fn drain(self) -> Duration {
        Duration::from_secs(self.0 - Self::AFTER_KILL - Self::AFTER_DRAIN)
    }
}

impl Default for StopTimeout {
    /// Fits in the 10 s that `docker stop` waits.
    fn default() -> Self {
        Self(8)
    }
}

/// The content of a `config.yaml`, as far as Hermes reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Our keys, or their defaults.
    pub gateway: GatewayConfig,
    /// What set them.
    pub origins: Origins,
    /// Keys that are probably one of ours misspelt, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// A key under `gateway` that is probably one of ours misspelt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub path: PathBuf,
    /// The key as written, without `gateway.`.
    pub key: String,
    /// The key of ours that was probably meant.
    pub suggestion: &'static str,
    /// The key's line, from 1; `None` only for a key written with escapes.
    pub line: Option<usize>,
    /// The key's column, from 1, in characters; `None` together with `line`.
    pub column: Option<usize>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = Place { path: self.path.clone(), at: self.line.zip(self.column) };
        let (key, suggestion) = (self.key.escape_debug(), self.suggestion);
        write!(f, "unknown key `gateway.{key}` in {place}: did you mean `{suggestion}`?")
    }
}

/// The text of a profile's file, empty if it is missing. Does not block on a FIFO.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let bytes = read_file(path)?.unwrap_or_default();
    error::utf8(&bytes, path).map(str::to_owned)
}

/// The keys in `text`, the content of a profile's file, over those for every profile in `root`, the root home's file. For
/// the root home's own profile, `text` has both.
pub(crate) fn draft(text: &str, path: &Path, root: &Path) -> Result<Draft, ConfigError> {
    if path == root {
        return draft_of(text, path, &defaults::Defaults::parse(text, path)?);
    }
    draft_of(text, path, &*defaults::Defaults::load(root)?)
}

fn draft_of(text: &str, path: &Path, defaults: &defaults::Defaults) -> Result<Draft, ConfigError> {
    let root = yaml::read(text, yaml::Scope::Ours, path)?;
    Draft::new(&root, text, path, defaults)
}

/// The bytes of the file at `path`, as far as they tell whether it is too large; `None` if it is missing.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, ConfigError> {
    // One byte more than allowed distinguishes a file that is too large.
    match fsutil::read_up_to(path, MAX_SIZE as u64 + 1) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::Read { path: path.to_owned(), source: error }),
    }
}

/// Reads `text`, the content of a profile's file, without the keys that other files set; `path` is only used in messages.
pub fn parse(text: &str, path: &Path) -> Result<Loaded, ConfigError> {
    draft_of(text, path, &defaults::Defaults::default())?.finish()
}

#[cfg(test)]
mod tests;
