//! The HTTP server: who asks is checked, then what a test has it do wrong, then the request is answered.

use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::call::Call;
use super::failure::Failure;
use super::faults::Fault;
use super::logs;
use super::objects::{self, Content};
use super::shared::Shared;
use super::watching;

/// The largest body of a request (etcd's limit is near).
const MAX_BODY: usize = 3 << 20;

/// Serves until `end` is dropped.
pub(super) fn serve(shared: &Arc<Shared>, listener: TcpListener, end: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        tokio::select! {
            () = accept(shared, listener) => {}
            _ = end => {}
        }
    });
}

async fn accept(shared: &Arc<Shared>, listener: TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket of the runtime");
    while let Ok((stream, _)) = listener.accept().await {
        shared.count_connection();
        let shared = Arc::clone(shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { answer(&shared, request).await }
        });
        tokio::spawn(async move {
            // Clients close connections as they like.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The answer to a request. An error closes the connection.
async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/version" {
        return Ok(object(200, &json!({ "major": "1", "minor": "33", "gitVersion": "v1.33.0" })));
    }
    let checked =
        shared.with_access(|access| access.authenticate(text(&head.headers, AUTHORIZATION)));
    let call = match checked.and_then(|()| Call::read(&head.method, &head.uri)) {
        Ok(call) => call,
        Err(failure) => return Ok(refusal(&failure)),
    };
    shared.note(&call);
    let fault = shared.with_faults(|faults| faults.take(call.verb, &call.path()));
    match fault {
        Some(Fault::Hang) => pending().await,
        Some(Fault::Close) => return Err(io::ErrorKind::ConnectionReset.into()),
        _ => {}
    }
    if let Some(failure) = fault.and_then(Fault::failure) {
        return Ok(refusal(&failure));
    }
    let bytes = to_bytes(Body::new(body), MAX_BODY).await.map_err(io::Error::other)?.to_vec();
    let header = |name| text(&head.headers, name).unwrap_or_default().to_owned();
    let content = Content { kind: header(CONTENT_TYPE), bytes, agent: header(USER_AGENT) };
    let answer = respond(shared, &call, &content).await.unwrap_or_else(|failure| refusal(&failure));
    match fault {
        Some(Fault::CloseAfter) => Err(io::ErrorKind::ConnectionReset.into()),
        _ => Ok(answer),
    }
}

async fn respond(
    shared: &Arc<Shared>,
    call: &Call,
    content: &Content,
) -> Result<Response<Body>, Failure> {
    // A log is read by `get`, a Scale by the verbs of its own path.
    let target = (call.resource, &*call.path());
    let namespace = call.namespace.as_deref();
    shared.with_access(|access| access.authorize(call.verb, target, &call.name, namespace))?;
    match (call.verb, call.subresource) {
        ("watch", None) => {
            let lines = watching::watch(&shared.store, call, shared.connections())?;
            Ok(response(200, "application/json", Body::from_stream(lines)))
        }
        ("get", Some("log")) => {
            let lines = logs::read(shared, call).await?;
            Ok(response(200, "text/plain", Body::from_stream(lines)))
        }
        _ => {
            let (code, value) = shared.store.with(|data| objects::answer(data, call, content))?;
            Ok(object(code, &value))
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn refusal(failure: &Failure) -> Response<Body> {
    let mut response = object(failure.code, &failure.status());
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn object(code: u16, object: &Value) -> Response<Body> {
    response(code, "application/json", Body::from(object.to_string()))
}

fn response(code: u16, kind: &'static str, body: Body) -> Response<Body> {
    let response = Response::builder().status(code).header(CONTENT_TYPE, kind).body(body);
    response.expect("a valid response")
}
