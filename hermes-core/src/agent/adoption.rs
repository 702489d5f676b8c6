//! How far the adoption of each gateway has come, as the journal of `hermes adopt` records it. The command itself keeps
//! more there: how the gateway ran before.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::fsutil;
use crate::home::RootHome;
use crate::name::ProfileName;

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
        match fsutil::read_if_there(&root.adoption_journal())? {
            Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
            None => Ok(Self::default()),
        }
    }

    /// The gateways whose adoption has come as far as one of `stages`.
    pub fn at(&self, stages: &[Stage]) -> impl Iterator<Item = &ProfileName> {
        self.profiles.iter().filter(|(_, it)| stages.contains(&it.stage)).map(|(name, _)| name)
    }
}
