//! ProfileSelector address answers what; listening, and its end.

use std::future::IntoFuture;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, delete, get, post};
use axum::serve::ListenerExt;
use axum::{Router, middleware};
use hermes_core::{end_signals, listeners};
use tokio::net::TcpListener;
use tokio::net::unix::pipe;

use super::{Dashboard, Place, api, guard, metrics, page, watcher};
use crate::error::{CliError, exit};
use crate::output;

/// A stream says something at least this often, so that either side finds out that the other is gone.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// A comment, which means nothing.
pub(super) const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");

/// How long requests may go on once the end was asked for. Those that listen never end by themselves.
const DRAIN: Duration = Duration::from_secs(1);
/// How long what was begun may go on after that.
const LAST: Duration = Duration::from_secs(5);
/// More than anything that is asked for here.
const LARGEST_BODY: usize = 4 << 10;

/// A method and a path, and what answers.
type Route = (&'static str, &'static str, MethodRouter<Arc<Dashboard>>);

/// All there is but the page. `openapi.json` describes it, and a test holds the two together.
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

fn router(dashboard: &Arc<Dashboard>) -> Router {
    let api = routes().into_iter().fold(Router::new(), |all, (_, path, of)| all.route(path, of));
    api.merge(page::router())
        .fallback(api::nothing)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(dashboard.clone(), guard::check))
        .with_state(dashboard.clone())
}

/// Serves until a signal asks for the end. `told` is said once it listens.
pub(super) fn serve(dashboard: Arc<Dashboard>, place: &Place, told: &str) -> Result<(), CliError> {
    let failed = |error: io::Error| CliError::new("the dashboard failed").because(error);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let served = runtime.block_on(async {
        // Before it is ready, so that no signal after that finds it deaf.
        let end = end_signals::register(&end_signals::SERVER).map_err(failed)?;
        let end = pipe::Receiver::from_owned_fd(end).map_err(failed)?;
        let listener = TcpListener::bind((place.host.as_str(), place.port))
            .await
            .map_err(|error| not_listening(place, error))?;
        let at = listener.local_addr().map_err(failed)?;
        watcher::start(&dashboard)?;
        output::message(format_args!("the dashboard is at http://{at}/; {told}"));
        if !at.ip().is_loopback() {
            output::warning(
                "it can be reached from other machines, and what is sent is not encrypted",
            );
        }
        // What is live is small, and late if it waits for more.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let (ends, ended) = tokio::sync::oneshot::channel::<()>();
        let served = axum::serve(listener, router(&dashboard)).with_graceful_shutdown(async move {
            let _ = end.readable().await;
            drop(ends);
        });
        let mut served = std::pin::pin!(served.into_future());
        tokio::select! {
            served = &mut served => served.map_err(failed),
            _ = ended => {
                // It fails only where it was told so already.
                let _ = rustix::io::write(&dashboard.shutdown, &1_u64.to_ne_bytes());
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

fn not_listening(place: &Place, error: io::Error) -> CliError {
    let Place { host, port, .. } = place;
    let code = if listeners::is_permanent(&error) { exit::CONFIG } else { exit::FAILURE };
    CliError::new(format!("failed to listen on {host} port {port}"))
        .because(error)
        .with_hint("--host and --port, or HERMES_DASHBOARD_HOST and HERMES_DASHBOARD_PORT, name another place")
        .with_code(code)
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
        let there = routes.iter().map(|(method, path, _)| ((*method).into(), (*path).into()));
        assert_eq!(described, there.collect());
    }
}
