//! The API: reading and acting, as the JSON that commands print with `--json`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hermes::Hermes;
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

use crate::answer::{Answer, Refusal, json};
use crate::follow;
use crate::gateway_view::{self, GatewayView};
use crate::limits::{Action, Refused};
use crate::shared::Shared;
use crate::sse::{self, ALIVE, HEARTBEAT};

/// The description of the API, for programs.
pub(crate) const OPENAPI: &str = include_str!("assets/openapi.json");

/// How many lines of a log are served if the request names no number, and at most.
const LINES: usize = 500;
const MOST_LINES: usize = 10_000;

type SharedState = State<Arc<Shared>>;

fn named(name: &str) -> Result<ProfileName, Refusal> {
    Ok(name.parse().map_err(hermes::Error::Name)?)
}

fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::invalid("the request makes no sense").because(error))
}

/// What every other path answers.
pub(crate) async fn nothing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address")
}

/// The description of the API.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// All gateways.
pub(crate) async fn list(State(shared): SharedState) -> Answer {
    let _place = shared.limits.to_read().await;
    let all = shared.blocking(|hermes| gateway_view::all(&hermes.reachable()?)).await?;
    let all: Vec<_> = all.into_iter().map(|(_, gateway_view)| gateway_view).collect();
    Ok(json(StatusCode::OK, &all))
}

/// One of them.
pub(crate) async fn show(State(shared): SharedState, Path(name): Path<String>) -> Answer {
    let name = named(&name)?;
    let _place = shared.limits.to_read().await;
    let gateway_view = shared.blocking(move |hermes| {
        hermes.store().get(&name)?;
        Ok(GatewayView::of(&hermes.reachable()?, &name))
    });
    Ok(json(StatusCode::OK, &gateway_view.await?))
}

/// All gateways, and then each that changes.
pub(crate) async fn events(State(shared): SharedState) -> Answer {
    let place = shared.limits.to_listen().ok_or_else(too_many_listeners)?;
    let (first, feed) = shared.state_hub.listen();
    let begun = (shared, first, feed, place);
    let stream = stream::unfold(begun, |(shared, mut first, mut feed, place)| async move {
        let news = match first.take() {
            Some(first) => first,
            None => match tokio::time::timeout(HEARTBEAT, feed.recv()).await {
                Err(_) => ALIVE,
                Ok(Ok(news)) => news,
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(_))) => {
                    let (all, anew) = shared.state_hub.again();
                    feed = anew;
                    all
                }
            },
        };
        Some((Ok::<_, std::io::Error>(news), (shared, None, feed, place)))
    });
    Ok(sse::response(Body::from_stream(stream)))
}

fn too_many_listeners() -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many listen already")
}

/// The last lines of a gateway's log; with `follow`, those to come, too.
pub(crate) async fn log(
    State(shared): SharedState,
    Path(name): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
) -> Answer {
    let name = named(&name)?;
    let last = match asked.get("lines").map(|lines| lines.parse::<usize>()) {
        None => LINES,
        Some(Ok(lines)) => lines.min(MOST_LINES),
        Some(Err(error)) => return Err(Refusal::invalid("`lines` is no number").because(error)),
    };
    let there = name.clone();
    shared.blocking(move |hermes| Ok(hermes.store().get(&there).map(drop)?)).await?;
    let profiles = [name.clone()];
    if asked.contains_key("follow") {
        let place = shared.limits.to_follow().ok_or_else(too_many_listeners)?;
        let log = shared
            .blocking(move |hermes| Ok(hermes.with_logs(|logs| logs.follow(&profiles, last))?))
            .await?;
        return Ok(sse::response(follow::body(name, log, shared.shutdown.clone(), place)));
    }
    let _place = shared.limits.to_read().await;
    let lines = shared.blocking(move |hermes| {
        let zone = TimeZone::system();
        let lines = hermes.with_logs(|logs| logs.read(&profiles, Some(last)))?;
        let lines = lines.map(|line| line.map(|(_, line)| line::to_json(&name, &line, &zone)));
        Ok(lines.collect::<Result<Vec<_>, _>>()?)
    });
    Ok(json(StatusCode::OK, &lines.await?))
}

/// Starts a gateway, and answers once it is ready.
pub(crate) async fn start(state: SharedState, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.start(name)).await
}

/// Stops a gateway.
pub(crate) async fn stop(state: SharedState, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.stop(name)).await
}

/// Stops one and starts it again.
pub(crate) async fn restart(state: SharedState, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.restart(name)).await
}

async fn change(
    State(shared): SharedState,
    Path(name): Path<String>,
    change: fn(&Supervisor, &ProfileName) -> Result<Status, ManagerError>,
) -> Answer {
    let name = named(&name)?;
    act(&shared, &name.clone(), StatusCode::OK, move |hermes| {
        let status = change(&hermes.reachable()?, &name)?;
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
pub(crate) async fn create(State(shared): SharedState, bytes: Bytes) -> Answer {
    let New { name, port, start } = body(&bytes)?;
    let name = named(&name)?;
    if port == Some(0) {
        return Err(Refusal::invalid("0 is no port"));
    }
    act(&shared, &name.clone(), StatusCode::CREATED, move |hermes| {
        let supervisor = hermes.supervisor()?;
        let (profile, service) = supervisor.create_profile(&name, port, start)?;
        if start && service == NewService::Registered {
            supervisor.start(&name)?;
        }
        let status = supervisor.status(&name).ok();
        Ok(ProfileView::new(&profile, status.as_ref(), &hermes.profile()?))
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
pub(crate) async fn remove(
    State(shared): SharedState,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    let name = named(&name)?;
    let Removal { confirm, keep_logs } = body(&bytes)?;
    if confirm != name.as_str() {
        return Err(Refusal::invalid(format!("nothing was deleted: that is not `{name}`")));
    }
    act(&shared, &name.clone(), StatusCode::OK, move |hermes| {
        hermes.supervisor()?.delete_profile(&name, keep_logs)?;
        Ok(serde_json::json!({ "profile": name, "deleted": true }))
    })
    .await
}

/// Does what changes a profile, within the limits, and answers with its outcome.
async fn act<T: Serialize + Send + 'static>(
    shared: &Arc<Shared>,
    name: &ProfileName,
    done: StatusCode,
    work: impl FnOnce(&Hermes) -> Result<T, hermes::Error> + Send + 'static,
) -> Answer {
    let action = shared.limits.begin(name).map_err(|refused| not_now(name, &refused))?;
    let place = shared.limits.to_act().await;
    let watched = shared.clone();
    let result = shared.blocking(move |hermes| {
        let ends: (Action, _) = (action, place);
        let result = work(hermes);
        drop(ends);
        // No backend announces everything that an action changes.
        watched.state_hub.wake();
        result
    });
    Ok(json(done, &result.await?))
}

fn not_now(name: &ProfileName, refused: &Refused) -> Refusal {
    match refused {
        Refused::Busy => {
            let message = format!("something is being done to `{name}` already");
            Refusal::new(StatusCode::CONFLICT, message)
        }
        Refused::TooMany(wait) => {
            let seconds = wait.as_secs() + 1;
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too much was asked for at once")
                .with_hint(format!("ask again in {seconds} s"))
                .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
        }
    }
}
