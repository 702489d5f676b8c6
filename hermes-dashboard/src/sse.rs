//! Event streams (HTML Standard, 9.2): events, heartbeat and response.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The longest silence of a stream. Either side detects a lost connection by it.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// The comment that is sent as a heartbeat.
pub(crate) const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");

/// An event. Its data is one line, as serialized JSON contains no line breaks.
pub(crate) fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// A response with the stream `stream`.
pub(crate) fn response(stream: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response()
}
