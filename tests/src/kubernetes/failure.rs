//! Errors as the API server answers them: a `Status` object with code, reason, message and details.
//!
//! The sentences are those of `k8s.io/apimachinery/pkg/api/errors`, release 1.33.

use serde_json::{Value, json};

use super::resource::Resource;

/// An error of a request.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) code: u16,
    reason: &'static str,
    message: String,
    details: Value,
    /// The header `Retry-After`, in seconds.
    pub(super) retry_after: Option<u32>,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null, retry_after: None }
    }

    fn about(mut self, resource: Resource, name: &str) -> Self {
        self.details = json!({
            "name": name, "group": resource.group(), "kind": resource.plural(),
        });
        self
    }

    /// The `Status` object.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// `action` is `get resource "pods"` and what follows.
    pub(super) fn forbidden(resource: Resource, name: &str, action: &str) -> Self {
        let object = match name {
            "" => resource.qualified(),
            name => format!("{} \"{name}\"", resource.qualified()),
        };
        Self::new(403, "Forbidden", format!("{object} is forbidden: {action}"))
            .about(resource, name)
    }

    pub(super) fn not_found(resource: Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    /// For a path that names nothing.
    pub(super) fn no_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(super) fn no_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message)
    }

    pub(super) fn already_exists(resource: Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    /// An object is not the one, or not of the version, that a request is about.
    pub(super) fn conflict(resource: Resource, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// Fields of an apply belong to others: pairs of the other manager and the field.
    pub(super) fn owned_by_others(conflicts: &[(String, String)]) -> Self {
        let all: Vec<_> = conflicts
            .iter()
            .map(|(manager, field)| format!("conflict with {manager}: {field}"))
            .collect();
        let (count, plural) = (all.len(), if all.len() == 1 { "" } else { "s" });
        let message = format!("Apply failed with {count} conflict{plural}: {}", all.join(", "));
        let mut failure = Self::new(409, "Conflict", message);
        let causes: Vec<_> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({
                    "reason": "FieldManagerConflict", "field": field,
                    "message": format!("conflict with {manager}"),
                })
            })
            .collect();
        failure.details = json!({ "causes": causes });
        failure
    }

    /// `causes` are pairs of a field and what is wrong with it.
    pub(super) fn invalid(resource: Resource, name: &str, causes: &[(&str, String)]) -> Self {
        let all: Vec<_> = causes.iter().map(|(field, why)| format!("{field}: {why}")).collect();
        let what = match &all[..] {
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        };
        let group = match resource.group() {
            "" => String::new(),
            group => format!(".{group}"),
        };
        let message = format!("{}{group} \"{name}\" is invalid: {what}", resource.kind());
        let mut failure = Self::new(422, "Invalid", message).about(resource, name);
        failure.details["kind"] = resource.kind().into();
        failure.details["causes"] = causes
            .iter()
            .map(|(field, why)| {
                let reason = match why.starts_with("Forbidden") {
                    true => "FieldValueForbidden",
                    false => "FieldValueInvalid",
                };
                json!({ "reason": reason, "message": why, "field": field })
            })
            .collect();
        failure
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// `kind` is a type of a body that is not known.
    pub(super) fn unsupported(kind: &str) -> Self {
        let message = format!("the body of the request was in an unknown format: {kind}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// A version or a page that is not kept any more.
    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub(super) fn too_many_requests(retry_after: u32) -> Self {
        let message =
            "The server has received too many requests and has asked us to try again later";
        let mut failure = Self::new(429, "TooManyRequests", message);
        failure.details = json!({ "retryAfterSeconds": retry_after });
        failure.retry_after = Some(retry_after);
        failure
    }

    pub(super) fn internal() -> Self {
        Self::new(500, "InternalError", "Internal error occurred: etcdserver: request timed out")
    }

    pub(super) fn unavailable() -> Self {
        let message = "the server is currently unable to handle the request";
        Self::new(503, "ServiceUnavailable", message)
    }
}
