//! Notification of changed gateways, from backends that support it.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use crate::name::ProfileName;

/// A watch on every gateway of a backend, including gateways that are registered later.
pub trait Changes: fmt::Debug + Send {
    /// A descriptor that becomes readable when [`Changes::take`] has something to return.
    fn fd(&self) -> BorrowedFd<'_>;

    /// The gateways that may have changed since the last call. Does not block. Also starts to watch gateways
    /// that were registered since.
    fn take(&mut self) -> io::Result<Changed>;
}

/// The gateways that may have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Their profiles.
    pub profiles: BTreeSet<ProfileName>,
    /// Whether any gateway may have changed, because the kernel dropped events.
    pub all: bool,
}
