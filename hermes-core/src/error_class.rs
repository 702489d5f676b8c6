//! Classes of errors, from which a program derives its exit code and a server its status code.

use std::time::Duration;

use crate::name::ProfileName;

/// The class of an error. Each has its own exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// The request itself is invalid.
    Usage,
    /// The supervisor can't be reached.
    Unreachable,
    /// The system denied permission.
    Denied,
    /// The operation timed out after this time.
    TimedOut(Duration),
    /// The service already exists.
    AlreadyRegistered(ProfileName),
    /// The profile does not exist.
    NoSuchProfile(ProfileName),
    /// Anything else.
    Failed,
}
