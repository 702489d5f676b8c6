//! HTTP requests and responses.

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::SOON;

/// A response with any status.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("invalid JSON: {error}: {self:?}"))
    }

    /// One of the headers.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request and reads the whole response, within [`SOON`].
///
/// # Panics
///
/// If no server answers.
#[track_caller]
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
    let response = begin(method, url, headers, body);
    let mut response = response.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    Answer {
        status: response.status().as_u16(),
        headers: headers.collect(),
        text: response.body_mut().read_to_string().expect("a body"),
    }
}

/// Sends a request and does not read the body.
pub(crate) fn begin(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Result<Response<Body>, ureq::Error> {
    let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(SOON));
    let agent: Agent = config.build().into();
    let sent = body.unwrap_or_default();
    match method {
        "GET" => with(agent.get(url), headers).call(),
        "POST" => with(agent.post(url), headers).send(sent),
        "PATCH" => with(agent.patch(url), headers).send(sent),
        "PUT" => with(agent.put(url), headers).send(sent),
        "DELETE" => with(agent.delete(url).force_send_body(), headers).send(sent),
        other => panic!("unknown method {other}"),
    }
}

fn with<T>(request: RequestBuilder<T>, headers: &[(&str, &str)]) -> RequestBuilder<T> {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}
