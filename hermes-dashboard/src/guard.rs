//! The checks of every request, and the security headers of every response.
//!
//! - **Host**: must be an IP address, `localhost`, the name that the server listens on, or the host of a
//!   configured origin. Any other name could be an attacker's that resolves to this host (DNS rebinding). The same
//!   holds for `X-Forwarded-Host`, the name that a reverse proxy was asked for: it can't allow what `Host` forbids.
//! - **Origin**: requests from pages of another origin are refused, and no response allows such a page to
//!   read it.
//! - **Token**: in `Authorization: Bearer`, for every path except the page itself and the exchange of a one-time code
//!   (see `sign_in`). A cookie would not do:
//!   browsers send it to all ports of a host, and other ports belong to the gateways.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hermes_gateway::connections::Connection;
use tokio::time::timeout;

use crate::answer::Refusal;
use crate::origin::Origin;
use crate::place::Place;
use crate::{page, token};

/// Only scripts, styles and responses of this server; nothing inline, and no frames.
const CONTENT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                       connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
/// Larger than any valid body.
const LARGEST_BODY: usize = 4 << 10;
/// How long a client may take for a body.
const BODY: Duration = Duration::from_secs(10);
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The path that exchanges a one-time code for the token.
pub(crate) const SIGN_IN: &str = "/api/v1/sign-in";
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Nothing: the page, which has no data.
    Page,
    /// A code in the body, which the handler checks.
    Code,
    /// The token.
    Token,
}

impl Access {
    fn to(path: &str) -> Self {
        match path {
            SIGN_IN => Self::Code,
            path if page::is_open(path) => Self::Page,
            _ => Self::Token,
        }
    }
}

/// The checks of every request.
pub(crate) struct Guard {
    token: String,
    host: String,
    origins: Vec<Origin>,
}

impl Guard {
    /// The checks for a server that listens at `place` and accepts `token`.
    pub(crate) fn new(token: String, place: &Place) -> Self {
        Self { token, host: place.host.clone(), origins: place.origins.clone() }
    }

    /// The refusal of a request that needs `access`; `None` if it is allowed.
    fn refusal(&self, headers: &HeaderMap, access: Access) -> Option<Refusal> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).filter(|host| self.is_ours(host));
        // Several proxies append to one list.
        let mut forwarded = headers.get_all(FORWARDED_HOST).iter();
        let is_ours = forwarded.all(|value| {
            value.to_str().is_ok_and(|hosts| hosts.split(',').all(|host| self.is_ours(host.trim())))
        });
        let Some(host) = host.filter(|_| is_ours) else {
            let refusal = Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                "this server does not serve the host in the Host or X-Forwarded-Host header",
            );
            let hint =
                "use the server's IP address, or start it with --origin and the URL in the browser";
            return Some(refusal.with_hint(hint));
        };
        if access == Access::Page {
            return None;
        }
        let is_own = |origin: &str| {
            origin == format!("http://{host}")
                || self.origins.iter().any(|ours| ours.is_in_header(origin))
        };
        let from_elsewhere = headers.contains_key(header::ORIGIN)
            && !text(header::ORIGIN).is_some_and(is_own)
            || text(HeaderName::from_static("sec-fetch-site"))
                .is_some_and(|site| !["same-origin", "none"].contains(&site));
        if from_elsewhere {
            let refusal =
                Refusal::new(StatusCode::FORBIDDEN, "requests from other origins are refused");
            let hint = "behind a reverse proxy, start the dashboard with --origin and the URL in the browser";
            return Some(refusal.with_hint(hint));
        }
        if access == Access::Code {
            return None;
        }
        let bearer = text(header::AUTHORIZATION).and_then(|given| given.strip_prefix("Bearer "));
        if !bearer.is_some_and(|given| token::is_same(given, &self.token)) {
            let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong")
                .with_hint("it is in `dashboard.token` in the root home")
                .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(refusal);
        }
        None
    }

    /// Whether a `Host` header names this server.
    fn is_ours(&self, text: &str) -> bool {
        let Ok(authority) = text.parse::<Authority>() else { return false };
        let name = authority.host().to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_address = bare.parse::<Ipv4Addr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok();
        is_address
            || name == "localhost"
            || name == self.host.to_ascii_lowercase()
            || self.origins.iter().any(|origin| origin.has_host_of(&authority))
    }
}

/// The same request with its whole body.
async fn with_body(request: Request) -> Result<Request, Refusal> {
    let (head, body) = request.into_parts();
    match timeout(BODY, to_bytes(body, LARGEST_BODY)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(head, Body::from(bytes))),
        Ok(Err(error)) => {
            let refusal =
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "failed to read the request's body");
            Err(refusal.because(error))
        }
        Err(_) => {
            let seconds = BODY.as_secs();
            let message = format!("the request's body has not arrived within {seconds} s");
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

/// Runs an allowed request, or answers with its refusal.
pub(crate) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let access = Access::to(request.uri().path());
    let response = match guard.refusal(request.headers(), access) {
        Some(refusal) => refusal.into_response(),
        None => {
            let connection = request.extensions().get::<Connection>();
            if let Some(connection) = connection.filter(|_| access == Access::Token) {
                connection.trust();
            }
            match with_body(request).await {
                Ok(request) => next.run(request).await.into_response(),
                Err(refusal) => refusal.into_response(),
            }
        }
    };
    secured(response)
}

/// The same response with the security headers.
pub(crate) fn secured(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(token: &str, host: &str, origins: &[&str]) -> Guard {
        let origins = origins.iter().map(|origin| Origin::parse(origin).unwrap()).collect();
        Guard::new(token.to_owned(), &Place { host: host.to_owned(), port: 0, origins })
    }

    fn status(guard: &Guard, headers: &[(&'static str, &str)]) -> u16 {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let refusal = guard.refusal(&headers.collect(), Access::Token);
        refusal.map_or(200, |refusal| refusal.status().as_u16())
    }

    #[test]
    fn foreign_host_names_are_refused() {
        let guard =
            guard("t", "box", &["https://hermes.example:444", "http://other.example/hermes"]);
        for host in [
            "127.0.0.1:9119",
            "[::1]:9119",
            "localhost",
            "192.168.1.2",
            "BOX:9119",
            "hermes.example:444",
            "hermes.example",
            "other.example:9119",
        ] {
            assert_eq!(
                status(&guard, &[("host", host), ("authorization", "Bearer t")]),
                200,
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "hermes.example.evil.example:444",
            "",
            "a b",
        ] {
            assert_eq!(
                status(&guard, &[("host", host), ("authorization", "Bearer t")]),
                421,
                "{host}"
            );
        }
        assert_eq!(status(&guard, &[("authorization", "Bearer t")]), 421);
    }

    #[test]
    fn a_forwarded_host_allows_nothing_and_may_forbid() {
        let guard = guard("t", "127.0.0.1", &["https://hermes.example:8443/hermes"]);
        for (host, forwarded, expected) in [
            ("127.0.0.1:9119", "hermes.example:8443", 200),
            ("127.0.0.1:9119", "hermes.example, 127.0.0.1", 200),
            ("127.0.0.1:9119", "evil.example", 421),
            ("127.0.0.1:9119", "hermes.example, evil.example", 421),
            ("127.0.0.1:9119", "", 421),
            ("evil.example", "hermes.example", 421),
        ] {
            let headers =
                [("host", host), ("x-forwarded-host", forwarded), ("authorization", "Bearer t")];
            assert_eq!(status(&guard, &headers), expected, "{host} {forwarded}");
        }
    }

    #[test]
    fn only_its_own_origins_are_allowed() {
        let guard = guard("t", "127.0.0.1", &["https://hermes.example", "https://box:8443/hermes"]);
        let status_with = |name, value| {
            let own = [("host", "127.0.0.1:9119"), ("authorization", "Bearer t"), (name, value)];
            status(&guard, &own)
        };
        assert_eq!(status_with("origin", "http://127.0.0.1:9119"), 200);
        assert_eq!(status_with("origin", "https://hermes.example"), 200);
        assert_eq!(status_with("origin", "https://box:8443"), 200);
        assert_eq!(status_with("sec-fetch-site", "same-origin"), 200);
        for origin in [
            "http://127.0.0.1:8642",
            "http://localhost:9119",
            "null",
            "http://evil.example",
            "https://box",
        ] {
            assert_eq!(status_with("origin", origin), 403, "{origin}");
        }
        // Another port of the same host is the same site, but may be a gateway.
        for site in ["same-site", "cross-site"] {
            assert_eq!(status_with("sec-fetch-site", site), 403, "{site}");
        }
    }

    #[test]
    fn only_the_exact_token_is_accepted() {
        let guard = guard("secret", "127.0.0.1", &[]);
        let status_with = |given: Option<&str>| {
            let given = given.map(|given| ("authorization", given));
            status(&guard, &[("host", "localhost")].into_iter().chain(given).collect::<Vec<_>>())
        };
        assert_eq!(status_with(Some("Bearer secret")), 200);
        for wrong in
            ["Bearer secre", "Bearer secrets", "Bearer ", "secret", "Basic secret", "bearer secret"]
        {
            assert_eq!(status_with(Some(wrong)), 401, "{wrong}");
        }
        assert_eq!(status_with(None), 401);
    }
}
