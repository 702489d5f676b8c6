//! Why a request to the API server failed, whether another try may succeed, and what the user can do about it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use hermes_core::driver::DriverError;
use kube::Error;
use thiserror::Error as ThisError;

/// The reason of an answer about an object that does not exist.
pub(crate) const NOT_FOUND: &str = "NotFound";

/// A request, as errors name it.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// The verb of the sentence: `stop`.
    pub verb: &'static str,
    /// The verb of the permission: `patch`.
    pub permission: &'static str,
    /// The resource of the permission: `statefulsets.apps`.
    pub resource: &'static str,
    /// The object, with its kind: ``the StatefulSet `hermes-coder` ``.
    pub object: String,
}

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The address of the API server.
    pub server: String,
    /// The namespace of the objects.
    pub namespace: String,
}

/// A request that failed.
#[derive(Debug, Clone, ThisError)]
#[error(transparent)]
pub struct ApiError(Box<Failure>);

#[derive(Debug, Clone, ThisError)]
#[error("failed to {operation} in the namespace `{}`", target.namespace)]
struct Failure {
    operation: Operation,
    target: Target,
    #[source]
    cause: Cause,
}

/// What happened to the request.
#[derive(Debug, Clone, ThisError)]
enum Cause {
    /// The server refused it.
    #[error("{server} answers {code}: {message}")]
    Refused {
        server: String,
        code: u16,
        reason: String,
        message: String,
        /// When the server wants to be asked again.
        after: Option<Duration>,
    },
    /// No connection was made, or it broke.
    #[error("{server} is away: {reason}")]
    Away { server: String, reason: String },
    /// There was no answer in time.
    #[error("{server} has not answered")]
    Silent { server: String, waited: Duration },
    /// The credentials can't be had, or the answer can't be read.
    #[error("{reason}")]
    Other { reason: String },
}

impl ApiError {
    pub(crate) fn of(error: Error, operation: &Operation, target: &Target) -> Self {
        let server = target.title();
        let cause = match error {
            Error::Api(status) => Cause::Refused {
                server,
                code: status.code,
                after: status
                    .details
                    .as_ref()
                    .map(|details| details.retry_after_seconds)
                    .filter(|seconds| *seconds > 0)
                    .map(|seconds| Duration::from_secs(seconds.into())),
                message: match status.message.is_empty() {
                    true => status.reason.clone(),
                    false => status.message,
                },
                reason: status.reason,
            },
            Error::Service(_) | Error::HyperError(_) | Error::ReadEvents(_) => {
                Cause::Away { server, reason: innermost(&error) }
            }
            error => Cause::Other { reason: innermost(&error) },
        };
        Self(Box::new(Failure { operation: operation.clone(), target: target.clone(), cause }))
    }

    pub(crate) fn silent(operation: &Operation, target: &Target, waited: Duration) -> Self {
        let cause = Cause::Silent { server: target.title(), waited };
        Self(Box::new(Failure { operation: operation.clone(), target: target.clone(), cause }))
    }

    /// The status code of the server's answer; `None` without one.
    pub(crate) fn code(&self) -> Option<u16> {
        match self.0.cause {
            Cause::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the object does not exist. A server that does not know the path at all answers 404, too, without that reason.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(&self.0.cause, Cause::Refused { code: 404, reason, .. } if reason == NOT_FOUND)
    }

    /// Whether the server could not be reached.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self.0.cause, Cause::Away { .. })
    }

    /// Whether the same request may succeed a little later: the server is away or overloaded, or another request came
    /// between.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_away() || matches!(self.code(), Some(409 | 410 | 429 | 500..=599))
    }

    /// When the server wants to be asked again, if it says so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.0.cause {
            Cause::Refused { after, .. } => after,
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let Operation { permission, resource, .. } = self.0.operation;
        let namespace = &self.0.target.namespace;
        Some(match (&self.0.cause, self.code()) {
            (_, Some(401)) => "the credentials have expired, or are another cluster's; `kubectl auth whoami` tries \
                               the same ones"
                .to_owned(),
            (_, Some(403)) => format!(
                "the Role of this account has to allow it: `kubectl auth can-i {permission} {resource} -n {namespace}`"
            ),
            (_, Some(404)) => format!("`kubectl get namespace {namespace}` shows whether it exists"),
            (Cause::Away { .. } | Cause::Silent { .. }, _) => {
                "`kubectl version` asks the same server; KUBECONFIG names the file that says which one".to_owned()
            }
            (Cause::Other { .. }, _) => {
                "`kubectl auth whoami` tries the same credentials".to_owned()
            }
            _ => return None,
        })
    }
}

impl From<ApiError> for DriverError {
    fn from(error: ApiError) -> Self {
        let hint = error.hint();
        let driver_error = match (&error.0.cause, error.code()) {
            (Cause::Silent { waited, .. }, _) => Self::timed_out(*waited, error),
            (Cause::Away { .. }, _) => Self::unreachable(error),
            (_, Some(401 | 403)) => Self::denied(error),
            _ => Self::new(error),
        };
        match hint {
            Some(hint) => driver_error.with_hint(hint),
            None => driver_error,
        }
    }
}

impl Target {
    fn title(&self) -> String {
        format!("the API server at {}", self.server)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.object)
    }
}

/// The first cause: those above it say only which layer passed it on.
pub(crate) fn innermost(error: &dyn StdError) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
