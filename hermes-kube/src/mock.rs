//! An API server for tests, whose answers the test decides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use kube::Config;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::api_error::NOT_FOUND;
use crate::client::Client;

/// A request as the server has received it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) uri: Uri,
    /// Null without a body.
    pub(crate) body: Value,
}

impl Request {
    /// Method and path.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.uri.path())
    }
}

/// The server. It ends when it is dropped.
pub(crate) struct Mock {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    _end: oneshot::Sender<()>,
}

impl Mock {
    /// Answers each request with the status code and the object that `answer` returns; never, if the code is 0.
    pub(crate) fn start(
        answer: impl Fn(&Request) -> (u16, Value) + Clone + Send + Sync + 'static,
    ) -> Self {
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (end, ended) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::clone(&requests);
        let handler = async move |method: Method, uri: Uri, body: Bytes| {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let request = Request { method, uri, body };
            seen.lock().unwrap().push(request.clone());
            let (code, object) = answer(&request);
            if code == 0 {
                std::future::pending::<()>().await;
            }
            (StatusCode::from_u16(code).unwrap(), object.to_string())
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let server = axum::serve(listener, Router::new().fallback(handler));
                tokio::select! {
                    served = server => served.unwrap(),
                    _ = ended => {}
                }
            });
        });
        Self { address, requests, _end: end }
    }

    /// A client of it, for the namespace `agents`.
    pub(crate) fn client(&self, timeout: Duration) -> Client {
        client_of(&self.address, timeout)
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// A client of the server at `address`, for the namespace `agents`.
pub(crate) fn client_of(address: &str, timeout: Duration) -> Client {
    let mut config = Config::new(address.parse().unwrap());
    config.default_namespace = "agents".to_owned();
    Client::with(config, timeout).unwrap()
}

/// The answer of a server that refuses.
pub(crate) fn refusal(code: u16, message: &str) -> (u16, Value) {
    let reason = if code == 404 { NOT_FOUND } else { "" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": reason,
    });
    (code, status)
}
