//! Answers the kubelet's probes over HTTP, in a thread of its own: `/ready` while the gateway is ready, `/live` always.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::connections;

/// What the probes answer.
#[derive(Debug)]
pub(super) struct Probes {
    ready: Arc<AtomicBool>,
}

impl Probes {
    /// Serves at `address` until this process ends. A gateway is not ready at first.
    pub(super) fn serve(address: SocketAddr) -> io::Result<Self> {
        let ready = Arc::new(AtomicBool::new(false));
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let router = Router::new()
            .route("/ready", get(is_ready))
            .route("/live", get(|| async { StatusCode::OK }))
            .with_state(Arc::clone(&ready));
        let serve = move || {
            runtime.block_on(async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => {
                        connections::serve(listener, router, pending(), Duration::ZERO).await;
                    }
                    Err(error) => log::error!("nobody answers the kubelet: {error}"),
                }
            });
        };
        thread::Builder::new().name("probes".to_owned()).spawn(serve)?;
        Ok(Self { ready })
    }

    /// Whether the gateway is ready from now on.
    pub(super) fn ready(&self, is_ready: bool) {
        self.ready.store(is_ready, Ordering::Relaxed);
    }
}

async fn is_ready(State(ready): State<Arc<AtomicBool>>) -> StatusCode {
    match ready.load(Ordering::Relaxed) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}
