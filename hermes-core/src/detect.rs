//! The facts about a machine from which the backend is detected. The decision is a pure function of them.
//!
//! `hermes doctor` prints the same facts. Any user may read them all. That excludes `/proc/1/exe`, which
//! only root may read: a check of it once disabled registration for all other users.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Serialize;

/// The facts for the detection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The name of process 1, from `/proc/1/comm`; `None` if it can't be read.
    pub init: Option<String>,
    /// Whether `/run/s6/basedir` is a directory.
    pub s6_basedir: bool,
    /// The scan directory from `--scandir` or `HERMES_SCANDIR`.
    pub named_scandir: Option<PathBuf>,
    /// The scan directory of this user's `hermes up`, if it runs.
    pub user_scandir: Option<PathBuf>,
    /// Whether the system's systemd manager runs: its socket accepts a connection, or denies permission and
    /// process 1 is systemd.
    pub systemd: bool,
    /// The socket of this user's systemd manager, if it accepts a connection.
    pub user_systemd: Option<PathBuf>,
    /// Whether this is macOS.
    pub launchd: bool,
    /// The backend from `HERMES_BACKEND`.
    pub requested: Option<String>,
}

impl Facts {
    /// Reads the facts below `root` (`/` outside of tests). An error counts as "no".
    pub fn gather(root: &Path) -> Self {
        let init = fs::read_to_string(root.join("proc/1/comm")).ok();
        Self {
            s6_basedir: root.join("run/s6/basedir").is_dir(),
            // Only root may connect; for other users process 1 decides.
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

    /// Whether s6 is the init system of this machine or container. Needs both facts, since each one alone
    /// also occurs elsewhere.
    pub fn s6_in_charge(&self) -> bool {
        self.init.as_deref() == Some("s6-svscan") && self.s6_basedir
    }
}

/// Whether `socket` accepts a connection.
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
        assert!(!detected(&root), "a file is not a directory");
    }

    #[test]
    fn an_unreadable_comm_is_not_s6() {
        let root = root(None, true);
        // Root can read any file, but not a directory in its place; other users can't read a file
        // without permissions.
        fs::create_dir_all(root.path().join("proc/1/comm")).unwrap();
        assert!(!detected(&root));
        fs::remove_dir(root.path().join("proc/1/comm")).unwrap();
        fs::write(root.path().join("proc/1/comm"), "s6-svscan\n").unwrap();
        let none = std::fs::Permissions::from_mode(0o000);
        fs::set_permissions(root.path().join("proc/1/comm"), none).unwrap();
        assert_eq!(detected(&root), rustix::process::geteuid().is_root());
    }

    #[test]
    fn without_proc_it_is_not_s6() {
        assert!(!detected(&root(None, true)));
    }

    #[test]
    fn systemd_is_detected_by_its_socket() {
        let root = root(Some("systemd\n"), false);
        let detected = || Facts::gather(root.path()).systemd;
        assert!(!detected());
        fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        assert!(!detected(), "the directory does not count");
        let socket = root.path().join("run/systemd/private");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        assert!(!detected() && !answers(&socket), "no process accepts connections");
        fs::remove_file(&socket).unwrap();
        let _manager = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(detected() && answers(&socket));
        // Without permission for the socket, process 1 decides.
        fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
        assert!(detected());
        fs::write(root.path().join("proc/1/comm"), "sh\n").unwrap();
        assert_eq!(detected(), rustix::process::geteuid().is_root());
    }
}
