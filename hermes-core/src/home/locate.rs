//! Decides which directory is the root home.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{CONTAINER_ROOT, PROFILES, RootHome};
use crate::name::{NameError, ProfileName};

/// The facts from which [`locate`] decides the root home.
#[derive(Debug, Clone, Default)]
pub struct HomeFacts {
    /// `HERMES_HOME`, if set and not empty.
    pub hermes_home: Option<PathBuf>,
    /// The user's home directory.
    pub user_home: Option<PathBuf>,
    /// Whether s6 is in charge of this machine ([`crate::detect::Facts::s6_in_charge`]).
    pub s6_in_charge: bool,
    /// Whether [`CONTAINER_ROOT`] is a directory.
    pub container_root: bool,
}

/// Decides the root home, and the profile that `HERMES_HOME` names if it lies below `profiles/`.
pub fn locate(facts: &HomeFacts) -> Result<(RootHome, Option<ProfileName>), HomeError> {
    let Some(home) = &facts.hermes_home else {
        if facts.s6_in_charge && facts.container_root {
            return Ok((RootHome::new(CONTAINER_ROOT), None));
        }
        let user = facts.user_home.as_ref().ok_or(HomeError::Unknown)?;
        return Ok((RootHome::new(user.join(".hermes")), None));
    };
    if !home.is_absolute() {
        return Err(HomeError::Relative { home: home.clone() });
    }
    let root = home
        .parent()
        .filter(|parent| parent.file_name() == Some(OsStr::new(PROFILES)))
        .and_then(Path::parent);
    let Some(root) = root else {
        return Ok((RootHome::new(home), None));
    };
    let name = home.file_name().unwrap_or_default().to_string_lossy();
    let profile = name.parse().map_err(|source| HomeError::Name { home: home.clone(), source })?;
    Ok((RootHome::new(root), Some(profile)))
}

/// Why the root home could not be decided.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HomeError {
    /// `HERMES_HOME` is not set, and the user has no home directory.
    #[error("no home: HERMES_HOME is not set, and the user has no home directory")]
    Unknown,
    /// `HERMES_HOME` is not absolute.
    #[error("HERMES_HOME is `{}`, which is not an absolute path", home.display())]
    Relative {
        /// The value of `HERMES_HOME`.
        home: PathBuf,
    },
    /// `HERMES_HOME` is below `profiles/` but not named like a profile.
    #[error("HERMES_HOME is `{}`, which is not a profile's home", home.display())]
    Name {
        /// The value of `HERMES_HOME`.
        home: PathBuf,
        /// The rule that the name breaks.
        source: NameError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(home: Option<&str>) -> HomeFacts {
        HomeFacts {
            hermes_home: home.map(PathBuf::from),
            user_home: Some("/home/u".into()),
            s6_in_charge: false,
            container_root: true,
        }
    }

    #[test]
    fn hermes_home_decides_root_and_profile() {
        let root = |home| locate(&facts(home)).unwrap();
        assert_eq!(root(Some("/d")), (RootHome::new("/d"), None));
        assert_eq!(
            root(Some("/d/profiles/coder")),
            (RootHome::new("/d"), Some("coder".parse().unwrap()))
        );
        assert_eq!(root(None), (RootHome::new("/home/u/.hermes"), None));
        assert!(locate(&facts(Some("/d/profiles/Coder"))).is_err());
        assert!(locate(&facts(Some("relative"))).is_err());
    }

    #[test]
    fn a_container_under_s6_has_opt_data_as_its_root() {
        let mut facts = facts(None);
        facts.s6_in_charge = true;
        assert_eq!(locate(&facts).unwrap().0, RootHome::new("/opt/data"));
        facts.container_root = false;
        assert_eq!(locate(&facts).unwrap().0, RootHome::new("/home/u/.hermes"));
    }
}
