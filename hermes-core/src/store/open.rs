//! Refuses homes that other users may write to, unless the operator allows them.

use super::{Store, StoreError};
use crate::home::ProfileHome;
use crate::writers::{self, open_directory};

impl Store {
    /// The same store; if `allowed`, homes that other users may write to are used, too.
    pub fn with_open_homes(self, allowed: bool) -> Self {
        Self { open_homes: allowed, ..self }
    }

    /// Refuses homes that other users may write to: the root home, `profiles/`, and the home of a profile, if one is
    /// given. Never blocks.
    pub fn refuse_open(&self, profile: Option<&ProfileHome>) -> Result<(), StoreError> {
        if self.open_homes {
            return Ok(());
        }
        match writers::homes(&self.root, profile).iter().find_map(|path| open_directory(path)) {
            Some(source) => Err(StoreError::Open { root: self.root.path().to_owned(), source }),
            None => Ok(()),
        }
    }

    /// Whether homes that other users may write to are used, too.
    pub fn allows_open_homes(&self) -> bool {
        self.open_homes
    }
}
