//! The built-in gateway: an HTTP server that answers `GET /health`.
//!
//! It is ready once it listens. After SIGTERM or SIGINT it accepts no more connections, lets open requests
//! finish within the stop budget, and returns. A second signal changes nothing.

use std::io;
use std::time::Instant;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use hermes_core::config::GatewayConfig;
use hermes_core::{ProfileName, end_signals, hosts, listeners};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;

use crate::connections;
use crate::error::GatewayError;
use crate::notification::Notification;

#[derive(Clone)]
struct Health {
    profile: ProfileName,
    started: Instant,
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    profile: ProfileName,
    pid: u32,
    version: &'static str,
    uptime_seconds: f64,
}

/// Serves until a signal ends it.
pub(crate) fn serve(
    profile: &ProfileName,
    config: &GatewayConfig,
    port: u16,
    notification: Notification,
) -> Result<(), GatewayError> {
    let failed = |source| GatewayError::Serve { profile: profile.clone(), source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        // Registered before readiness: the supervisor may send a signal right after.
        let end = end_signals::register(&end_signals::SERVER).map_err(failed)?;
        let end = pipe::Receiver::from_owned_fd(end).map_err(failed)?;
        let host = config.host.as_str();
        // tokio would look up a name in another thread, and panic if there is none.
        let listener = hosts::addresses(host, port)
            .and_then(|addresses| std::net::TcpListener::bind(addresses.as_slice()))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .and_then(TcpListener::from_std)
            .map_err(|error| listen_error(profile, host, port, error))?;
        log::info!("gateway `{profile}` listens on {host} port {port}");
        notification.ready();
        let health = Health { profile: profile.clone(), started: Instant::now() };
        let router = Router::new().route("/health", get(answer)).with_state(health);
        let ended = async {
            let _ = end.readable().await;
            log::info!("stopping: open requests may finish");
        };
        let drain = config.stop_timeout.drain();
        if !connections::serve(listener, router, ended, drain).await {
            let seconds = drain.as_secs();
            log::info!("closing requests that are still open after {seconds} s");
        }
        log::info!("gateway `{profile}` has ended");
        Ok(())
    })
}

fn listen_error(profile: &ProfileName, host: &str, port: u16, error: io::Error) -> GatewayError {
    let is_in_use = error.kind() == io::ErrorKind::AddrInUse;
    GatewayError::Listen {
        profile: profile.clone(),
        host: host.to_owned(),
        port,
        holder: is_in_use.then(|| listeners::title_of_holder(port)).flatten(),
        error,
    }
}

async fn answer(State(health): State<Health>) -> Json<Answer> {
    Json(Answer {
        status: "ok",
        profile: health.profile,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: health.started.elapsed().as_secs_f64(),
    })
}
