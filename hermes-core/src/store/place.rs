//! What is in the place of a home: a profile's home, nothing, or something that hides whether there is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{Profile, Store};
use crate::name::ProfileName;

/// A skipped entry of `profiles/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The directory, or what has its place.
    pub path: PathBuf,
    /// Why it is not a profile.
    pub reason: String,
    /// Whether it can't be read, so that it may be a profile.
    pub unreadable: bool,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a profile: {}", self.path.display(), self.reason)
    }
}

impl Store {
    /// The profile called `name`; `None` if it is gone. Otherwise what has the place of its home: as long as that is
    /// there, nobody knows that the profile is gone.
    pub fn look_up(&self, name: &ProfileName) -> Result<Option<Profile>, Skipped> {
        let home = self.root.profile(name);
        match name.is_default() {
            true => Ok(home.path().is_dir().then(|| Profile { name: name.clone(), home })),
            false => self.profile_at(home.path()),
        }
    }

    pub(super) fn profile_at(&self, path: &Path) -> Result<Option<Profile>, Skipped> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            return Ok(None);
        }
        let skip = |reason, unreadable| Skipped { path: path.to_owned(), reason, unreadable };
        if !is_home(path).map_err(|error| skip(format!("failed to read it: {error}"), true))? {
            // What can't be a profile's is nobody's concern.
            let obstacle = obstacle(path).filter(|_| name.parse::<ProfileName>().is_ok());
            return obstacle
                .map_or(Ok(None), |(reason, hides)| Err(skip(reason.to_owned(), hides)));
        }
        let name: ProfileName = name.parse().map_err(|error| skip(format!("{error}"), false))?;
        if name.is_default() {
            let reason = "the profile `default` lives in the root home itself";
            return Err(skip(reason.to_owned(), false));
        }
        Ok(Some(Profile { home: self.root.profile(&name), name }))
    }
}

/// The files that mark a directory as a profile.
pub(super) const MARKS: [&str; 5] = ["SOUL.md", "config.yaml", ".env", "profile.yaml", "state.db"];

/// Whether `path` is a directory with one of the files that mark it as a profile: users' homes lack any one of
/// them.
pub(super) fn is_home(path: &Path) -> io::Result<bool> {
    for mark in MARKS {
        // A dangling link is a mark, too.
        match path.join(mark).symlink_metadata() {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// What stands in the place of a home, and whether the home may be behind it; `None` for a directory, and for nothing.
fn obstacle(path: &Path) -> Option<(&'static str, bool)> {
    match path.metadata() {
        Ok(metadata) => (!metadata.is_dir()).then_some(("it is not a directory", false)),
        // Its target may be on a volume that is not mounted.
        Err(_) => path.is_symlink().then_some(("it is a link that leads nowhere", true)),
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::RootHome;

    #[test]
    fn list_separates_profiles_from_other_directories() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(RootHome::new(dir.path()));
        let name = |name: &str| -> ProfileName { name.parse().unwrap() };
        let names = || store.names().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(), ["default"], "in an empty home");
        let profiles = dir.path().join("profiles");
        for real in ["b", "a", "Upper", "default", ".hidden"] {
            fs::create_dir_all(profiles.join(real)).unwrap();
            fs::write(profiles.join(real).join("SOUL.md"), "").unwrap();
        }
        // Homes of the Python agent lack any one of these.
        for (real, mark) in [("c", "config.yaml"), ("d", ".env"), ("e", "profile.yaml")] {
            fs::create_dir(profiles.join(real)).unwrap();
            fs::write(profiles.join(real).join(mark), "").unwrap();
        }
        fs::create_dir(profiles.join("f")).unwrap();
        std::os::unix::fs::symlink("/nonexistent", profiles.join("f/state.db")).unwrap();
        fs::create_dir(profiles.join("empty")).unwrap();
        fs::create_dir_all(profiles.join("notes/SOUL")).unwrap();
        fs::write(profiles.join("file"), "").unwrap();
        fs::write(profiles.join("README"), "").unwrap();
        std::os::unix::fs::symlink("/nonexistent", profiles.join("dangling")).unwrap();
        assert_eq!(names(), ["default", "a", "b", "c", "d", "e", "f"]);
        let skipped = store.list().unwrap().skipped;
        let skipped: Vec<_> = skipped
            .iter()
            .map(|skipped| (skipped.path.file_name().unwrap().to_str().unwrap(), &*skipped.reason))
            .collect();
        assert_eq!(
            skipped,
            [
                ("Upper", "invalid profile name `Upper`: it must be lower case"),
                ("dangling", "it is a link that leads nowhere"),
                ("default", "the profile `default` lives in the root home itself"),
                ("file", "it is not a directory"),
            ]
        );
        let possible = store.possible_names().unwrap();
        assert_eq!(possible[1..], ["a", "b", "c", "d", "dangling", "e", "f"].map(name));
        for hidden in ["dangling", "file"] {
            assert_eq!(store.find(&name(hidden)).unwrap(), None);
            assert!(store.look_up(&name(hidden)).is_err());
        }
        for gone in ["empty", "notes", "nothing"] {
            assert_eq!(store.look_up(&name(gone)), Ok(None));
        }
    }
}
