//! The base path of a reverse proxy: a proxy may remove it from the paths of requests, or leave it in place.
//!
//! All URLs in the page are relative, so that the page need not know it. Only its own must end with a slash.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::guard;

/// The same routes, also below each of the `bases`.
pub(crate) fn below(bases: Vec<String>, routes: Router) -> Router {
    if bases.is_empty() {
        return routes;
    }
    // The middleware of a router runs after its routing: a router around it has it run before that of `routes`.
    let layer = middleware::from_fn_with_state(Arc::new(bases), remove);
    Router::new().fallback_service(routes).layer(layer)
}

async fn remove(
    State(bases): State<Arc<Vec<String>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if let Some(base) = bases.iter().find(|base| *base == path) {
        // Relative, since another proxy may have removed a path before this one.
        let page = format!("{}/", base.rsplit('/').next().unwrap_or_default());
        let response = (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, page)]);
        return guard::secured(response.into_response());
    }
    let rest = bases.iter().find_map(|base| rest(request.uri(), base));
    if let Some(rest) = rest {
        *request.uri_mut() = Uri::from(rest);
    }
    next.run(request).await
}

/// The path and query without `base`; `None` if the path does not begin with it.
fn rest(uri: &Uri, base: &str) -> Option<PathAndQuery> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(base)?;
    rest.starts_with('/').then(|| rest.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_are_removed_once() {
        for (given, expected) in [
            ("/hermes/", Some("/")),
            ("/hermes/api/v1/gateways?wide", Some("/api/v1/gateways?wide")),
            ("/hermes/hermes/x", Some("/hermes/x")),
            ("/hermes2/", None),
            ("/hermes", None),
            ("/", None),
        ] {
            let uri: Uri = given.parse().unwrap();
            let rest = rest(&uri, "/hermes");
            assert_eq!(rest.as_ref().map(PathAndQuery::as_str), expected, "{given}");
        }
    }
}
