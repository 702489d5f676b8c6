//! Gateways, profiles and errors as commands print them and the dashboard serves them.

use std::error::Error as _;

use hermes_core::driver::Class;
use hermes_core::error_chain::in_one_line;
use hermes_core::usage::{self, Usage};
use hermes_core::{Gateway, Intent, Proc, ProfileName, State, Status, Supervisor};
use jiff::Timestamp;
use serde::Serialize;

use crate::advice::advice;
use crate::error::Error;

/// A gateway's status, its assessment and its uptime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusView {
    /// The status.
    #[serde(flatten)]
    pub status: Status,
    /// [`Status::is_wanted`].
    pub wanted: bool,
    /// [`Status::is_healthy`].
    pub healthy: bool,
    /// [`Status::needs_attention`].
    pub attention: bool,
    /// What an operator does about it; none if nothing is wrong, or if waiting is all that helps.
    pub advice: Option<String>,
    /// The time since the start of the process, in seconds.
    pub uptime_seconds: Option<i64>,
    /// What the gateway uses, if it was measured: see [`StatusView::measure`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl StatusView {
    /// Measures what the gateways of `services` use that have a process here. Reads a few files of each of their processes,
    /// and none if those run elsewhere.
    pub fn measure<'a>(services: &Supervisor, views: impl Iterator<Item = &'a mut Self>) {
        if !services.driver().has_processes_here() {
            return;
        }
        let (views, pids): (Vec<_>, Vec<_>) =
            views.filter_map(|view| view.status.pid.map(|pid| (view, pid))).unzip();
        for (view, usage) in views.into_iter().zip(usage::of(&Proc::default(), pids)) {
            view.usage = usage;
        }
    }
}

impl From<Status> for StatusView {
    fn from(status: Status) -> Self {
        let since = status.since.filter(|_| status.pid.is_some());
        let uptime_seconds = since.map(|since| Timestamp::now().duration_since(since).as_secs());
        let (wanted, healthy) = (status.is_wanted(), status.is_healthy());
        let (attention, advice) = (status.needs_attention(), advice(&status));
        Self { status, wanted, healthy, attention, advice, uptime_seconds, usage: None }
    }
}

/// A profile, with its port, its intent and the state of its gateway.
#[derive(Debug, Clone, Serialize)]
pub struct ProfileView {
    /// Its name.
    pub profile: ProfileName,
    /// Its home.
    pub home: String,
    /// Whether it is the default profile of commands.
    pub chosen: bool,
    /// The port of its gateway.
    pub port: Option<u16>,
    /// The intent of its gateway.
    pub intent: Option<Intent>,
    /// The state of its gateway, if a supervisor answers.
    pub state: Option<State>,
    /// What is wrong with its configuration or its intent.
    pub problem: Option<String>,
}

impl ProfileView {
    /// The view of the profile of `gateway`. `status` is its status, if known; `chosen` is the default profile
    /// of commands.
    pub fn new(gateway: &Gateway, status: Option<&Status>, chosen: &ProfileName) -> Self {
        // The status has a port only if the configuration could be read.
        let (port, wrong_config) = match status.and_then(|status| status.port) {
            Some(port) => (Some(port), None),
            None => match gateway.port() {
                Ok(port) => (port, None),
                Err(error) => (None, Some(error.to_string())),
            },
        };
        // A status without an intent does not have the reason.
        let known = status.and_then(|status| status.intent);
        let (intent, wrong_intent) = match known.map_or_else(|| Intent::read(gateway.home()), Ok) {
            Ok(intent) => (Some(intent), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            profile: gateway.name().clone(),
            home: gateway.home().path().display().to_string(),
            chosen: gateway.name() == chosen,
            port,
            intent,
            state: status.map(|status| status.state),
            problem: wrong_config.or(wrong_intent),
        }
    }
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorView {
    /// The profile, in a response about several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// What failed.
    pub error: String,
    /// The causes, outermost first.
    pub causes: Vec<String>,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// The exit code of a command that fails with it.
    pub code: u8,
}

impl From<Error> for ErrorView {
    fn from(error: Error) -> Self {
        Self {
            profile: None,
            error: error.to_string(),
            causes: error.source().map(in_one_line).into_iter().collect(),
            hint: error.hint(),
            code: code(&error.class()),
        }
    }
}

/// The exit code of a command that fails with an error of this class.
pub fn code(class: &Class) -> u8 {
    match class {
        Class::Usage => 2,
        Class::NoSuchProfile(_) => 4,
        Class::Unreachable | Class::Denied => 5,
        Class::TimedOut(_) => 6,
        _ => 1,
    }
}
