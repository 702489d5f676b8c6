//! The routes of the server, listening and shutting down.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::{MethodRouter, delete, get, post};
use axum::{Router, middleware};
use hermes_core::{end_signals, hosts, listeners};
use hermes_gateway::connections;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;

use crate::error::DashboardError;
use crate::guard::{self, Guard};
use crate::place::Place;
use crate::shared::Shared;
use crate::{api, base_path, metrics, page, watcher};

/// How long requests may continue after SIGTERM or SIGINT. Streams never end by themselves.
const DRAIN: Duration = Duration::from_secs(1);
/// How long blocking work may continue after that.
const LAST: Duration = Duration::from_secs(5);

/// A method, a path and its handler.
type Route = (&'static str, &'static str, MethodRouter<Arc<Shared>>);

/// All routes except those of the page. A test checks that `openapi.json` describes exactly these.
fn routes() -> Vec<Route> {
    vec![
        ("get", "/api/v1/openapi.json", get(api::openapi)),
        ("post", guard::SIGN_IN, post(api::sign_in)),
        ("get", "/api/v1/events", get(api::events)),
        ("get", "/api/v1/gateways", get(api::list)),
        ("get", "/api/v1/gateways/{name}", get(api::show)),
        ("post", "/api/v1/gateways/{name}/start", post(api::start)),
        ("post", "/api/v1/gateways/{name}/stop", post(api::stop)),
        ("post", "/api/v1/gateways/{name}/restart", post(api::restart)),
        ("get", "/api/v1/gateways/{name}/log", get(api::log)),
        ("post", "/api/v1/profiles", post(api::create)),
        ("delete", "/api/v1/profiles/{name}", delete(api::remove)),
        ("get", "/api/v1/journal", get(api::journal)),
        ("get", "/metrics", get(metrics::answer)),
    ]
}

fn router(shared: &Arc<Shared>, guard: Guard, place: &Place) -> Router {
    let api = routes().into_iter().fold(Router::new(), |all, (_, path, of)| all.route(path, of));
    let routes = api
        .merge(page::router())
        .fallback(api::not_found)
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
        .with_state(shared.clone());
    base_path::below(place.bases(), routes)
}

/// An address of this machine, at which a listener on `at` is reached.
fn local(mut at: SocketAddr) -> SocketAddr {
    match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => at.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => at.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    at
}

/// Serves at `place` until SIGTERM or SIGINT. Once it listens, logs the address and `token_path`, and calls `listening`
/// with the URL of the page for browsers of this machine.
pub(crate) fn serve(
    shared: &Arc<Shared>,
    guard: Guard,
    place: &Place,
    token_path: &Path,
    listening: impl FnOnce(String),
) -> Result<(), DashboardError> {
    let failed = |source: io::Error| DashboardError::Serve { source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        // Before the server reports that it listens, so that no later signal is lost.
        let end = end_signals::register(&end_signals::SERVER).map_err(failed)?;
        let end = pipe::Receiver::from_owned_fd(end).map_err(failed)?;
        // tokio would look up a name in another thread, and panic if there is none.
        let listener = hosts::addresses(&place.host, place.port)
            .and_then(|addresses| std::net::TcpListener::bind(addresses.as_slice()))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .and_then(TcpListener::from_std)
            .map_err(|source| {
                let is_in_use = source.kind() == io::ErrorKind::AddrInUse;
                let holder = is_in_use.then(|| listeners::title_of_holder(place.port)).flatten();
                let (host, port) = (place.host.clone(), place.port);
                DashboardError::Listen { host, port, holder, source }
            })?;
        let at = listener.local_addr().map_err(failed)?;
        watcher::start(shared)?;
        let token = token_path.display();
        log::info!("the dashboard is at http://{at}/; its token is in `{token}`");
        if !at.ip().is_loopback() {
            log::warn!("the dashboard can be reached from other machines, without encryption");
        }
        listening(format!("http://{}/", local(at)));
        let ended = async {
            let _ = end.readable().await;
            shared.shutdown.wake();
        };
        // Requests that are still open then are closed.
        connections::serve(listener, router(shared, guard, place), ended, DRAIN).await;
        shared.threads.await_end(LAST).await;
        Ok(())
    })
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
