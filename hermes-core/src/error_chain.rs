//! The chain of causes behind an error.

use std::error::Error;
use std::io;

/// `error` and its causes, outermost first.
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| Error::source(*error))
}

/// `error` and its causes in one line. Omits a cause that only repeats the end of the line.
pub fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for text in chain(error).map(ToString::to_string) {
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// The hint for a permission that was denied.
pub const AS_OWNER: &str =
    "run it as the user who owns the home; `hermes doctor` names what is in the way";

/// Whether `error` or one of its causes is an I/O error of the kind `PermissionDenied`.
pub fn is_denied(error: &(dyn Error + 'static)) -> bool {
    chain(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to write")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_are_joined_without_repetition() {
        let denied = Outer(io::ErrorKind::PermissionDenied.into());
        assert_eq!(in_one_line(&denied), "failed to write: permission denied");
        assert!(is_denied(&denied));
        let repeated = Outer(io::Error::other("failed to write"));
        assert_eq!(in_one_line(&repeated), "failed to write");
        assert!(!is_denied(&repeated));
    }
}
