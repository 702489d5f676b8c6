//! Turning what went wrong into the errors of the service traits.

use std::error::Error as StdError;
use std::time::Duration;

use hermes_core::causes::is_denied;
use hermes_core::manager::{Cause, ManagerError};

/// A failure of `operation` caused by `source`: permission denied where the system said so.
pub(crate) fn failed(
    operation: impl Into<String>,
    source: impl StdError + Send + Sync + 'static,
) -> ManagerError {
    let (operation, denied) = (operation.into(), is_denied(&source));
    let source: Cause = Box::new(source);
    if denied {
        let hint = "run it as the user who owns the scan directory and the home".to_owned();
        ManagerError::Denied { operation, source, hint: Some(hint) }
    } else {
        ManagerError::Failed { operation, source, hint: None }
    }
}

/// A failure for a reason that is no error of the system's.
pub(crate) fn refused(operation: &str, why: String, hint: Option<String>) -> ManagerError {
    ManagerError::Failed { operation: operation.to_owned(), source: why.into(), hint }
}

/// Nobody is there who could do it.
pub(crate) fn unreachable(operation: &str, saw: String, hint: &str) -> ManagerError {
    ManagerError::Unreachable {
        operation: operation.to_owned(),
        source: saw.into(),
        hint: Some(hint.to_owned()),
    }
}

/// The deadline passed while `saw` was so.
pub(crate) fn timed_out(
    operation: &str,
    waited: Duration,
    saw: String,
    hint: &str,
) -> ManagerError {
    ManagerError::TimedOut {
        operation: operation.to_owned(),
        waited,
        source: saw.into(),
        hint: Some(hint.to_owned()),
    }
}
