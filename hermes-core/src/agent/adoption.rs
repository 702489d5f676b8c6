//! How far the adoption of each gateway has come, as the journal of `hermes adopt` records it. The command itself keeps
//! more there: how the gateway ran before.

use std::collections::BTreeMap;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::home::RootHome;
use crate::name::ProfileName;
use crate::{formats, fsutil};

/// How far the adoption of a gateway has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// How it runs is recorded; nothing is changed yet.
    Recorded,
    /// It is being taken over.
    Adopting,
    /// It is supervised, as far as it is to run.
    Adopted,
    /// It is being put back.
    Returning,
}

/// The keys of the journal that a command other than `adopt` reads.
#[derive(Debug, Default, Deserialize)]
#[non_exhaustive]
pub struct Adoption {
    /// Whether `adopt` started the tree.
    pub has_started_tree: bool,
    /// The gateways in the journal.
    pub profiles: BTreeMap<ProfileName, Adopted>,
}

/// The format of the journal that this version writes.
pub const ADOPTION_FORMAT: u32 = 1;

/// The key that every format has.
#[derive(Deserialize)]
struct Numbered {
    #[serde(default = "first")]
    format: u32,
}

fn first() -> u32 {
    1
}

/// Reads the keys of `T` from the journal, if there is one. One of a newer format is an error.
pub fn read_adoption<T: DeserializeOwned>(root: &RootHome) -> io::Result<Option<T>> {
    let path = root.adoption_journal();
    let Some(bytes) = fsutil::read_if_there(&path)? else { return Ok(None) };
    let Numbered { format } = serde_json::from_slice(&bytes)?;
    formats::refuse_newer(&path, format, ADOPTION_FORMAT).map_err(io::Error::other)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// A gateway in the journal.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct Adopted {
    /// How far its adoption has come.
    pub stage: Stage,
}

impl Adoption {
    /// Reads the journal; nothing is adopted if there is none.
    pub fn read(root: &RootHome) -> io::Result<Self> {
        Ok(read_adoption(root)?.unwrap_or_default())
    }

    /// The gateways whose adoption has come as far as one of `stages`.
    pub fn at(&self, stages: &[Stage]) -> impl Iterator<Item = &ProfileName> {
        self.profiles.iter().filter(|(_, it)| stages.contains(&it.stage)).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_of_a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootHome::new(dir.path());
        std::fs::create_dir(root.adoption()).unwrap();
        let read = |text: &str| {
            std::fs::write(root.adoption_journal(), text).unwrap();
            Adoption::read(&root)
        };
        // Without a number, as versions wrote it that had none.
        let entry = "\"has_started_tree\": true, \"profiles\": {}";
        assert!(read(&format!("{{{entry}}}")).unwrap().has_started_tree);
        assert!(read(&format!("{{\"format\": 1, {entry}}}")).unwrap().has_started_tree);
        let error = read("{\"format\": 2, \"other\": 1}").unwrap_err().to_string();
        assert!(error.contains("newer version of Hermes (format 2; "), "{error}");
    }
}
