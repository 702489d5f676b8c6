//! Turning what went wrong into the errors of the service traits.

use std::error::Error as StdError;
use std::time::Duration;

use crate::error_chain::is_denied;
use crate::intent::IntentError;
use crate::lock::LockError;
use crate::manager::{Cause, ManagerError};
use crate::store::StoreError;

/// What to do about a lock that another command holds.
const LATER: &str = "try again when it is done";

/// A failure of `operation` caused by `source`: permission denied where the system said so.
pub fn failed(
    operation: impl Into<String>,
    source: impl StdError + Send + Sync + 'static,
) -> ManagerError {
    let (operation, denied) = (operation.into(), is_denied(&source));
    let source: Cause = Box::new(source);
    if denied {
        let hint = "run it as the user who owns the home and runs its gateways".to_owned();
        ManagerError::Denied { operation, source, hint: Some(hint) }
    } else {
        ManagerError::Failed { operation, source, hint: None }
    }
}

/// A failure for a reason that is no error of the system's.
pub fn refused(operation: &str, why: String, hint: Option<String>) -> ManagerError {
    ManagerError::Failed { operation: operation.to_owned(), source: why.into(), hint }
}

/// Nobody is there who could do it.
pub fn unreachable(operation: &str, saw: String, hint: &str) -> ManagerError {
    ManagerError::Unreachable {
        operation: operation.to_owned(),
        source: saw.into(),
        hint: Some(hint.to_owned()),
    }
}

/// The deadline passed while `saw` was so.
pub fn timed_out(operation: &str, waited: Duration, saw: String, hint: &str) -> ManagerError {
    ManagerError::TimedOut {
        operation: operation.to_owned(),
        waited,
        source: saw.into(),
        hint: Some(hint.to_owned()),
    }
}

/// An intent that can't be read, with what mends it.
pub fn corrupt(operation: &str, error: IntentError) -> ManagerError {
    let hint = error.hint().map(str::to_owned);
    ManagerError::Failed { operation: operation.to_owned(), source: error.into(), hint }
}

/// An error of the store's.
pub fn of_store(operation: &str, error: StoreError) -> ManagerError {
    match error {
        StoreError::Absent { name } => ManagerError::NoSuchProfile { profile: name },
        StoreError::Busy(error) => of_lock(operation, error),
        error => failed(operation, error),
    }
}

/// A lock that was not got.
pub fn of_lock(operation: &str, error: LockError) -> ManagerError {
    match error {
        LockError::Busy { waited, .. } => timed_out(operation, waited, error.to_string(), LATER),
        LockError::Io { .. } => failed(operation, error),
    }
}
