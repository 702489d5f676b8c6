//! Replaces a profile's `config.yaml` by a text that was edited apart from it.

use super::{CONFIG_MODE, Profile, Store, StoreError};
use crate::config;

impl Store {
    /// Replaces `old`, the text of the profile's `config.yaml`, by `new`, durably. Another text there is
    /// [`StoreError::ChangedMeanwhile`]. Blocks while another command assigns a port, at most for the store's timeout.
    pub fn replace_config(
        &self,
        profile: &Profile,
        old: &str,
        new: &str,
    ) -> Result<(), StoreError> {
        let path = profile.home.config();
        let failed = |source| StoreError::Edited { path: path.clone(), source };
        let _ports = self.lock_ports(failed)?;
        if config::read(&path)? != old {
            return Err(StoreError::ChangedMeanwhile { path });
        }
        config::write(&path, new.as_bytes(), CONFIG_MODE).map_err(failed)
    }
}
