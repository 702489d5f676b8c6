//! What commands print and the dashboard serves of a gateway and of a profile.

use hermes_core::store::Profile;
use hermes_core::{Gateway, Intent, ProfileName, State, Status};
use jiff::Timestamp;
use serde::Serialize;

/// A gateway's status, with how long its process has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusView {
    /// The status.
    #[serde(flatten)]
    pub status: Status,
    /// For how long the process has run, in seconds.
    pub uptime_seconds: Option<i64>,
}

impl From<Status> for StatusView {
    fn from(status: Status) -> Self {
        let since = status.since.filter(|_| status.pid.is_some());
        let uptime_seconds = since.map(|since| Timestamp::now().duration_since(since).as_secs());
        Self { status, uptime_seconds }
    }
}

/// A profile, with its port, its intent and the state of its gateway.
#[derive(Debug, Clone, Serialize)]
pub struct ProfileView {
    /// Its name.
    pub profile: ProfileName,
    /// Its home.
    pub home: String,
    /// Whether commands that name no profile mean it.
    pub chosen: bool,
    /// The port of its gateway.
    pub port: Option<u16>,
    /// What the operator wants of its gateway.
    pub intent: Option<Intent>,
    /// The state of its gateway, if a supervisor answers.
    pub state: Option<State>,
    /// What is wrong with its configuration or its intent.
    pub problem: Option<String>,
}

impl ProfileView {
    /// The profile now, of which `status` is known. `chosen` is the profile that commands mean which name
    /// none.
    pub fn new(profile: &Profile, status: Option<&Status>, chosen: &ProfileName) -> Self {
        // The status has a port only if the configuration could be read.
        let (port, wrong_config) = match status.and_then(|status| status.port) {
            Some(port) => (Some(port), None),
            None => match Gateway::new(profile.clone()).port() {
                Ok(port) => (port, None),
                Err(error) => (None, Some(error.to_string())),
            },
        };
        // Where the status has no intent, the reason is reported here.
        let known = status.and_then(|status| status.intent);
        let (intent, wrong_intent) = match known.map_or_else(|| Intent::read(&profile.home), Ok) {
            Ok(intent) => (Some(intent), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            profile: profile.name.clone(),
            home: profile.home.path().display().to_string(),
            chosen: profile.name == *chosen,
            port,
            intent,
            state: status.map(|status| status.state),
            problem: wrong_config.or(wrong_intent),
        }
    }
}
