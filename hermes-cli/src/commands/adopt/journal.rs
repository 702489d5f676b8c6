//! The journal of the adopted profiles: how each gateway ran before, so that it can run so again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fs_err as fs;
use hermes_core::agent::{ADOPTION_FORMAT, Stage, read_adoption};
use hermes_core::home::ProfileHome;
use hermes_core::{ProfileName, RootHome, fsutil};
use hermes_host::agent_services::AgentService;
use serde::{Deserialize, Serialize};

use super::former::Former;
use crate::error::CliError;

/// The file, durable before anything is changed, and removed once nothing is left to be put back. `doctor` reads a part of
/// it, as [`Adoption`](hermes_core::agent::Adoption).
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    /// Whether `adopt` started the tree, or was about to.
    pub(super) has_started_tree: bool,
    pub(super) profiles: BTreeMap<ProfileName, Entry>,
}

/// The journal as it is written.
#[derive(Serialize)]
struct Numbered<'a> {
    format: u32,
    #[serde(flatten)]
    journal: &'a Journal,
}

/// How a gateway was before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// How far its adoption has come.
    pub(super) stage: Stage,
    /// The content of the file of its intent, if there was one.
    pub(super) intent: Option<String>,
    /// Its process, if it ran.
    pub(super) former: Option<Former>,
    /// The model that its API server named.
    pub(super) model: Option<String>,
    /// The agent's own services for it.
    pub(super) services: Vec<AgentService>,
    /// Whether this Hermes had a service for it in a service manager of the host.
    pub(super) is_installed: bool,
}

impl Journal {
    /// The directory of the services that were put aside.
    pub(super) fn aside(root: &RootHome) -> PathBuf {
        root.adoption().join("services")
    }

    /// Reads it; an empty one if there is none.
    pub(super) fn read(root: &RootHome) -> Result<Self, CliError> {
        let read = read_adoption(root).map(Option::unwrap_or_default);
        read.map_err(|error| {
            let path = root.adoption_journal();
            CliError::new(format!("failed to read `{}`", path.display())).because(error)
        })
    }

    /// Records `stage` for the gateway of `name`, durably.
    pub(super) fn advance(
        &mut self,
        root: &RootHome,
        name: &ProfileName,
        stage: Stage,
    ) -> Result<(), CliError> {
        let Some(entry) = self.profiles.get_mut(name) else { return Ok(()) };
        entry.stage = stage;
        self.write(root)
    }

    /// Writes it durably; removes it and its directory if nothing is left to be put back.
    pub(super) fn write(&self, root: &RootHome) -> Result<(), CliError> {
        let (path, directory) = (root.adoption_journal(), root.adoption());
        let is_needed = self.has_started_tree || !self.profiles.is_empty();
        let written = || match !is_needed {
            true if fsutil::exists(&directory)? => {
                // First: what it names may be gone already when the rest is removed.
                fsutil::remove_file_if_there(&path)?;
                fsutil::sync_directory(&directory)?;
                fs::remove_dir_all(&directory)?;
                fsutil::sync_directory(root.path())
            }
            true => Ok(()),
            false => {
                let numbered = Numbered { format: ADOPTION_FORMAT, journal: self };
                let text = serde_json::to_string_pretty(&numbered)?;
                fs::create_dir_all(&directory)?;
                fsutil::write_durably(&path, text.as_bytes(), 0o600)?;
                fsutil::sync_directory(root.path())
            }
        };
        written().map_err(|error: std::io::Error| {
            CliError::new(format!("failed to write `{}`", path.display())).because(error)
        })
    }
}

/// The content of the file of a profile's intent.
pub(super) fn intent(home: &ProfileHome) -> Result<Option<String>, CliError> {
    let path = home.intent();
    let text = fsutil::read_if_there(&path).map_err(|error| {
        CliError::new(format!("failed to read `{}`", path.display())).because(error)
    })?;
    Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Puts the file of a profile's intent back.
pub(super) fn restore_intent(home: &ProfileHome, intent: Option<&str>) -> Result<(), CliError> {
    let path = home.intent();
    let restored = match intent {
        Some(text) => fsutil::write_durably(&path, text.as_bytes(), 0o644),
        None => fsutil::remove_file_if_there(&path)
            .and_then(|removed| if removed { fsutil::sync_directory(home.path()) } else { Ok(()) }),
    };
    restored.map_err(|error| {
        CliError::new(format!("failed to put `{}` back", path.display())).because(error)
    })
}
