//! JSON responses, and refusals: error responses with an HTTP status.

use std::error::Error as StdError;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hermes::view::{ErrorView, code};
use hermes_core::driver::Class;
use hermes_core::error_chain::chain;
use serde::Serialize;

/// A response, or the refusal of the request.
pub(crate) type Answer = Result<Response, Refusal>;

/// A response with `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// An error response. Its body is the object that commands print for an error with `--json`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: Box<ErrorView>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal by the dashboard itself.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::of(status, &Class::Failed, message.into())
    }

    /// The refusal of an invalid request.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::of(status_of(&Class::Usage), &Class::Usage, message.into())
    }

    fn of(status: StatusCode, class: &Class, error: String) -> Self {
        let (causes, hint, code) = (Vec::new(), None, code(class));
        let body = ErrorView { profile: None, error, causes, hint, code };
        Self { status, body: Box::new(body), header: None }
    }

    pub(crate) fn because(mut self, cause: impl StdError + 'static) -> Self {
        self.body.causes = chain(&cause).map(ToString::to_string).collect();
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<hermes::Error> for Refusal {
    fn from(error: hermes::Error) -> Self {
        let status = status_of(&error.class());
        Self { status, body: Box::new(error.into()), header: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &self.body);
        response.headers_mut().extend(self.header);
        response
    }
}

/// The HTTP status of a class of errors.
fn status_of(class: &Class) -> StatusCode {
    match class {
        Class::Usage => StatusCode::BAD_REQUEST,
        Class::NoSuchProfile(_) => StatusCode::NOT_FOUND,
        Class::Unreachable | Class::Denied => StatusCode::SERVICE_UNAVAILABLE,
        Class::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::CONFLICT,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hermes_core::driver::DriverError;
    use hermes_core::{ManagerError, ProfileName};

    use super::*;

    #[test]
    fn status_and_code_follow_the_error_class() {
        let profile = ProfileName::default_profile();
        let failed = |error| hermes::Error::from(ManagerError::of("stop it", error));
        for (error, expected) in [
            (hermes::Error::from("A".parse::<ProfileName>().unwrap_err()), (400, 2)),
            (ManagerError::NoSuchProfile { profile: profile.clone() }.into(), (404, 4)),
            (failed(DriverError::unreachable("no")), (503, 5)),
            (failed(DriverError::denied("no")), (503, 5)),
            (failed(DriverError::timed_out(Duration::ZERO, "no")), (504, 6)),
            (failed(DriverError::already_registered(&profile)), (409, 1)),
            (failed(DriverError::new("no")), (409, 1)),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.status.as_u16(), refusal.body.code), expected, "{refusal:?}");
        }
    }

    #[test]
    fn the_body_is_the_error_object_of_commands() {
        let refusal = Refusal::invalid("no").because(std::fmt::Error).with_hint("ask again");
        let body = serde_json::to_value(&refusal.body).unwrap();
        let expected = serde_json::json!({
            "error": "no",
            "causes": [std::fmt::Error.to_string()],
            "hint": "ask again",
            "code": 2,
        });
        assert_eq!((refusal.status().as_u16(), body), (400, expected));
    }
}
