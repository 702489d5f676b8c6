//! Which backend is in charge: facts are gathered below a given root, and the decision is a pure
//! function of them.
//!
//! `hermes doctor` prints the very facts the decision used. None of them needs more than a plain
//! user may read: `/proc/1/exe` is root's alone, and a check that only works as root is how
//! registration once became inert for everybody else.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;

/// What the decision is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The name of process 1 as `/proc/1/comm` has it; `None` if it can't be read.
    pub init: Option<String>,
    /// Whether `/run/s6/basedir` is a directory.
    pub s6_basedir: bool,
    /// A scan directory named by `--scandir` or `HERMES_SCANDIR`.
    pub named_scandir: Option<PathBuf>,
    /// The scan directory of this user's own `hermes up`, if an s6-svscan holds it.
    pub user_scandir: Option<PathBuf>,
    /// Whether systemd runs this machine: it is process 1, and a manager of the system's answers as far
    /// as this user may ask.
    pub systemd: bool,
    /// The socket of this user's own systemd manager, if something answers there.
    pub user_systemd: Option<PathBuf>,
    /// Whether this is macOS.
    pub launchd: bool,
    /// The backend that `HERMES_BACKEND` names.
    pub requested: Option<String>,
}

impl Facts {
    /// Reads what can be read below `root` (`/` outside of tests). Any error means "no".
    pub fn gather(root: &Path) -> Self {
        let init = fs::read_to_string(root.join("proc/1/comm")).ok();
        Self {
            s6_basedir: root.join("run/s6/basedir").is_dir(),
            // Its socket is root's alone; others are told so by its process only.
            systemd: match UnixStream::connect(root.join("run/systemd/private")) {
                Ok(_) => true,
                Err(error) => {
                    error.kind() == ErrorKind::PermissionDenied
                        && init.as_deref().map(str::trim_end) == Some("systemd")
                }
            },
            launchd: cfg!(target_os = "macos"),
            init: init.map(|comm| comm.trim_end_matches('\n').to_owned()),
            ..Self::default()
        }
    }

    /// Whether s6 is the init system of this machine or container: both signs, since each one
    /// alone is also seen elsewhere.
    pub fn s6_in_charge(&self) -> bool {
        self.init.as_deref() == Some("s6-svscan") && self.s6_basedir
    }
}

/// Whether something answers at `socket`: it accepts a connection.
pub fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A root directory with the given `/proc/1/comm`, and `/run/s6/basedir` if asked for.
    fn root(comm: Option<&str>, basedir: bool) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        if let Some(comm) = comm {
            fs::create_dir_all(root.path().join("proc/1")).unwrap();
            fs::write(root.path().join("proc/1/comm"), comm).unwrap();
        }
        if basedir {
            fs::create_dir_all(root.path().join("run/s6/basedir")).unwrap();
        }
        root
    }

    fn detected(root: &tempfile::TempDir) -> bool {
        Facts::gather(root.path()).s6_in_charge()
    }

    #[test]
    fn both_signs_mean_s6() {
        let root = root(Some("s6-svscan\n"), true);
        assert!(detected(&root));
    }

    #[test]
    fn another_init_is_not_s6() {
        for comm in ["systemd\n", "s6-svscan-log\n", "s6-svsca\n", "\n", ""] {
            assert!(!detected(&root(Some(comm), true)), "{comm:?}");
        }
    }

    #[test]
    fn without_basedir_it_is_not_s6() {
        let root = root(Some("s6-svscan\n"), false);
        assert!(!detected(&root));
        fs::create_dir_all(root.path().join("run/s6")).unwrap();
        fs::write(root.path().join("run/s6/basedir"), "").unwrap();
        assert!(!detected(&root), "a file is no directory");
    }

    #[test]
    fn an_unreadable_comm_is_not_s6() {
        let root = root(None, true);
        // Root may read anything, so the unreadable thing is a directory where the file should be,
        // and for everybody else a file without permission.
        fs::create_dir_all(root.path().join("proc/1/comm")).unwrap();
        assert!(!detected(&root));
        fs::remove_dir(root.path().join("proc/1/comm")).unwrap();
        fs::write(root.path().join("proc/1/comm"), "s6-svscan\n").unwrap();
        let nobody = std::fs::Permissions::from_mode(0o000);
        fs::set_permissions(root.path().join("proc/1/comm"), nobody).unwrap();
        assert_eq!(detected(&root), rustix::process::geteuid().is_root());
    }

    #[test]
    fn without_proc_it_is_not_s6() {
        assert!(!detected(&root(None, true)));
    }

    #[test]
    fn systemd_is_who_answers_and_no_directory() {
        let root = root(Some("systemd\n"), false);
        let detected = || Facts::gather(root.path()).systemd;
        assert!(!detected());
        fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        assert!(!detected(), "it left a directory behind");
        let socket = root.path().join("run/systemd/private");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        assert!(!detected() && !answers(&socket), "nobody accepts any more");
        fs::remove_file(&socket).unwrap();
        let _manager = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(detected() && answers(&socket));
        // The system's is root's alone, and others are told by its process.
        fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
        assert!(detected());
        fs::write(root.path().join("proc/1/comm"), "sh\n").unwrap();
        assert_eq!(detected(), rustix::process::geteuid().is_root());
    }
}
