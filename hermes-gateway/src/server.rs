//! The built-in gateway: an HTTP server that answers `GET /health`.
//!
//! It is ready once it listens. After SIGTERM or SIGINT it accepts no more connections, lets open requests
//! finish within the stop budget, and returns. A second signal changes nothing.

use std::future::IntoFuture;
use std::io;
use std::time::Instant;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use hermes_core::config::GatewayConfig;
use hermes_core::{Proc, ProfileName, end_signals, listeners};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;

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
        let listener = TcpListener::bind((host, port))
            .await
            .map_err(|error| listen_error(profile, host, port, error))?;
        log::info!("gateway `{profile}` listens on {host} port {port}");
        notification.ready();
        let health = Health { profile: profile.clone(), started: Instant::now() };
        let router = Router::new().route("/health", get(answer)).with_state(health);
        let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
        let served = axum::serve(listener, router).with_graceful_shutdown(async move {
            let _ = end.readable().await;
            log::info!("stopping: open requests may finish");
            drop(stop);
        });
        let mut served = std::pin::pin!(served.into_future());
        let drain = config.stop_timeout.drain();
        let finished = tokio::select! {
            served = &mut served => Ok(served),
            _ = stopping => tokio::time::timeout(drain, &mut served).await,
        };
        match finished {
            Ok(served) => served.map_err(failed)?,
            Err(_) => {
                let seconds = drain.as_secs();
                log::info!("closing requests that are still open after {seconds} s");
            }
        }
        log::info!("gateway `{profile}` has ended");
        Ok(())
    })
}

fn listen_error(profile: &ProfileName, host: &str, port: u16, error: io::Error) -> GatewayError {
    let holder = || {
        let proc = Proc::default();
        let process = listeners::process(&proc, &listeners::on_port(&proc, port));
        process.map(|pid| proc.title(pid))
    };
    GatewayError::Listen {
        profile: profile.clone(),
        host: host.to_owned(),
        port,
        holder: if error.kind() == io::ErrorKind::AddrInUse { holder() } else { None },
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
