//! Which of the machine's managers, and where it has its things.
//!
//! Sources: systemd.unit(5), "Unit File Load Path"; org.freedesktop.systemd1(5) and systemctl(1) for the
//! private socket that a manager answers on, with or without a message bus; loginctl(1) for lingering.

use std::path::{Path, PathBuf};

use crate::account::Account;

/// Whose manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The account's own, which is there while it is logged in, or always where it lingers.
    User,
    /// The system's, as root's services are.
    System,
}

/// Where a manager and its host keep things.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Unit files.
    pub(super) units: PathBuf,
    /// Links to the units that a start of the manager brings up.
    pub(super) wants: PathBuf,
    /// Where the manager answers.
    pub(super) socket: PathBuf,
    /// There if the account lingers.
    pub(super) linger: PathBuf,
    /// There if the journal outlives a restart, and is kept by user.
    pub(super) journal: PathBuf,
}

impl Scope {
    /// The manager's option of systemctl and journalctl.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::User => "--user",
            Self::System => "--system",
        }
    }

    /// The field of the journal that names the unit which a line is from (systemd.journal-fields(7)).
    pub(super) fn journal_field(self) -> &'static str {
        match self {
            Self::User => "_SYSTEMD_USER_UNIT",
            Self::System => "_SYSTEMD_UNIT",
        }
    }

    /// Its places for `account`, whose runtime directory is `runtime`, below `root`.
    pub(super) fn places(self, root: &Path, account: &Account, runtime: &Path) -> Places {
        // Not by XDG_CONFIG_HOME, which a shell has and the manager does not.
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
