//! `hermes dashboard`: one page over what the other commands say and do, and nothing of its own.
//!
//! | file | what it does |
//! |---|---|
//! | `server` | which address answers what; listening, and its end |
//! | `page` | the page itself and its parts, which are in the program |
//! | `guard` | what every request has to pass: host, origin, token |
//! | `token` | how the token is made and read |
//! | `api` | reading and acting, as JSON |
//! | `limits` | how much is done at once, and how often |
//! | `gateway_view` | what is told of a gateway |
//! | `state_hub` | what was last seen of all gateways, and who is told of changes |
//! | `watcher` | the one thread that looks |
//! | `follow` | a log as it goes on |
//! | `metrics` | the same for Prometheus |
//!
//! Nothing is looked at while nobody watches and nothing changes.

mod api;
mod follow;
mod gateway_view;
mod guard;
mod limits;
mod metrics;
mod page;
mod server;
mod state_hub;
mod token;
mod watcher;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use axum::http::Uri;
use hermes_core::home::env as names;
use rustix::event::EventfdFlags;

use self::guard::Guard;
use self::limits::Limits;
use self::state_hub::StateHub;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Where it listens, where nobody says otherwise.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 9119;

/// Where the dashboard is, and where browsers find it.
pub(crate) struct Place {
    host: String,
    port: u16,
    origin: Option<String>,
}

impl Place {
    /// What was typed, else what the environment says.
    pub(crate) fn of(
        host: Option<String>,
        port: Option<u16>,
        origin: Option<String>,
    ) -> Result<Self, CliError> {
        let port = match (port, text(names::DASHBOARD_PORT)) {
            (Some(port), _) => port,
            (None, Some(value)) => value.parse().map_err(|_| {
                CliError::new(format!("`{value}` is no value of {}", names::DASHBOARD_PORT))
                    .with_hint("it is the number of a port")
                    .with_code(exit::CONFIG)
            })?,
            (None, None) => PORT,
        };
        let host = host.or_else(|| text(names::DASHBOARD_HOST)).unwrap_or_else(|| HOST.to_owned());
        let origin = origin.or_else(|| text(names::DASHBOARD_ORIGIN)).map(origin_of).transpose()?;
        Ok(Self { host, port, origin })
    }
}

fn text(variable: &str) -> Option<String> {
    hermes::text(variable)
}

/// An origin as browsers write it.
fn origin_of(text: String) -> Result<String, CliError> {
    let uri = text.parse::<Uri>().ok();
    let parts = uri.as_ref().and_then(|uri| {
        let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        let scheme = uri.scheme_str().filter(|scheme| bare && ["http", "https"].contains(scheme));
        Some((scheme?, uri.authority()?))
    });
    let Some((scheme, authority)) = parts else {
        return Err(CliError::new(format!("`{text}` is no origin"))
            .with_hint("it is like https://hermes.example or http://box:8080")
            .with_code(exit::CONFIG));
    };
    Ok(format!("{scheme}://{authority}").to_ascii_lowercase())
}

/// What all requests share.
struct Dashboard {
    /// Home and backend; found anew for each request, since trees come and go.
    app: App,
    guard: Guard,
    limits: Limits,
    state_hub: Arc<StateHub>,
    /// Becomes readable when the end has begun, for those who wait where one may block.
    shutdown: Arc<OwnedFd>,
}

impl Dashboard {
    /// What is here at the moment.
    fn app(&self) -> Result<App, CliError> {
        self.app.again()
    }

    /// Does what blocks where that may be done. It goes on if nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&App) -> Result<T, CliError> + Send + 'static,
    ) -> Result<T, CliError> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this.app()?)).await;
        done.unwrap_or_else(|error| Err(CliError::new("failed to do it").because(error)))
    }
}

/// Serves the page until a signal asks for the end. What can't come right by itself exits with 78.
pub(crate) fn run(app: &App, place: &Place) -> Result<u8, CliError> {
    let path = app.root().dashboard_token();
    let (token, new) = token::read_or_make(&path)?;
    // What is not a terminal may be kept, and a log is no place for it.
    if new && output::is_on_terminal() {
        output::line(format_args!("token, told this once: {token}"))?;
    }
    let told = format!("its token is in `{}`", path.display());
    let failed = |error: io::Error| CliError::new("failed to prepare the dashboard").because(error);
    let shutdown = rustix::event::eventfd(0, EventfdFlags::CLOEXEC);
    let dashboard = Dashboard {
        app: app.again()?,
        guard: Guard::new(token, &place.host, place.origin.as_deref()),
        limits: Limits::default(),
        state_hub: Arc::new(StateHub::new().map_err(failed)?),
        shutdown: Arc::new(shutdown.map_err(|errno| failed(errno.into()))?),
    };
    server::serve(Arc::new(dashboard), place, &told)?;
    output::message("the dashboard has ended");
    Ok(exit::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_and_authority_alone() {
        let origin = |text: &str| origin_of(text.to_owned()).map_err(|error| error.code());
        assert_eq!(origin("https://Hermes.example/").as_deref(), Ok("https://hermes.example"));
        assert_eq!(origin("http://box:8080").as_deref(), Ok("http://box:8080"));
        for wrong in ["", "hermes.example", "https://", "ftp://a", "https://a/b", "https://a/?b"] {
            assert_eq!(origin(wrong), Err(exit::CONFIG), "{wrong}");
        }
    }
}
