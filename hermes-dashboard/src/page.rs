//! The page and its assets: static files without user data, served without the token.

use axum::Router;
use axum::http::header;
use axum::routing::get;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The path of an asset, its media type and its text.
type Asset = (&'static str, &'static str, &'static str);

const ASSETS: [Asset; 12] = [
    ("/", "text/html; charset=utf-8", include_str!("assets/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("/theme.js", SCRIPT, include_str!("assets/theme.js")),
    ("/main.js", SCRIPT, include_str!("assets/main.js")),
    ("/server.js", SCRIPT, include_str!("assets/server.js")),
    ("/table.js", SCRIPT, include_str!("assets/table.js")),
    ("/log.js", SCRIPT, include_str!("assets/log.js")),
    ("/usage.js", SCRIPT, include_str!("assets/usage.js")),
    ("/history.js", SCRIPT, include_str!("assets/history.js")),
    ("/dialogs.js", SCRIPT, include_str!("assets/dialogs.js")),
    ("/words.js", SCRIPT, include_str!("assets/words.js")),
];

/// Whether `path` is served without the token.
pub(crate) fn is_open(path: &str) -> bool {
    ASSETS.iter().any(|(asset, ..)| *asset == path)
}

/// Routes of the assets.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, get(move || async move { ([(header::CONTENT_TYPE, kind)], text) }))
    })
}
