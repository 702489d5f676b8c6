//! The environment of a driver, and a program's list of backends.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use fs_err as fs;

use super::{Driver, DriverError};
use crate::detect::Facts;
use crate::home::{RootHome, env};
use crate::kind::Kind;
use crate::wait::Timeouts;
use crate::writers;

/// The environment of a driver. A program gathers it once; a driver reads neither environment variables nor
/// arguments.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The facts that detection used.
    pub facts: Facts,
    /// The home whose gateways the driver runs.
    pub root: RootHome,
    /// The program that services start, an absolute path.
    pub program: PathBuf,
    /// The deadlines of commands.
    pub timeouts: Timeouts,
    /// Whether to use the system's service manager instead of this user's own.
    pub system: bool,
    /// Looks up an environment variable; `None` if it is unset or empty.
    pub variable: fn(&str) -> Option<OsString>,
}

impl Environment {
    /// Whether the operator allows homes that other users may write to. Service managers that start gateways by themselves
    /// have to be told.
    pub fn allows_open_homes(&self) -> bool {
        (self.variable)(env::OPEN_HOME).is_some_and(|value| value == writers::ALLOWED)
    }

    /// This user's runtime directory, even if `XDG_RUNTIME_DIR` does not name it, as after `su`.
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        let named = (self.variable)("XDG_RUNTIME_DIR").map(PathBuf::from);
        // After `su` it may belong to another user.
        let me = rustix::process::geteuid().as_raw();
        let is_mine = |dir: &PathBuf| fs::metadata(dir).is_ok_and(|dir| dir.uid() == me);
        named.filter(|dir| dir.is_absolute()).filter(is_mine).or_else(|| {
            let dir = PathBuf::from(format!("/run/user/{me}"));
            is_mine(&dir).then_some(dir)
        })
    }
}

/// A backend in a program's list.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// Its name.
    pub kind: Kind,
    /// [`Driver::detect`].
    pub detect: fn(&Facts) -> bool,
    /// [`Driver::connect`].
    pub connect: fn(&Environment) -> Result<Arc<dyn Driver>, DriverError>,
}

impl Backend {
    /// The backend `kind` with the driver `D`.
    pub const fn of<D: Driver + 'static>(kind: Kind) -> Self {
        Self {
            kind,
            detect: D::detect,
            connect: |environment| Ok(Arc::new(D::connect(environment)?)),
        }
    }
}
