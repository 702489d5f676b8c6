//! Which profiles have a service here, before the first start as well.
//!
//! A StatefulSet is made at the first start alone: thousands of idle ones would fill the queues of Kubernetes' controllers. So
//! a registration is a file of its own, with the variables that it was given. It stands outside of the profile's home,
//! where no Pod can write.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use fs_err as fs;
use hermes_core::{ProfileName, RootHome, fsutil, writers};
use serde::{Deserialize, Serialize};

/// The directory of the registrations, below `profiles`. Its dot name can't be a profile's.
const DIRECTORY: &str = ".pods";

/// The registrations of one home.
#[derive(Debug)]
pub(crate) struct Registry(PathBuf);

/// What a service was registered with.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registration {
    /// Variables for the gateway's environment.
    pub(crate) extra_env: BTreeMap<String, String>,
}

impl Registry {
    pub(crate) fn of(root: &RootHome) -> Self {
        Self(root.profiles().join(DIRECTORY))
    }

    fn path(&self, profile: &ProfileName) -> PathBuf {
        self.0.join(profile.as_str())
    }

    /// The note of what the journal of events has of the profile's Pod (`distant_events`).
    pub(crate) fn note_path(&self, profile: &ProfileName) -> PathBuf {
        self.0.join(format!(".events-{profile}"))
    }

    /// The lock of whoever writes such a note.
    pub(crate) fn events_lock(&self) -> PathBuf {
        self.0.join(".events")
    }

    /// The registration of a profile, if it has one.
    pub(crate) fn read(&self, profile: &ProfileName) -> io::Result<Option<Registration>> {
        let path = self.path(profile);
        let Some(bytes) = fsutil::read_if_there(&path)? else { return Ok(None) };
        let invalid = |error| {
            let why = format!("`{}` is no registration: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, why)
        };
        serde_json::from_slice(&bytes).map(Some).map_err(invalid)
    }

    /// Whether a profile is registered.
    pub(crate) fn has(&self, profile: &ProfileName) -> io::Result<bool> {
        fsutil::exists(&self.path(profile))
    }

    /// Registers a profile durably, for this user alone: variables may be secrets.
    pub(crate) fn write(
        &self,
        profile: &ProfileName,
        registration: &Registration,
    ) -> io::Result<()> {
        writers::create_directory(&self.0)?;
        let text = serde_json::to_vec(registration).map_err(io::Error::other)?;
        fsutil::write_durably(&self.path(profile), &text, 0o600)
    }

    /// Idempotent.
    pub(crate) fn remove(&self, profile: &ProfileName) -> io::Result<()> {
        fsutil::remove_file_if_there(&self.note_path(profile))?;
        if fsutil::remove_file_if_there(&self.path(profile))? {
            fsutil::sync_directory(&self.0)?;
        }
        Ok(())
    }

    /// The registered profiles, whether they still exist or not.
    pub(crate) fn list(&self) -> io::Result<Vec<ProfileName>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut profiles = Vec::new();
        for entry in entries {
            // Others are files that are being written.
            profiles.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
        }
        Ok(profiles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_kept_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::of(&RootHome::new(dir.path()));
        let coder: ProfileName = "coder".parse().unwrap();
        assert_eq!((registry.list().unwrap().len(), registry.read(&coder).unwrap()), (0, None));
        let extra_env = BTreeMap::from([("A".to_owned(), "b\nc".to_owned())]);
        let registration = Registration { extra_env };
        registry.write(&coder, &registration).unwrap();
        assert_eq!(registry.read(&coder).unwrap(), Some(registration));
        assert!(registry.has(&coder).unwrap());
        assert_eq!(registry.list().unwrap(), std::slice::from_ref(&coder));
        registry.remove(&coder).unwrap();
        registry.remove(&coder).unwrap();
        assert!(!registry.has(&coder).unwrap());
        fs::write(registry.path(&coder), "{").unwrap();
        let error = registry.read(&coder).unwrap_err().to_string();
        assert!(error.contains("/profiles/.pods/coder` is no registration: "), "{error}");
    }
}
