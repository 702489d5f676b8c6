//! A profile's `.env`: the variables of its gateway, secrets among them, in python-dotenv's dialect.
//!
//! The Python agent reads the same file with python-dotenv, so a line must mean the same to both. No
//! crate reads that dialect (`dotenvy` fills in `$NAME`, prefers the environment, refuses escapes it
//! does not know and ends at the first bad line), hence this one; a test compares it with
//! python-dotenv itself. On purpose it differs in one point: a byte order mark is no part of the first
//! name.
//!
//! No value is ever part of an error or a warning, nor is a line's text.
//!
//! | file | what it does |
//! |---|---|
//! | `parse` | text to [`Binding`]s (python-dotenv's `parser.py`) |
//! | `resolve` | fills in `${NAME}` (its `variables.py`) |

mod parse;
mod resolve;

use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::fsutil;

pub use parse::{Binding, Parsed, parse};
pub use resolve::resolve;

/// The largest `.env` that is read, in bytes: more than any program's environment can hold.
pub const MAX_SIZE: usize = 1024 * 1024;

/// A `.env` that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dotenv {
    path: PathBuf,
    bindings: Vec<Binding>,
    warnings: Vec<Warning>,
}

/// What a `.env` makes of a gateway's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    /// Names and values, each name once, in the order of the file.
    pub set: Vec<(String, String)>,
    /// What the user should know, in no order.
    pub warnings: Vec<Warning>,
}

/// Reads the file; one that does not exist sets nothing. Does not block, whatever the file is.
pub fn load(path: &Path) -> Result<Dotenv, DotenvError> {
    let file = match fsutil::open_to_read(path) {
        Ok(file) => file,
        // A link that leads nowhere (yet) is no absent file: what it is to bring would be missed.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(Dotenv::default());
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
    let warn = |problem| Warning { path: path.to_owned(), problem };
    let mut warnings: Vec<_> = too_open(&metadata).map(warn).into_iter().collect();
    let parsed = parse(text.strip_prefix('\u{feff}').unwrap_or(&text));
    warnings.extend(parsed.bad_lines.into_iter().map(|line| warn(Problem::Unreadable { line })));
    Ok(Dotenv { path: path.to_owned(), bindings: parsed.bindings, warnings })
}

impl Dotenv {
    /// The variables that the file sets. `outside` is the environment without the file, which fills
    /// in `${NAME}` where the file does not. The file has no say in the variables `reserved`.
    pub fn variables(
        &self,
        reserved: &[&str],
        outside: impl Fn(&str) -> Option<String>,
    ) -> Variables {
        let warn = |problem| Warning { path: self.path.clone(), problem };
        let (ours, theirs): (Vec<_>, Vec<_>) =
            self.bindings.iter().partition(|binding| reserved.contains(&binding.name.as_str()));
        let mut warnings = self.warnings.clone();
        warnings.extend(ours.into_iter().map(|Binding { name, line, .. }| {
            warn(Problem::Reserved { name: name.clone(), line: *line })
        }));
        let possible = |name: &str, value: &str| {
            !name.contains(['=', '\0']) && !name.is_empty() && !value.contains('\0')
        };
        let mut set = Vec::new();
        for (name, value) in resolve(theirs.iter().copied(), outside) {
            // A name without `=` says nothing of the variable.
            let Some(value) = value else { continue };
            if possible(&name, &value) {
                set.push((name, value));
                continue;
            }
            let line = theirs.iter().rfind(|binding| binding.name == name);
            let line = line.map(|binding| binding.line).unwrap_or_default();
            warnings.push(warn(Problem::Impossible { line }));
        }
        Variables { set, warnings }
    }
}

/// Who else may read the file. A group is one's own affair where somebody else owns the file, as with
/// secrets that a container gets mounted.
fn too_open(metadata: &std::fs::Metadata) -> Option<Problem> {
    let mine = metadata.uid() == rustix::process::geteuid().as_raw();
    let mode = metadata.mode() & 0o777;
    let mend = if mine { "go=" } else { "o=" };
    let foreign = if mine { 0o077 } else { 0o007 };
    (mode & foreign != 0).then_some(Problem::TooOpen { mode, mend })
}

/// Something in a `.env` that is not as the user may think. Displayed as one line that names the file.
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
    TooOpen { mode: u32, mend: &'static str },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Unreadable { line } => {
                write!(f, "line {line} of `{path}` is ignored: it is not of the form NAME=value")
            }
            Problem::Impossible { line } => {
                write!(f, "line {line} of `{path}` is ignored: no environment can hold it")
            }
            Problem::Reserved { name, line } => write!(
                f,
                "`{name}` in line {line} of `{path}` is ignored: it is the supervision tree's alone"
            ),
            Problem::TooOpen { mode, mend } => write!(
                f,
                "`{path}` is for more than its owner (mode {mode:04o}): `chmod {mend} {path}`"
            ),
        }
    }
}

/// Why a `.env` can't be used. Displayed as one line that names the file.
#[derive(Debug, Error)]
pub enum DotenvError {
    /// The file can't be read; the error names it.
    #[error("{0}")]
    Read(#[source] io::Error),
    /// There is something else than a file.
    #[error("`{}` is {}", .path.display(), if *.directory { "a directory" } else { "no regular file" })]
    NoFile {
        /// What should be a file.
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
    /// The file holds something else than UTF-8.
    #[error("invalid UTF-8 in line {line} of `{}`", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl DotenvError {
    /// Whether trying again can't help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Read(error) => error.kind() == io::ErrorKind::PermissionDenied,
            Self::NoFile { .. } | Self::TooLarge { .. } | Self::NotUtf8 { .. } => true,
        }
    }

    /// What the user can do, where the message does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("give it to the user who runs the gateway")
            }
            Self::NoFile { directory: true, .. } => {
                Some("a container engine makes one where the file to mount does not exist")
            }
            Self::NotUtf8 { .. } => Some("save the file as UTF-8"),
            Self::Read(_) | Self::NoFile { .. } | Self::TooLarge { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
