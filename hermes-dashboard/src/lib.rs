//! The dashboard: a page, an HTTP API and metrics of all gateways. It calls the same functions of the facade
//! [`hermes`] as the commands, and answers with the same JSON.
//!
//! | path | content | access |
//! |---|---|---|
//! | `/`, its scripts and styles | the page, which is part of the program and holds no user's data | public |
//! | `/api/v1/…` | status, logs and events, and starting, stopping, creating and deleting | with the token |
//! | `/api/v1/sign-in` | the token | with the one-time code of `--open` |
//! | `/metrics` | metrics of the gateways, for Prometheus | with the token |
//!
//! `guard` checks every request: `Host` must name this server (DNS rebinding), `Origin` must
//! be the dashboard's own (against pages of other origins), and `Authorization` must have the token. The first
//! start creates the token, in a file that only its owner can read.
//!
//! The gateways are observed only while a client listens, or when a backend announces a change.
//!
//! | file | what it does |
//! |---|---|
//! | `place` | the address to listen on, from options and environment variables |
//! | `origin`, `base_path` | the URLs of reverse proxies in front of the dashboard |
//! | `error` | why the dashboard can't be served |
//! | `token` | creates and reads the token |
//! | `sign_in` | a one-time code for the browser of this machine |
//! | `server` | the routes, listening and shutting down |
//! | `guard` | the checks of every request, and the headers of every response |
//! | `page` | the page and its parts |
//! | `api` | the HTTP API |
//! | `answer` | JSON responses, and error responses |
//! | `sse` | the format of event streams |
//! | `follow` | a log as an event stream |
//! | `metrics` | metrics of the gateways |
//! | `limits` | limits on concurrent requests and on their rate |
//! | `gateway_view` | a gateway in the API |
//! | `deaths` | when gateways died, from the journal of events |
//! | `threads` | threads for work that may block |
//! | `shared` | state that all requests share |
//! | `state_hub` | the last observation of all gateways, and the listeners for changes |
//! | `wake_up` | wakes a thread that waits for descriptors |
//! | `watcher` | the thread that observes the gateways for all listeners |

mod answer;
mod api;
mod base_path;
mod deaths;
mod error;
mod follow;
mod gateway_view;
mod guard;
mod limits;
mod metrics;
mod origin;
mod page;
mod place;
mod server;
mod shared;
mod sign_in;
mod sse;
mod state_hub;
mod threads;
mod token;
mod wake_up;
mod watcher;

use std::path::PathBuf;
use std::sync::Arc;

use hermes::Hermes;

use self::guard::Guard;
use self::shared::Shared;

pub use error::{DashboardError, UnusableToken};
pub use place::Place;

/// A dashboard that is about to be served.
pub struct Dashboard {
    shared: Arc<Shared>,
    guard: Guard,
    place: Place,
    token_path: PathBuf,
    new_token: Option<String>,
}

/// The page of a dashboard that listens.
pub struct Page {
    url: String,
    shared: Arc<Shared>,
}

impl Page {
    /// Its URL for browsers of this machine. It contains no secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes a file that opens the page signed in, and returns its path. Only the owner of the home can read it, and it
    /// works once, within two minutes. The dashboard removes it.
    pub fn write_sign_in_file(&self) -> Result<PathBuf, DashboardError> {
        let written = self.shared.sign_in.write_file(&self.url);
        written.map_err(|source| DashboardError::SignIn { source })
    }
}

impl Dashboard {
    /// Prepares the dashboard of the gateways of `hermes`, to be served at `place`. Creates the token in the
    /// root home if there is none. Needs no running supervisor, neither now nor later.
    pub fn open(hermes: &Hermes, place: Place) -> Result<Self, DashboardError> {
        let token_path = hermes.root().dashboard_token();
        let (token, is_new) = token::read_or_make(&token_path)?;
        let shared = Shared::new(hermes.clone(), token.clone())
            .map_err(|source| DashboardError::Prepare { source })?;
        Ok(Self {
            shared: Arc::new(shared),
            new_token: is_new.then(|| token.clone()),
            guard: Guard::new(token, &place),
            place,
            token_path,
        })
    }

    /// The token, if [`open`](Self::open) created it, to be shown once. It must not be logged.
    pub fn new_token(&self) -> Option<&str> {
        self.new_token.as_deref()
    }

    /// Serves until SIGTERM or SIGINT, and then for a few seconds at most. Calls `listening` once it listens; that must
    /// not block. Logs the address and the end through the crate `log`, never the token.
    pub fn serve(self, listening: impl FnOnce(&Page)) -> Result<(), DashboardError> {
        let Self { shared, guard, place, token_path, .. } = self;
        let page = |url| listening(&Page { url, shared: shared.clone() });
        let served = server::serve(&shared, guard, &place, &token_path, page);
        shared.sign_in.end();
        served?;
        log::info!("the dashboard has ended");
        Ok(())
    }
}
