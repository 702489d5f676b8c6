//! The dashboard: one page, an HTTP API and metrics of all gateways. It decides nothing: it calls what the
//! commands call, through the facade [`hermes`], and answers with the JSON that they print.
//!
//! | path | what is served | to whom |
//! |---|---|---|
//! | `/`, its scripts and styles | the page, which is part of the program and holds no user's data | everybody |
//! | `/api/v1/…` | status, logs and events, and starting, stopping, creating and deleting | who has the token |
//! | `/metrics` | the gateways in numbers, for Prometheus | who has the token |
//!
//! Every request passes three gates in `guard`: `Host` must name this server (DNS rebinding), `Origin` must
//! be the dashboard's own (pages of other origins), and `Authorization` must carry the token. The token is
//! made at the first start, in a file that only its owner can read.
//!
//! The gateways are observed only while somebody listens or a backend announces a change.
//!
//! | file | what it does |
//! |---|---|
//! | `place` | the address to listen on, from options and environment variables |
//! | `error` | why the dashboard can't be served |
//! | `token` | creates and reads the token |
//! | `server` | which path answers what; listening, and the end |
//! | `guard` | the three gates, and the headers of every response |
//! | `page` | the page and its parts |
//! | `api` | reading and acting, as JSON |
//! | `answer` | a JSON response, and a refusal with its HTTP status |
//! | `sse` | the format of event streams |
//! | `follow` | a log as an event stream |
//! | `metrics` | the gateways in numbers |
//! | `limits` | how many requests are served at once, and how often |
//! | `gateway_view` | what is served of one gateway |
//! | `shared` | what all requests share |
//! | `state_hub` | the last observation of all gateways, and the listeners that are sent its changes |
//! | `watcher` | the one thread that observes the gateways for all listeners |

mod answer;
mod api;
mod error;
mod follow;
mod gateway_view;
mod guard;
mod limits;
mod metrics;
mod page;
mod place;
mod server;
mod shared;
mod sse;
mod state_hub;
mod token;
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

impl Dashboard {
    /// Prepares the dashboard of the gateways of `hermes`, to be served at `place`. Creates the token in the root
    /// home if there is none, and nothing else: no supervisor has to answer, neither now nor later.
    pub fn open(hermes: &Hermes, place: Place) -> Result<Self, DashboardError> {
        let token_path = hermes.root().dashboard_token();
        let (token, is_new) = token::read_or_make(&token_path)?;
        let shared =
            Shared::new(hermes.clone()).map_err(|source| DashboardError::Prepare { source })?;
        Ok(Self {
            shared: Arc::new(shared),
            new_token: is_new.then(|| token.clone()),
            guard: Guard::new(token, &place),
            place,
            token_path,
        })
    }

    /// The token, if it was created just now: its owner is to see it once. It must not be logged.
    pub fn new_token(&self) -> Option<&str> {
        self.new_token.as_deref()
    }

    /// Serves until a signal asks for the end (SIGTERM, SIGINT), and some seconds at most after that.
    /// Reports its address and its end through the crate `log`, never its token.
    pub fn serve(self) -> Result<(), DashboardError> {
        let Self { shared, guard, place, token_path, .. } = self;
        server::serve(&shared, guard, &place, &token_path)?;
        log::info!("the dashboard has ended");
        Ok(())
    }
}
