//! Serves HTTP within limits, so that clients that never finish a request keep nobody out.
//!
//! A connection whose next request has not begun or not ended its headers after [`HEADERS`] is closed. Above [`MOST`]
//! connections the oldest is closed for each new one, so that whoever connects gets the time for a request. Connections
//! whose client has shown that it is [trusted](Connection::trust) are closed last.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::{self, Receiver};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// How long a client may take for the headers of a request, and leave a connection without one.
pub const HEADERS: Duration = Duration::from_secs(10);
/// The most connections of clients that are not trusted, and of those that are.
pub const MOST: usize = 256;
/// How long the server waits for a descriptor before it tries to accept again.
const RETRY: Duration = Duration::from_secs(1);

/// The connection of a request, an extension of it.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    trusted: Arc<AtomicBool>,
}

impl Connection {
    /// Makes this one of the last connections to be closed for others.
    pub fn trust(&self) {
        self.trusted.store(true, Ordering::Relaxed);
    }

    fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }
}

/// Serves until `end`, then lets open requests finish within `drain`; returns whether all have.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    end: impl Future<Output = ()>,
    drain: Duration,
) -> bool {
    let mut tasks = JoinSet::new();
    let mut open = Open::default();
    let (ending, ended) = watch::channel::<Option<Infallible>>(None);
    let mut end = pin!(end);
    loop {
        let accepted = tokio::select! {
            () = &mut end => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = Connection::default();
                let router = router.clone().layer(Extension(connection.clone()));
                let task = tasks.spawn(serve_one(stream, router, ended.clone()));
                open.add(connection, task);
            }
            // The client has gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => {
                // No descriptor or memory is left.
                open.close_one();
                let _ = timeout(RETRY, tasks.join_next()).await;
            }
        }
    }
    drop((listener, ending));
    timeout(drain, async { while tasks.join_next().await.is_some() {} }).await.is_ok()
}

/// Serves one connection; lets its request finish once `ended` is closed.
async fn serve_one(stream: TcpStream, router: Router, mut ended: Receiver<Option<Infallible>>) {
    // Responses and events are small; Nagle's algorithm would delay them.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // An error is the client's: it has gone, or sent no request.
        _ = connection.as_mut() => return,
        _ = ended.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The open connections, the oldest first.
#[derive(Default)]
struct Open(VecDeque<(Connection, AbortHandle)>);

impl Open {
    fn add(&mut self, connection: Connection, task: AbortHandle) {
        self.0.push_back((connection, task));
        self.0.retain(|(_, task)| !task.is_finished());
        let trusted = self.0.iter().filter(|(connection, _)| connection.is_trusted()).count();
        if trusted > MOST || self.0.len() - trusted > MOST {
            self.close_one();
        }
    }

    /// Closes the oldest connection that is not trusted, or else the oldest.
    fn close_one(&mut self) {
        let oldest = self.0.iter().position(|(connection, _)| !connection.is_trusted());
        if let Some((_, task)) = self.0.remove(oldest.unwrap_or_default()) {
            task.abort();
        }
    }
}
