//! The classes of failures, from which a program derives its exit code and a server its status.

use std::time::Duration;

use crate::name::ProfileName;

/// The classes of failures that a user can tell apart by the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// The request itself is invalid.
    Usage,
    /// The supervisor can't be reached.
    Unreachable,
    /// The system denied it.
    Denied,
    /// The deadline passed after this time.
    TimedOut(Duration),
    /// The service exists already.
    AlreadyRegistered(ProfileName),
    /// The profile does not exist.
    NoSuchProfile(ProfileName),
    /// Anything else.
    Failed,
}
