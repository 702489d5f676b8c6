//! [`StoreError`]: why an operation of the store failed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::FIRST_PORT;
use crate::archive::ArchiveError;
use crate::config::ConfigError;
use crate::error_chain::is_denied;
use crate::error_class::Class;
use crate::fsutil::{Obstacles, denied_hint, file_hint, obstacles};
use crate::home::env;
use crate::intent::IntentError;
use crate::lock::LockError;
use crate::name::ProfileName;
use crate::shell::quote_path;
use crate::writers::OpenDirectory;

/// Why an operation of the store failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A profile of this name exists.
    #[error("profile `{name}` already exists")]
    Exists {
        /// The name.
        name: ProfileName,
    },
    /// The name is reserved.
    #[error("the name `{name}` is reserved")]
    Reserved {
        /// The name.
        name: ProfileName,
    },
    /// The profile does not exist.
    #[error("profile `{name}` does not exist")]
    Absent {
        /// The name.
        name: ProfileName,
    },
    /// The profile does not exist, and something else has its place.
    #[error("profile `{name}` does not exist, and `{}` {}", path.display(), match path.exists() {
        true => "is no profile's home",
        false => "is a link that leads nowhere",
    })]
    Displaced {
        /// The name.
        name: ProfileName,
        /// The file, directory or link in the place of its home.
        path: PathBuf,
    },
    /// The root profile can't be deleted or renamed.
    #[error("the profile `default` is the root home itself and can't be deleted or renamed")]
    Default,
    /// An import can't replace the root profile.
    #[error("the profile `default` is the root home itself and can't be replaced by an import")]
    OntoDefault,
    /// The file to export to exists.
    #[error("`{}` already exists", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// The archive could not be written; nothing is left of it.
    #[error("failed to export profile `{name}`")]
    Export {
        /// The name.
        name: ProfileName,
        /// Why.
        source: ArchiveError,
    },
    /// The archive was refused or could not be unpacked; nothing is left of it.
    #[error("failed to import profile `{name}`")]
    Import {
        /// The name.
        name: ProfileName,
        /// Why.
        source: ArchiveError,
    },
    /// The unpacked files could not be made a profile; nothing is left of them.
    #[error("failed to import profile `{name}`")]
    Unfit {
        /// The name.
        name: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// Every port belongs to some profile, or somebody listens on it.
    #[error("no free port from {FIRST_PORT} up")]
    NoPort,
    /// Another profile has the port.
    #[error("port {port} belongs to profile `{by}`")]
    PortTaken {
        /// The port.
        port: u16,
        /// The other profile.
        by: ProfileName,
    },
    /// Creating the profile failed; nothing is left of it.
    #[error("failed to create profile `{name}`")]
    Create {
        /// The name.
        name: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// Deleting the profile failed.
    #[error("failed to delete profile `{name}`")]
    Delete {
        /// The name.
        name: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// Files that this user can't remove. Nothing was changed.
    #[error("`{name}` was not deleted: {obstacles}")]
    Obstructed {
        /// The profile.
        name: ProfileName,
        /// The files.
        obstacles: Obstacles,
    },
    /// A leftover of an interrupted command could not be removed.
    #[error("failed to remove the leftover of an interrupted command at `{}`", path.display())]
    Leftover {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory of the new name exists. Nothing was changed.
    #[error("`{}` is in the way", path.display())]
    InTheWay {
        /// The existing file or directory.
        path: PathBuf,
    },
    /// The profile's gateway runs, but not under the supervisor that this process talks to.
    #[error("`{name}` was not renamed: its gateway runs {}", match pid {
        Some(pid) => format!("as {pid}"),
        None => "elsewhere".to_owned(),
    })]
    Runs {
        /// The profile.
        name: ProfileName,
        /// Its gateway's process; `None` if it lives in another pid namespace.
        pid: Option<u32>,
    },
    /// Renaming the profile failed.
    #[error("failed to rename profile `{from}` to `{to}`")]
    Rename {
        /// The old name.
        from: ProfileName,
        /// The new name.
        to: ProfileName,
        /// Why.
        source: io::Error,
    },
    /// Renaming the profile failed, and so did undoing the rename. The journal stays.
    #[error("{failed}, and the rename could not be undone")]
    Torn {
        /// Why the rename failed.
        failed: Box<StoreError>,
        /// Why it could not be undone.
        source: Box<StoreError>,
    },
    /// Other users may write to a home. Nothing was changed.
    #[error("failed to use the home `{}`", root.display())]
    Open {
        /// The root home.
        root: PathBuf,
        /// The directory that they may write to.
        source: OpenDirectory,
    },
    /// The profiles can't be read.
    #[error("failed to read the profiles at `{}`", path.display())]
    List {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The sticky choice can't be read or changed.
    #[error("failed to read or write the chosen profile in `{}`", path.display())]
    Active {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The port can't be written.
    #[error("failed to write the port into `{}`", path.display())]
    Port {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An edited file can't be written.
    #[error("failed to write `{}`", path.display())]
    Edited {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not the one that was edited any more. Nothing was changed.
    #[error("`{}` was changed while it was edited", path.display())]
    ChangedMeanwhile {
        /// The file.
        path: PathBuf,
    },
    /// A `config.yaml` can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The intent can't be read or recorded.
    #[error(transparent)]
    Intent(#[from] IntentError),
    /// A lock was not taken.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl StoreError {
    /// Which class of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Absent { name } | Self::Displaced { name, .. } => {
                Class::NoSuchProfile(name.clone())
            }
            Self::Lock(LockError::Busy { waited, .. }) => Class::TimedOut(*waited),
            Self::Obstructed { obstacles, .. } if obstacles.is_denied() => Class::Denied,
            Self::Open { .. } => Class::Denied,
            error if is_denied(error) => Class::Denied,
            _ => Class::Failed,
        }
    }

    /// What the user can do about it, if known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Absent { name } => format!(
                "`hermes profile list` lists all; `hermes profile create {name}` creates it"
            ),
            Self::Displaced { path, .. } if path.exists() => {
                "`hermes profile list` lists all".to_owned()
            }
            Self::Displaced { path, .. } => {
                format!("`rm {}` removes the link", quote_path(path))
            }
            Self::Exists { name } => format!("`hermes profile show {name}` shows it"),
            Self::Reserved { .. } => "choose another name".to_owned(),
            Self::PortTaken { .. } => "without `--port`, a free one is assigned".to_owned(),
            Self::InTheWay { .. } => "move it away, or choose another name".to_owned(),
            Self::Open { source, .. } => {
                let (remedy, variable) = (source.remedy(), env::OPEN_HOME);
                format!("`{remedy}` closes it; {variable}=1, for the tree and for each command, uses it as it is")
            }
            Self::Runs { .. } => ELSEWHERE.to_owned(),
            Self::Torn { .. } => "`hermes boot` completes the interrupted rename".to_owned(),
            Self::Rename { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                "mount it under the new name instead; `hermes boot` then registers the profile there".to_owned()
            }
            Self::Rename { source, .. } if source.kind() == io::ErrorKind::CrossesDevices => {
                "with its gateway stopped, put a copy (`cp -a`) in its place, which can be renamed".to_owned()
            }
            Self::Obstructed { obstacles, .. } => obstacles.hint()?,
            Self::Leftover { path, .. } => obstacles(path, false).ok()??.hint()?,
            Self::Lock(error) if error.hint().is_some() => error.hint()?,
            Self::Port { path, .. } | Self::Active { path, .. } | Self::Edited { path, .. }
                if file_hint(path).is_some() =>
            {
                file_hint(path)?
            }
            error if is_denied(error) => denied_hint(error),
            Self::FileExists { .. } => "`--force` replaces it".to_owned(),
            Self::OntoDefault => "`--name NAME` gives it another name".to_owned(),
            Self::Export { source, .. } | Self::Import { source, .. } => source.hint()?.to_owned(),
            Self::Config(error) => error.hint()?,
            Self::Intent(error) => error.hint()?.to_owned(),
            _ => return None,
        })
    }
}

/// The hint about a gateway that this command can't stop.
const ELSEWHERE: &str = "the gateway belongs to another supervision tree, or was started by hand: name \
     its tree with --scandir, or end the process";
