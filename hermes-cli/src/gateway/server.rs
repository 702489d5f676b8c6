//! The built-in gateway: an HTTP server that answers `GET /health`.
//!
//! It is ready once it listens. SIGTERM and SIGINT end it in order: it accepts no more, lets open
//! requests finish as long as the stop budget allows, and exits; a second signal changes nothing.

use std::error::Error;
use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::time::Instant;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use hermes_core::config::GatewayConfig;
use hermes_core::{Proc, ProfileName};
use hermes_core::{end_signals, listeners};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;

use super::notification::Notification;
use crate::output;

/// Why the gateway did not run, or not to its end.
#[derive(Debug)]
pub(crate) enum ServeError {
    /// It can't listen where it should.
    Listen { host: String, port: u16, source: io::Error, holder: Option<String> },
    /// The system refused something else.
    Io(io::Error),
}

impl ServeError {
    pub(crate) fn hint(&self, name: &ProfileName) -> Option<String> {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some(format!("`hermes profile port {name} N` gives it another port"))
            }
            Self::Listen { .. } => {
                Some("`gateway.host` and `gateway.port` in config.yaml name it".to_owned())
            }
            Self::Io(_) => None,
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { host, port, source, holder } => {
                write!(f, "failed to listen on {host} port {port}: {source}")?;
                holder.as_ref().map_or(Ok(()), |holder| write!(f, "; {holder} has it"))
            }
            Self::Io(source) => write!(f, "the gateway failed: {source}"),
        }
    }
}

impl Error for ServeError {}

/// The process that listens on `port`, in words.
fn holder(port: u16) -> Option<String> {
    let proc = Proc::default();
    listeners::process(&proc, &listeners::on_port(&proc, port)).map(|pid| proc.title(pid))
}

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

/// Serves until a signal asks for the end.
pub(crate) fn serve(
    profile: &ProfileName,
    config: &GatewayConfig,
    port: u16,
    notification: Notification,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Io)?;
    runtime.block_on(async {
        // Before it is ready, so that no signal after that finds it deaf.
        let end = end_signals::register(&end_signals::SERVER).map_err(ServeError::Io)?;
        let end = pipe::Receiver::from_owned_fd(end).map_err(ServeError::Io)?;
        let host = config.host.as_str();
        let listener =
            TcpListener::bind((host, port)).await.map_err(|source| ServeError::Listen {
                host: host.to_owned(),
                port,
                holder: (source.kind() == io::ErrorKind::AddrInUse).then(|| holder(port)).flatten(),
                source,
            })?;
        output::message(format_args!("gateway `{profile}` listens on {host} port {port}"));
        notification.ready();
        let health = Health { profile: profile.clone(), started: Instant::now() };
        let router = Router::new().route("/health", get(answer)).with_state(health);
        let (told, stopping) = tokio::sync::oneshot::channel::<()>();
        let served = axum::serve(listener, router).with_graceful_shutdown(async move {
            let _ = end.readable().await;
            output::message("stopping: open requests may finish");
            drop(told);
        });
        let mut served = std::pin::pin!(served.into_future());
        let drain = config.stop_timeout.drain();
        let over = tokio::select! {
            served = &mut served => Ok(served),
            _ = stopping => tokio::time::timeout(drain, &mut served).await,
        };
        match over {
            Ok(served) => served.map_err(ServeError::Io)?,
            Err(_) => output::message(format_args!(
                "requests were still open after {} s and are cut off",
                drain.as_secs()
            )),
        }
        output::message(format_args!("gateway `{profile}` has ended"));
        Ok(())
    })
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
