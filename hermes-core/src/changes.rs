//! Notification of which gateways may have changed, from a backend that can tell.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use crate::name::ProfileName;

/// Watches every gateway of a backend, those that come later included.
pub trait Changes: fmt::Debug + Send {
    /// Becomes readable when there is something to take.
    fn fd(&self) -> BorrowedFd<'_>;

    /// What may have changed since the last call. Does not block. What appeared is watched from then on.
    fn take(&mut self) -> io::Result<Changed>;
}

/// Which gateways may have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// These.
    pub profiles: BTreeSet<ProfileName>,
    /// Any of them: more happened than the kernel could report.
    pub all: bool,
}
