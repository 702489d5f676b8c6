//! The lines of a file that an error is about, each with a caret below the part that is wrong.

use std::error::Error;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use hermes_core::config::{ConfigError, Quote};
use hermes_core::error_chain::chain;
use hermes_core::store::StoreError;

/// The lines that `error` is about, if it or one of its causes is that of a configuration.
pub(crate) fn quotes(error: &(dyn Error + 'static)) -> Vec<Quote> {
    let of_config = chain(error).find_map(|cause| match cause.downcast_ref::<StoreError>() {
        // It stands for its cause, which is not in the chain then.
        Some(StoreError::Config(error)) => Some(error),
        _ => cause.downcast_ref::<ConfigError>(),
    });
    of_config.map(ConfigError::quotes).unwrap_or_default()
}

/// The lines to print for `quotes`, with styles.
pub(crate) fn quoted(quotes: &[Quote]) -> String {
    let paths: Vec<_> = quotes.iter().map(|quote| quote.path.to_string_lossy()).collect();
    let snippets = quotes.iter().zip(&paths).map(|(quote, path)| {
        Snippet::source(&quote.text)
            .line_start(quote.line)
            .path(path.as_ref())
            .annotation(AnnotationKind::Primary.span(quote.span.clone()))
    });
    match quotes {
        [] => String::new(),
        _ => Renderer::styled().render(&[Group::with_level(Level::ERROR).elements(snippets)]),
    }
}
