//! Reading and acting, as JSON: what the commands print with `--json`, and their errors.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hermes::view::{ProfileView, StatusView};
use hermes_core::log::line;
use hermes_core::manager::ManagerError;
use hermes_core::status::Status;
use hermes_core::supervisor::NewService;
use hermes_core::{ProfileName, ServiceManager, Supervisor};
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::gateway_view::{self, GatewayView};
use super::limits::{Action, Refused};
use super::server::{ALIVE, HEARTBEAT};
use super::{Dashboard, follow};
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// What is here, for programs.
pub(super) const OPENAPI: &str = include_str!("assets/openapi.json");

/// How many lines of a log are told where nobody says how many, and at most.
const LINES: usize = 500;
const MOST_LINES: usize = 10_000;

type Shared = State<Arc<Dashboard>>;

/// An answer, or why there is none.
type Answer = Result<Response, Refusal>;

/// A refusal, with the status that it is told by.
pub(super) struct Refusal(StatusCode, CliError);

impl From<CliError> for Refusal {
    fn from(error: CliError) -> Self {
        let status = match error.code() {
            exit::USAGE => StatusCode::BAD_REQUEST,
            exit::NOT_FOUND => StatusCode::NOT_FOUND,
            exit::OUT_OF_REACH => StatusCode::SERVICE_UNAVAILABLE,
            exit::OUT_OF_TIME => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::CONFLICT,
        };
        Self(status, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refusal(self.0, &self.1)
    }
}

/// An error as an answer.
pub(super) fn refusal(status: StatusCode, error: &CliError) -> Response {
    json(status, &output::as_json(error))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn named(name: &str) -> Result<ProfileName, Refusal> {
    let wrong = |error| CliError::of(error).with_code(exit::USAGE);
    name.parse().map_err(|error| Refusal::from(wrong(error)))
}

fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        CliError::new("the request makes no sense").because(error).with_code(exit::USAGE).into()
    })
}

/// Nothing is there.
pub(super) async fn nothing() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, CliError::new("there is nothing at this address"))
}

/// The description of all this.
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// All gateways.
pub(super) async fn list(State(dashboard): Shared) -> Answer {
    let _place = dashboard.limits.to_read().await;
    let all = dashboard.blocking(|app| gateway_view::all(app, &app.reachable()?)).await?;
    let all: Vec<_> = all.into_iter().map(|(_, gateway_view)| gateway_view).collect();
    Ok(json(StatusCode::OK, &all))
}

/// One of them.
pub(super) async fn show(State(dashboard): Shared, Path(name): Path<String>) -> Answer {
    let name = named(&name)?;
    let _place = dashboard.limits.to_read().await;
    let gateway_view = dashboard.blocking(move |app| {
        app.store().get(&name)?;
        Ok(GatewayView::of(&app.reachable()?, &name))
    });
    Ok(json(StatusCode::OK, &gateway_view.await?))
}

/// All gateways, and then each that changes.
pub(super) async fn events(State(dashboard): Shared) -> Answer {
    let place = dashboard.limits.to_listen().ok_or_else(too_many_listeners)?;
    let (first, feed) = dashboard.state_hub.listen();
    let begun = (dashboard, first, feed, place);
    let stream = stream::unfold(begun, |(dashboard, mut first, mut feed, place)| async move {
        let news = match first.take() {
            Some(first) => first,
            None => match tokio::time::timeout(HEARTBEAT, feed.recv()).await {
                Err(_) => ALIVE,
                Ok(Ok(news)) => news,
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(_))) => {
                    let (all, anew) = dashboard.state_hub.again();
                    feed = anew;
                    all
                }
            },
        };
        Some((Ok::<_, std::io::Error>(news), (dashboard, None, feed, place)))
    });
    Ok(streamed(Body::from_stream(stream)))
}

fn streamed(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn too_many_listeners() -> Refusal {
    Refusal(StatusCode::TOO_MANY_REQUESTS, CliError::new("too many listen already"))
}

/// What a gateway said; with `follow`, what it goes on to say, too.
pub(super) async fn log(
    State(dashboard): Shared,
    Path(name): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
) -> Answer {
    let name = named(&name)?;
    let last = match asked.get("lines").map(|lines| lines.parse::<usize>()) {
        None => LINES,
        Some(Ok(lines)) => lines.min(MOST_LINES),
        Some(Err(error)) => {
            let error = CliError::new("`lines` is no number").because(error);
            return Err(error.with_code(exit::USAGE).into());
        }
    };
    let there = name.clone();
    dashboard.blocking(move |app| Ok(app.store().get(&there).map(drop)?)).await?;
    let profiles = [name.clone()];
    if asked.contains_key("follow") {
        let place = dashboard.limits.to_follow().ok_or_else(too_many_listeners)?;
        let followed = dashboard
            .blocking(move |app| Ok(app.hermes.with_logs(|logs| logs.follow(&profiles, last))?))
            .await?;
        return Ok(streamed(follow::body(name, followed, dashboard.shutdown.clone(), place)));
    }
    let _place = dashboard.limits.to_read().await;
    let lines = dashboard.blocking(move |app| {
        let zone = TimeZone::system();
        let lines = app.hermes.with_logs(|logs| logs.read(&profiles, Some(last)))?;
        let lines = lines.map(|line| line.map(|(_, line)| line::to_json(&name, &line, &zone)));
        Ok(lines.collect::<Result<Vec<_>, _>>()?)
    });
    Ok(json(StatusCode::OK, &lines.await?))
}

/// Starts a gateway, and answers when that was seen.
pub(super) async fn start(state: Shared, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.start(name)).await
}

/// Stops one.
pub(super) async fn stop(state: Shared, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.stop(name)).await
}

/// Stops one and starts it again.
pub(super) async fn restart(state: Shared, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.restart(name)).await
}

async fn change(
    State(dashboard): Shared,
    Path(name): Path<String>,
    change: fn(&Supervisor, &ProfileName) -> Result<Status, ManagerError>,
) -> Answer {
    let name = named(&name)?;
    act(&dashboard, &name.clone(), StatusCode::OK, move |app| {
        let status = change(&app.reachable()?, &name)?;
        Ok(StatusView::from(status))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    port: Option<u16>,
    #[serde(default)]
    start: bool,
}

/// Makes a profile, and starts its gateway if that was asked for.
pub(super) async fn create(State(dashboard): Shared, bytes: Bytes) -> Answer {
    let New { name, port, start } = body(&bytes)?;
    let name = named(&name)?;
    if port == Some(0) {
        return Err(CliError::new("0 is no port").with_code(exit::USAGE).into());
    }
    act(&dashboard, &name.clone(), StatusCode::CREATED, move |app| {
        let supervisor = app.supervisor()?;
        let (profile, service) = supervisor.create_profile(&name, port, start)?;
        if start && service == NewService::Registered {
            supervisor.start(&name)?;
        }
        let status = supervisor.status(&name).ok();
        Ok(ProfileView::new(&profile, status.as_ref(), &app.profile()?))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    confirm: String,
    #[serde(default)]
    keep_logs: bool,
}

/// Removes a profile with all that is in it, if its name is given once more.
pub(super) async fn remove(
    State(dashboard): Shared,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    let name = named(&name)?;
    let Removal { confirm, keep_logs } = body(&bytes)?;
    if confirm != name.as_str() {
        let error = CliError::new(format!("nothing was deleted: that is not `{name}`"));
        return Err(error.with_code(exit::USAGE).into());
    }
    act(&dashboard, &name.clone(), StatusCode::OK, move |app| {
        app.supervisor()?.delete_profile(&name, keep_logs)?;
        Ok(serde_json::json!({ "profile": name, "deleted": true }))
    })
    .await
}

/// Does what changes a profile, within the limits, and answers what came of it.
async fn act<T: Serialize + Send + 'static>(
    dashboard: &Arc<Dashboard>,
    name: &ProfileName,
    done: StatusCode,
    work: impl FnOnce(&App) -> Result<T, CliError> + Send + 'static,
) -> Answer {
    let action = match dashboard.limits.begin(name) {
        Ok(action) => action,
        Err(refused) => return Ok(not_now(name, &refused)),
    };
    let place = dashboard.limits.to_act().await;
    let told = dashboard.clone();
    let result = dashboard.blocking(move |app| {
        let ends: (Action, _) = (action, place);
        let result = work(app);
        drop(ends);
        // Not everything that an action changes is told by itself.
        told.state_hub.wake();
        result
    });
    Ok(json(done, &result.await?))
}

fn not_now(name: &ProfileName, refused: &Refused) -> Response {
    match refused {
        Refused::Busy => {
            let error = CliError::new(format!("something is being done to `{name}` already"));
            refusal(StatusCode::CONFLICT, &error)
        }
        Refused::TooMany(wait) => {
            let seconds = wait.as_secs() + 1;
            let error = CliError::new("too much was asked for at once")
                .with_hint(format!("ask again in {seconds} s"));
            let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, &error);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
    }
}
