//! The HTTP API: reads and changes gateways. Its JSON is that of commands with `--json`.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hermes::Hermes;
use hermes::view::{ProfileView, StatusView};
use hermes_core::events::{Follow, Journal};
use hermes_core::log::Selection;
use hermes_core::manager::ManagerError;
use hermes_core::status::Status;
use hermes_core::supervisor::NewService;
use hermes_core::{Gateway, ProfileName, ServiceManager, Supervisor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use crate::answer::{Answer, Refusal, json};
use crate::follow;
use crate::gateway_view::{self, GatewayView};
use crate::limits::{Action, Refused};
use crate::shared::Shared;
use crate::sse::{self, ALIVE, HEARTBEAT};

/// The OpenAPI description.
pub(crate) const OPENAPI: &str = include_str!("assets/openapi.json");

/// The lines of a log, or the events, that are served by default, and at most.
const DEFAULT_LINES: usize = 500;
const MAX_LINES: usize = 10_000;

/// The parameter that adds `usage` to gateways, as the option of `hermes gateway status`.
const WIDE: &str = "wide";

type SharedState = State<Arc<Shared>>;

fn parse_name(name: &str) -> Result<ProfileName, Refusal> {
    Ok(name.parse().map_err(hermes::Error::Name)?)
}

fn parse_lines(query: &HashMap<String, String>) -> Result<usize, Refusal> {
    match query.get("lines").map(|lines| lines.parse::<usize>()) {
        None => Ok(DEFAULT_LINES),
        Some(Ok(lines)) => Ok(lines.min(MAX_LINES)),
        Some(Err(error)) => Err(Refusal::invalid("`lines` is not a number").because(error)),
    }
}

fn parse_body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::invalid("invalid request body").because(error))
}

/// Answers every other path.
pub(crate) async fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no such path")
}

/// Answers with the OpenAPI description.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// Answers with the status of all gateways; with `wide`, also with what each uses.
pub(crate) async fn list(
    State(shared): SharedState,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let _place = shared.limits.to_read().await;
    let read =
        if query.contains_key(WIDE) { gateway_view::all_measured } else { gateway_view::all };
    let this = shared.clone();
    let all = shared.blocking(move |hermes| read(&hermes.reachable()?, &this.deaths)).await?;
    let all: Vec<_> = all.into_iter().map(|(_, gateway_view)| gateway_view).collect();
    Ok(json(StatusCode::OK, &all))
}

/// Answers with the status of one gateway; with `wide`, also with what it uses.
pub(crate) async fn show(
    State(shared): SharedState,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let name = parse_name(&name)?;
    let _place = shared.limits.to_read().await;
    let wide = query.contains_key(WIDE);
    let this = shared.clone();
    let gateway_view = shared.blocking(move |hermes| {
        hermes.store().get(&name)?;
        let services = hermes.reachable()?;
        let gateway_view = GatewayView::of(&services, &this.deaths, &name);
        let measured = |view: GatewayView| view.measured(&services);
        Ok(if wide { gateway_view.map(measured) } else { gateway_view })
    });
    Ok(json(StatusCode::OK, &gateway_view.await?))
}

/// Streams the status of all gateways, then of each gateway that changes.
pub(crate) async fn events(State(shared): SharedState) -> Answer {
    let place = shared.limits.to_listen().ok_or_else(too_many_listeners)?;
    let (first, feed) = shared.state_hub.listen();
    let state = (shared, first, feed, place);
    let stream = stream::unfold(state, |(shared, mut first, mut feed, place)| async move {
        let event = match first.take() {
            Some(first) => first,
            None => match tokio::time::timeout(HEARTBEAT, feed.recv()).await {
                Err(_) => ALIVE,
                Ok(Ok(event)) => event,
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(_))) => {
                    let (snapshot, new_feed) = shared.state_hub.listen_again();
                    feed = new_feed;
                    snapshot
                }
            },
        };
        Some((Ok::<_, std::io::Error>(event), (shared, None, feed, place)))
    });
    Ok(sse::response(Body::from_stream(stream)))
}

fn too_many_listeners() -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many listeners")
}

/// Answers with the last lines of a gateway's log; with `follow`, streams them and new lines.
pub(crate) async fn log(
    State(shared): SharedState,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let name = parse_name(&name)?;
    let last = parse_lines(&query)?;
    let profile = name.clone();
    shared.blocking(move |hermes| Ok(hermes.store().get(&profile).map(drop)?)).await?;
    let profiles = [name.clone()];
    if query.contains_key("follow") {
        let place = shared.limits.to_follow().ok_or_else(too_many_listeners)?;
        let log = shared
            .blocking(move |hermes| {
                Ok(hermes.with_logs(|logs| logs.follow(&profiles, &Selection::last(last)))?)
            })
            .await?;
        return Ok(sse::response(follow::body(follow::Log { name, log }, shared, place)));
    }
    let _place = shared.limits.to_read().await;
    let lines = shared.blocking(move |hermes| {
        let lines = hermes.with_logs(|logs| logs.read(&profiles, &Selection::last(last)))?;
        let lines = lines.map(|line| line.map(|(_, line)| line.to_json(&name)));
        Ok(lines.collect::<Result<Vec<_>, _>>()?)
    });
    Ok(json(StatusCode::OK, &lines.await?))
}

/// Answers with the last events of the journal; with `follow`, streams them and new events.
pub(crate) async fn journal(
    State(shared): SharedState,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let last = parse_lines(&query)?;
    let profile = query.get("profile").map(|name| parse_name(name)).transpose()?;
    let read = move |hermes: &Hermes| {
        let journal = Journal::new(hermes.root());
        let mut follow = Follow::new(journal, profile.into_iter().collect());
        Ok((follow.former(last), follow))
    };
    let unreadable = |error: io::Error| {
        let message = "failed to read the journal of events";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message).because(error)
    };
    if query.contains_key("follow") {
        let place = shared.limits.to_follow().ok_or_else(too_many_listeners)?;
        let (former, follow) = shared.blocking(read).await?;
        let source = follow::Journal { former: former.map_err(unreadable)?, follow };
        return Ok(sse::response(follow::body(source, shared, place)));
    }
    let _place = shared.limits.to_read().await;
    let (former, _) = shared.blocking(read).await?;
    Ok(json(StatusCode::OK, &former.map_err(unreadable)?))
}

/// Starts a gateway and answers once it is ready.
pub(crate) async fn start(state: SharedState, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.start(name)).await
}

/// Stops a gateway and answers once it is down.
pub(crate) async fn stop(state: SharedState, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.stop(name)).await
}

/// Restarts a gateway and answers once it is ready.
pub(crate) async fn restart(state: SharedState, name: Path<String>) -> Answer {
    change(state, name, |services, name| services.restart(name)).await
}

async fn change(
    State(shared): SharedState,
    Path(name): Path<String>,
    change: fn(&Supervisor, &ProfileName) -> Result<Status, ManagerError>,
) -> Answer {
    let name = parse_name(&name)?;
    act(&shared, &name.clone(), StatusCode::OK, move |hermes| {
        let status = change(&hermes.reachable()?, &name)?;
        Ok(StatusView::from(status))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

/// Answers with the token, if the code is the one of `hermes dashboard --open`.
pub(crate) async fn sign_in(State(shared): SharedState, bytes: Bytes) -> Answer {
    let Code { code } = parse_body(&bytes)?;
    let token = shared.sign_in.redeem(&code).ok_or_else(|| {
        Refusal::new(StatusCode::UNAUTHORIZED, "the code was used before, or is too old")
            .with_hint("enter the token, or start `hermes dashboard --open` again")
    })?;
    Ok(json(StatusCode::OK, &serde_json::json!({ "token": token })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    port: Option<u16>,
    #[serde(default)]
    start: bool,
}

/// Creates a profile, and starts its gateway if requested.
pub(crate) async fn create(State(shared): SharedState, bytes: Bytes) -> Answer {
    let New { name, port, start } = parse_body(&bytes)?;
    let name = parse_name(&name)?;
    if port == Some(0) {
        return Err(Refusal::invalid("invalid port 0"));
    }
    act(&shared, &name.clone(), StatusCode::CREATED, move |hermes| {
        let supervisor = hermes.supervisor()?;
        let (profile, service) = supervisor.create_profile(&name, port, start, None)?;
        if start && service == NewService::Registered {
            supervisor.start(&name)?;
        }
        let gateway = Gateway::new(profile);
        let status = supervisor.observe(&gateway).ok();
        Ok(ProfileView::new(&gateway, status.as_ref(), &hermes.profile()?))
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

/// Deletes a profile with all its files, if `confirm` is its name.
pub(crate) async fn remove(
    State(shared): SharedState,
    Path(name): Path<String>,
    bytes: Bytes,
) -> Answer {
    let name = parse_name(&name)?;
    let Removal { confirm, keep_logs } = parse_body(&bytes)?;
    if confirm != name.as_str() {
        return Err(Refusal::invalid(format!("nothing was deleted: `confirm` is not `{name}`")));
    }
    act(&shared, &name.clone(), StatusCode::OK, move |hermes| {
        hermes.supervisor()?.delete_profile(&name, keep_logs)?;
        Ok(serde_json::json!({ "profile": name, "deleted": true }))
    })
    .await
}

/// Runs an action on a profile within the limits, and answers with its result.
async fn act<T: Serialize + Send + 'static>(
    shared: &Arc<Shared>,
    name: &ProfileName,
    done: StatusCode,
    work: impl FnOnce(&Hermes) -> Result<T, hermes::Error> + Send + 'static,
) -> Answer {
    let action = shared.limits.begin(name).map_err(|refused| refusal(name, &refused))?;
    let place = shared.limits.to_act().await;
    let hub = shared.clone();
    let result = shared.blocking(move |hermes| {
        let permits: (Action, _) = (action, place);
        let result = work(hermes);
        drop(permits);
        // No backend announces every change that an action makes.
        hub.state_hub.wake_up.wake();
        result
    });
    Ok(json(done, &result.await?))
}

fn refusal(name: &ProfileName, refused: &Refused) -> Refusal {
    match refused {
        Refused::Busy => {
            let message = format!("another action on `{name}` is in progress");
            Refusal::new(StatusCode::CONFLICT, message)
        }
        Refused::TooMany(wait) => {
            let seconds = wait.as_secs() + 1;
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests")
                .with_hint(format!("retry in {seconds} s"))
                .with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
        }
    }
}
