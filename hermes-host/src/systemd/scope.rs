//! The two systemd managers of a machine, the user's and the system's, and their paths.
//!
//! Sources: systemd.unit(5), "Unit File Load Path"; org.freedesktop.systemd1(5) and systemctl(1) for the
//! private socket that a manager answers on, with or without a message bus; loginctl(1) for lingering.

use std::path::{Path, PathBuf};

use crate::account::Account;

/// The manager that runs the gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The account's own manager. It runs while the account is logged in, or always if the account lingers.
    User,
    /// The system's manager, which only root controls.
    System,
}

/// The paths of a manager.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The directory of unit files.
    pub(super) units: PathBuf,
    /// The directory of links to the units that the manager starts at boot or login.
    pub(super) wants: PathBuf,
    /// The manager's private socket.
    pub(super) socket: PathBuf,
    /// Exists if the account lingers.
    pub(super) linger: PathBuf,
    /// Exists if the journal is persistent, and so split by user.
    pub(super) journal: PathBuf,
}

impl Scope {
    /// The option of systemctl and journalctl for this manager.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::User => "--user",
            Self::System => "--system",
        }
    }

    /// The journal field with the unit of a line (systemd.journal-fields(7)).
    pub(super) fn journal_field(self) -> &'static str {
        match self {
            Self::User => "_SYSTEMD_USER_UNIT",
            Self::System => "_SYSTEMD_UNIT",
        }
    }

    /// The paths below `root` for `account`, whose runtime directory is `runtime`.
    pub(super) fn places(self, root: &Path, account: &Account, runtime: &Path) -> Places {
        // XDG_CONFIG_HOME is ignored: a shell may have it set, the manager has not.
        let (units, socket, target) = match self {
            Self::User => {
                let units = account.home.join(".config/systemd/user");
                (units, runtime.join("systemd/private"), "default.target.wants")
            }
            Self::System => {
                let units = root.join("etc/systemd/system");
                (units, root.join("run/systemd/private"), "multi-user.target.wants")
            }
        };
        Places {
            wants: units.join(target),
            units,
            socket,
            linger: root.join("var/lib/systemd/linger").join(&account.name),
            journal: root.join("var/log/journal"),
        }
    }
}
