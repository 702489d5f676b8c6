//! Event streams (HTML Standard, 9.2): their events, their heartbeat and the response that carries them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Something is sent at least this often, so that either side notices that the other is gone.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// A comment, which is sent when there is no event.
pub(crate) const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");

/// An event. JSON has no line ends of its own.
pub(crate) fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// The response that carries a stream.
pub(crate) fn response(stream: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response()
}
