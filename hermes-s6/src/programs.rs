//! Finds the s6 programs. Rendered scripts and `hermes up` run them by absolute path.
//!
//! s6-overlay installs them in `/command`, which is on PATH only inside its supervision tree, so a search of
//! PATH is not enough.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The directory in which s6-overlay and Hermes's image install the s6 programs.
pub const COMMAND_DIR: &str = "/command";

/// The programs that a tree needs: scanner, supervisor and logger.
const REQUIRED: [&str; 3] = ["s6-svscan", "s6-supervise", "s6-log"];

/// The s6 programs of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S6Programs {
    /// The directory that holds them.
    pub dir: PathBuf,
    /// `/command/with-contenv`, if it exists: the scripts then run in the container's environment.
    pub with_contenv: Option<PathBuf>,
}

impl S6Programs {
    /// Searches [`COMMAND_DIR`], then the directories of `path` (the value of PATH), all below `root`. A
    /// directory counts only if it has all required programs.
    pub fn find(root: &Path, path: &OsStr) -> Option<Self> {
        let below = |dir: &Path| root.join(dir.strip_prefix("/").unwrap_or(dir));
        let dirs = std::iter::once(PathBuf::from(COMMAND_DIR)).chain(std::env::split_paths(path));
        let dir = dirs
            .filter(|dir| dir.is_absolute())
            .find(|dir| REQUIRED.iter().all(|program| below(dir).join(program).is_file()))?;
        let with_contenv = Path::new(COMMAND_DIR).join("with-contenv");
        let with_contenv = below(&with_contenv).is_file().then_some(with_contenv);
        Some(Self { dir, with_contenv })
    }

    /// The absolute path of the program `name`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn install(root: &Path, dir: &str, programs: &[&str]) {
        let dir = root.join(dir);
        fs::create_dir_all(&dir).unwrap();
        for program in programs {
            fs::write(dir.join(program), "").unwrap();
        }
    }

    #[test]
    fn command_wins_over_path_and_an_incomplete_directory_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let find = |path: &str| S6Programs::find(root.path(), OsStr::new(path));
        assert_eq!(find("/usr/bin"), None);
        install(root.path(), "opt/bin", &["s6-svscan"]);
        install(root.path(), "usr/bin", &REQUIRED);
        let found = find("relative:/opt/bin:/usr/bin").unwrap();
        assert_eq!(found.dir, Path::new("/usr/bin"));
        assert_eq!(found.with_contenv, None);
        install(root.path(), "command", &REQUIRED);
        install(root.path(), "command", &["with-contenv"]);
        let found = find("/usr/bin").unwrap();
        assert_eq!(found.program("s6-log"), Path::new("/command/s6-log"));
        assert_eq!(found.with_contenv.as_deref(), Some(Path::new("/command/with-contenv")));
    }
}
