//! [`ConfigError`]: why a `config.yaml` can't be used, with the place in the file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::MAX_SIZE;
use crate::fsutil::file_hint;
use crate::name::ProfileName;

/// Why a `config.yaml` can't be used. Displayed as one line that names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read. The I/O error names the file.
    #[error("{source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than [`MAX_SIZE`].
    #[error("`{}` is larger than {} KiB", .path.display(), MAX_SIZE / 1024)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not valid UTF-8.
    #[error("invalid UTF-8 in {place}")]
    NotUtf8 {
        /// The first invalid byte.
        place: Place,
    },
    /// The file is not valid YAML, or its top level is not a mapping.
    #[error("invalid YAML in {place}: {problem}")]
    Yaml {
        /// The place of the problem.
        place: Place,
        /// The problem.
        problem: String,
    },
    /// One of our keys has an invalid type or value, or is set twice.
    #[error("invalid `{key}` in {place}: {problem}")]
    Invalid {
        /// The full name, such as `gateway.port`.
        key: String,
        /// The place of the value, or of the key if the value's place is unknown.
        place: Place,
        /// The problem, and what to write instead.
        problem: String,
    },
    /// The places from which the Python agent takes its port name different ones.
    #[error("different ports: {}", in_words(places))]
    Ports {
        /// The profile.
        profile: ProfileName,
        /// The port on which the agent listens.
        effective: u16,
        /// The places; the agent takes the first.
        places: Vec<PortPlace>,
    },
    /// The port can't be written without a risk to other settings. Nothing was changed.
    #[error(
        "failed to change the port in {place} and nothing else: set `{key}: {port}` there by hand"
    )]
    Uneditable {
        /// The full name of the key.
        key: String,
        /// The file.
        place: Place,
        /// The port that was to be written.
        port: u16,
    },
}

impl ConfigError {
    /// What the user can do, if the message does not say it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotUtf8 { .. } => Some("save the file as UTF-8".to_owned()),
            Self::TooLarge { .. } => Some("keep data out of `config.yaml`".to_owned()),
            Self::Read { path, .. } => file_hint(path),
            Self::Ports { profile, effective, .. } => Some(format!(
                "`hermes profile port {profile} {effective}` writes one port everywhere"
            )),
            Self::Yaml { .. } | Self::Invalid { .. } | Self::Uneditable { .. } => None,
        }
    }
}

/// A place that names a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortPlace {
    /// The full name of the key, or the name of the variable.
    pub key: String,
    /// The file and the line.
    pub place: Place,
    /// The port; `None` for a value that is none, with which the agent listens on its fallback port.
    pub port: Option<u16>,
}

fn in_words(places: &[PortPlace]) -> String {
    let words = places.iter().map(|PortPlace { key, port, place }| {
        let port = port.map_or_else(|| "none".to_owned(), |port| port.to_string());
        format!("{port} by `{key}` in {place}")
    });
    words.collect::<Vec<_>>().join(", ")
}

/// A file and, if known, a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Line and column, both from 1; columns count characters.
    pub at: Option<(usize, usize)>,
}

impl Place {
    /// The place of the byte `offset` of `text`.
    pub(super) fn new(path: &Path, text: &str, offset: Option<usize>) -> Self {
        Self { path: path.to_owned(), at: offset.map(|offset| line_and_column(text, offset)) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.path.display())?;
        match self.at {
            Some((line, column)) => write!(f, " line {line} column {column}"),
            None => Ok(()),
        }
    }
}

/// `bytes` as text, if they are valid UTF-8 and at most [`MAX_SIZE`].
pub(super) fn utf8<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, ConfigError> {
    if bytes.len() > MAX_SIZE {
        // Checked before UTF-8: the bytes may end inside a character.
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        ConfigError::NotUtf8 { place: Place::new(path, &valid, Some(valid.len())) }
    })
}

/// Counts as editors do: by line feeds, in characters, and without a byte order mark.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let before = before.strip_prefix('\u{feff}').unwrap_or(before);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
