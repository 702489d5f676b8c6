//! The routes of the server, listening and shutting down.

use std::future::IntoFuture;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, delete, get, post};
use axum::serve::ListenerExt;
use axum::{Router, middleware};
use hermes_core::end_signals;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;

use crate::error::DashboardError;
use crate::guard::{self, Guard};
use crate::place::Place;
use crate::shared::Shared;
use crate::{api, metrics, page, watcher};

/// How long requests may continue after SIGTERM or SIGINT. Streams never end by themselves.
const DRAIN: Duration = Duration::from_secs(1);
/// How long blocking work may continue after that.
const LAST: Duration = Duration::from_secs(5);
/// Larger than any valid body.
const LARGEST_BODY: usize = 4 << 10;

/// A method, a path and its handler.
type Route = (&'static str, &'static str, MethodRouter<Arc<Shared>>);

/// All routes except those of the page. A test checks that `openapi.json` describes exactly these.
fn routes() -> Vec<Route> {
    vec![
        ("get", "/api/v1/openapi.json", get(api::openapi)),
        ("get", "/api/v1/events", get(api::events)),
        ("get", "/api/v1/gateways", get(api::list)),
        ("get", "/api/v1/gateways/{name}", get(api::show)),
        ("post", "/api/v1/gateways/{name}/start", post(api::start)),
        ("post", "/api/v1/gateways/{name}/stop", post(api::stop)),
        ("post", "/api/v1/gateways/{name}/restart", post(api::restart)),
        ("get", "/api/v1/gateways/{name}/log", get(api::log)),
        ("post", "/api/v1/profiles", post(api::create)),
        ("delete", "/api/v1/profiles/{name}", delete(api::remove)),
        ("get", "/metrics", get(metrics::answer)),
    ]
}

fn router(shared: &Arc<Shared>, guard: Guard) -> Router {
    let api = routes().into_iter().fold(Router::new(), |all, (_, path, of)| all.route(path, of));
    api.merge(page::router())
        .fallback(api::not_found)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
        .with_state(shared.clone())
}

/// Serves at `place` until SIGTERM or SIGINT. Logs the address and `token_path` once it listens.
pub(crate) fn serve(
    shared: &Arc<Shared>,
    guard: Guard,
    place: &Place,
    token_path: &Path,
) -> Result<(), DashboardError> {
    let failed = |source: io::Error| DashboardError::Serve { source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let served = runtime.block_on(async {
        // Before the server reports that it listens, so that no later signal is lost.
        let end = end_signals::register(&end_signals::SERVER).map_err(failed)?;
        let end = pipe::Receiver::from_owned_fd(end).map_err(failed)?;
        let listener =
            TcpListener::bind((place.host.as_str(), place.port)).await.map_err(|source| {
                DashboardError::Listen { host: place.host.clone(), port: place.port, source }
            })?;
        let at = listener.local_addr().map_err(failed)?;
        watcher::start(shared)?;
        let token = token_path.display();
        log::info!("the dashboard is at http://{at}/; its token is in `{token}`");
        if !at.ip().is_loopback() {
            log::warn!("the dashboard can be reached from other machines, without encryption");
        }
        // Events are small; Nagle's algorithm would delay them.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let (ends, ended) = tokio::sync::oneshot::channel::<()>();
        let served =
            axum::serve(listener, router(shared, guard)).with_graceful_shutdown(async move {
                let _ = end.readable().await;
                drop(ends);
            });
        let mut served = std::pin::pin!(served.into_future());
        tokio::select! {
            served = &mut served => served.map_err(failed),
            _ = ended => {
                // Fails only if the eventfd is already readable.
                let _ = rustix::io::write(&shared.shutdown, &1_u64.to_ne_bytes());
                match tokio::time::timeout(DRAIN, &mut served).await {
                    Ok(served) => served.map_err(failed),
                    Err(_) => Ok(()),
                }
            }
        }
    });
    runtime.shutdown_timeout(LAST);
    served
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_no_other() {
        let openapi: serde_json::Value = serde_json::from_str(api::OPENAPI).unwrap();
        let paths = openapi["paths"].as_object().unwrap();
        let described: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.filter(|m| *m != "parameters").map(move |m| (m.clone(), path.clone()))
            })
            .collect();
        let routes = routes();
        let served = routes.iter().map(|(method, path, _)| ((*method).into(), (*path).into()));
        assert_eq!(described, served.collect());
    }
}
