//! The error of a driver's primitive. It does not name the operation: the caller adds that once, with
//! [`During`](crate::manager::During).

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;

use crate::error_chain::{in_one_line, is_denied};
use crate::error_class::Class;
use crate::fsutil::denied_hint;
use crate::intent::IntentError;
use crate::lock::LockError;
use crate::name::ProfileName;
use crate::store::StoreError;

/// The hint if no service manager supervises gateways.
pub const UP: &str = "`hermes up` runs a supervision tree for this user";

/// The cause of an error, whatever its type.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// The error of a primitive: its cause, its class and a hint.
///
/// It displays its cause. `?` makes one of an I/O error (permission denied becomes [`Class::Denied`]), of
/// a lock that was not acquired in time ([`Class::TimedOut`]), of an intent that can't be read and of an
/// error of the store.
#[derive(Debug, Clone)]
pub struct DriverError {
    class: Class,
    /// Shared: an error may concern many gateways.
    cause: Arc<dyn StdError + Send + Sync>,
    hint: Option<String>,
}

impl DriverError {
    /// An error with this cause: another error, or an observation.
    pub fn new(cause: impl Into<Cause>) -> Self {
        Self { class: Class::Failed, cause: Arc::from(cause.into()), hint: None }
    }

    /// The supervisor can't be reached, because of `cause`.
    pub fn unreachable(cause: impl Into<Cause>) -> Self {
        Self::new(cause).of_class(Class::Unreachable)
    }

    /// Permission is denied.
    pub fn denied(cause: impl Into<Cause>) -> Self {
        Self::new(cause).of_class(Class::Denied)
    }

    /// The deadline passed after `waited`; `last_seen` is the state at that moment.
    pub fn timed_out(waited: Duration, last_seen: impl Into<Cause>) -> Self {
        Self::new(last_seen).of_class(Class::TimedOut(waited))
    }

    /// The service of `profile` exists already.
    pub fn already_registered(profile: &ProfileName) -> Self {
        Self::new("its service exists").of_class(Class::AlreadyRegistered(profile.clone()))
    }

    /// Adds a hint: a sentence, or a command.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Makes this the cause of a failed step: ``register the gateway of `coder` ``.
    #[must_use]
    pub fn in_step(self, step: impl Into<String>) -> Self {
        let cause = FailedStep { step: step.into(), source: self.cause };
        Self { cause: Arc::new(cause), ..self }
    }

    /// Adds the last line that the gateway printed, below the cause.
    #[must_use]
    pub fn with_last_line(self, line: LastLine) -> Self {
        let cause = Printed { cause: in_one_line(&*self.cause), line };
        Self { cause: Arc::new(cause), ..self }
    }

    /// The error of a start at `begun` that has failed just now, to which the last line is to be added later.
    pub(crate) fn with_line_due(self, begun: Timestamp) -> Self {
        let due = LineDue { cause: self.cause, begun, failed: Instant::now() };
        Self { cause: Arc::new(due), ..self }
    }

    /// When the gateway was started, and when that failed, if the last line that it printed is to be added later.
    pub(crate) fn line_due(&self) -> Option<(Timestamp, Instant)> {
        self.cause.downcast_ref().map(|due: &LineDue| (due.begun, due.failed))
    }

    /// Its class.
    pub fn class(&self) -> &Class {
        &self.class
    }

    /// What the user can do about it, if that is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    fn of_class(self, class: Class) -> Self {
        Self { class, ..self }
    }
}

/// A step of a sequence that failed.
#[derive(Debug, Error)]
#[error("failed to {step}")]
struct FailedStep {
    step: String,
    source: Arc<dyn StdError + Send + Sync>,
}

/// The last line that a gateway printed before it failed to start. A cause of its own, below the others.
#[derive(Debug, Clone, Error)]
#[error("its last line: `{0}`")]
pub struct LastLine(pub String);

/// A cause, and the last line that the gateway printed.
#[derive(Debug, Error)]
#[error("{cause}")]
struct Printed {
    cause: String,
    #[source]
    line: LastLine,
}

/// A cause to which the last line that the gateway printed is to be added.
#[derive(Debug)]
struct LineDue {
    cause: Arc<dyn StdError + Send + Sync>,
    begun: Timestamp,
    failed: Instant,
}

impl fmt::Display for LineDue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl StdError for LineDue {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl StdError for DriverError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

impl From<io::Error> for DriverError {
    fn from(error: io::Error) -> Self {
        from_system(error)
    }
}

impl From<LockError> for DriverError {
    fn from(error: LockError) -> Self {
        let hint = error.hint();
        let error = match error {
            LockError::Busy { waited, .. } => Self::timed_out(waited, error),
            LockError::Io { .. } => from_system(error),
        };
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<IntentError> for DriverError {
    fn from(error: IntentError) -> Self {
        let hint = error.hint();
        let error = from_system(error);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<StoreError> for DriverError {
    fn from(error: StoreError) -> Self {
        let (class, hint) = (error.class(), error.hint());
        Self { class, hint, cause: Arc::new(error) }
    }
}

/// The I/O error among the causes of an error.
fn from_system(error: impl StdError + Send + Sync + 'static) -> DriverError {
    match is_denied(&error) {
        true => {
            let hint = denied_hint(&error);
            DriverError::denied(error).with_hint(hint)
        }
        false => DriverError::new(error),
    }
}
