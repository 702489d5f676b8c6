//! A profile's `.env`: variables of its gateway, including secrets, in python-dotenv's dialect.
//!
//! The Python agent reads the same file with python-dotenv, so both must read each line alike. No crate
//! reads that dialect: `dotenvy` expands `$NAME`, prefers the environment, refuses unknown escapes and
//! stops at the first invalid line. A test compares this module with python-dotenv 1.2.4; `docs/environment.md`
//! lists what earlier versions read differently. The only intended difference: the expansion has a limit.
//!
//! Errors and warnings never contain a value or the text of a line.
//!
//! | file | contents |
//! |---|---|
//! | `parse` | text to [`Binding`]s (python-dotenv's `parser.py`) |
//! | `edit` | takes variables out of the text |
//! | `resolve` | expands `${NAME}` (python-dotenv's `variables.py`) |

mod edit;
mod parse;
mod resolve;

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::fsutil;

pub use edit::without;
pub use parse::{Binding, Parsed, parse};
pub use resolve::{ExpansionTooLarge, resolve};

/// The largest `.env` that is read, and the maximum length of its values after expansion, in bytes: more than
/// fits in a program's environment.
pub const MAX_SIZE: usize = 1024 * 1024;

/// The content of a `.env`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dotenv {
    path: PathBuf,
    bindings: Vec<Binding>,
    warnings: Vec<Warning>,
}

/// The variables that a `.env` sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    /// Names and values, each name once, in the order of the file.
    pub set: Vec<(String, String)>,
    /// Warnings for the user, in no particular order.
    pub warnings: Vec<Warning>,
}

/// Reads the file at `path`; a missing file sets nothing. Does not block, even on a FIFO.
pub fn load(path: &Path) -> Result<Dotenv, DotenvError> {
    let Some((text, metadata)) = read(path)? else { return Ok(Dotenv::default()) };
    let mut dotenv = Dotenv::of(&text, path);
    let too_open = too_open(&metadata);
    dotenv.warnings.extend(too_open.map(|problem| Warning { path: path.to_owned(), problem }));
    Ok(dotenv)
}

/// The text of the file at `path`; `None` if it is missing.
pub(crate) fn text(path: &Path) -> Result<Option<String>, DotenvError> {
    Ok(read(path)?.map(|(text, _)| text))
}

fn read(path: &Path) -> Result<Option<(String, std::fs::Metadata)>, DotenvError> {
    let file = match fsutil::open_to_read(path) {
        Ok(file) => file,
        // A dangling link is an error: its target, which may appear later, has variables that are needed.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(None);
        }
        Err(error) => return Err(DotenvError::Read(error)),
    };
    let metadata = file.metadata().map_err(DotenvError::Read)?;
    if !metadata.is_file() {
        return Err(DotenvError::NoFile { path: path.to_owned(), directory: metadata.is_dir() });
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE as u64 + 1).read_to_end(&mut bytes).map_err(DotenvError::Read)?;
    if bytes.len() > MAX_SIZE {
        return Err(DotenvError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        DotenvError::NotUtf8 { path: path.to_owned(), line }
    })?;
    Ok(Some((text, metadata)))
}

impl Dotenv {
    /// The content `text` of the file at `path`.
    pub(crate) fn of(text: &str, path: &Path) -> Self {
        let parsed = parse(text);
        let warn = |line| Warning { path: path.to_owned(), problem: Problem::Unreadable { line } };
        let warnings = parsed.bad_lines.into_iter().map(warn).collect();
        Self { path: path.to_owned(), bindings: parsed.bindings, warnings }
    }

    /// The assignments, in the order of the file.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The variables that the file sets. `${NAME}` expands to a variable of the file, or else of
    /// `outside`, the environment without the file. Ignores variables in `reserved`, with a warning. Values
    /// longer than [`MAX_SIZE`] together are [`DotenvError::Expansion`].
    pub fn variables(
        &self,
        reserved: &[&str],
        outside: impl Fn(&str) -> Option<String>,
    ) -> Result<Variables, DotenvError> {
        let warn = |problem| Warning { path: self.path.clone(), problem };
        let (ignored, allowed): (Vec<_>, Vec<_>) =
            self.bindings.iter().partition(|binding| reserved.contains(&binding.name.as_str()));
        let mut warnings = self.warnings.clone();
        warnings.extend(ignored.into_iter().map(|Binding { name, line, .. }| {
            warn(Problem::Reserved { name: name.clone(), line: *line })
        }));
        let valid = |name: &str, value: &str| {
            !name.contains(['=', '\0']) && !name.is_empty() && !value.contains('\0')
        };
        let mut set = Vec::new();
        let resolved = resolve(allowed.iter().copied(), outside)
            .map_err(|source| DotenvError::Expansion { path: self.path.clone(), source })?;
        for (name, value) in resolved {
            // A name without `=` does not set the variable.
            let Some(value) = value else { continue };
            if valid(&name, &value) {
                set.push((name, value));
                continue;
            }
            let line = allowed.iter().rfind(|binding| binding.name == name);
            let line = line.map(|binding| binding.line).unwrap_or_default();
            warnings.push(warn(Problem::Impossible { line }));
        }
        Ok(Variables { set, warnings })
    }
}

/// The warning that other users may access the file. If another user owns the file, its group may have
/// access, as with secrets mounted into a container.
fn too_open(metadata: &std::fs::Metadata) -> Option<Problem> {
    let is_owner = metadata.uid() == rustix::process::geteuid().as_raw();
    let mode = metadata.mode() & 0o777;
    let (forbidden, chmod) = if is_owner { (0o077, "go=") } else { (0o007, "o=") };
    (mode & forbidden != 0).then_some(Problem::TooOpen { mode, chmod })
}

/// A warning about a `.env`. Displayed as one line that names the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Unreadable { line: usize },
    Impossible { line: usize },
    Reserved { name: String, line: usize },
    TooOpen { mode: u32, chmod: &'static str },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Unreadable { line } => {
                write!(f, "line {line} of `{path}` is ignored: it is not of the form NAME=value")
            }
            Problem::Impossible { line } => {
                write!(f, "line {line} of `{path}` is ignored: not valid in an environment")
            }
            Problem::Reserved { name, line } => write!(
                f,
                "`{name}` in line {line} of `{path}` is ignored: it is reserved for the supervision tree"
            ),
            Problem::TooOpen { mode, chmod } => write!(
                f,
                "other users may access `{path}` (mode {mode:04o}): `chmod {chmod} {path}`"
            ),
        }
    }
}

/// Why a `.env` can't be used. Displayed as one line that names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DotenvError {
    /// The file can't be read. The I/O error names the file.
    #[error("{0}")]
    Read(#[source] io::Error),
    /// The path is not a regular file.
    #[error("`{}` is {}", .path.display(), match .directory {
        true => "a directory",
        false => "not a regular file",
    })]
    NoFile {
        /// The path.
        path: PathBuf,
        /// Whether it is a directory.
        directory: bool,
    },
    /// The file is larger than [`MAX_SIZE`].
    #[error("`{}` is larger than {} KiB", .path.display(), MAX_SIZE / 1024)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not valid UTF-8.
    #[error("invalid UTF-8 in line {line} of `{}`", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The values are longer than [`MAX_SIZE`] after expansion.
    #[error("{source} (`{}`)", .path.display())]
    Expansion {
        /// The file.
        path: PathBuf,
        /// The variable.
        source: ExpansionTooLarge,
    },
}

impl DotenvError {
    /// Whether a retry can't succeed until a user changes something.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Read(error) => error.kind() == io::ErrorKind::PermissionDenied,
            Self::NoFile { .. }
            | Self::TooLarge { .. }
            | Self::NotUtf8 { .. }
            | Self::Expansion { .. } => true,
        }
    }

    /// What the user can do, if the message does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("chown the file to the user who runs the gateway")
            }
            Self::NoFile { directory: true, .. } => {
                Some("a container engine creates a directory if the file to mount does not exist")
            }
            Self::NotUtf8 { .. } => Some("save the file as UTF-8"),
            Self::Expansion { .. } => Some("write the values without `${NAME}`, or shorten them"),
            Self::Read(_) | Self::NoFile { .. } | Self::TooLarge { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
