//! The tests that report that they did not run.
//!
//! libtest has no such result. A test that needs root, and runs as another user, prints `not run: NAME: needs root` to
//! standard error, past libtest's capture, and returns.

/// A test that did not run, and why.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NotRun {
    name: String,
    reason: String,
}

impl NotRun {
    /// Those that the output of a test program reports.
    pub(crate) fn all_in(output: &str) -> impl Iterator<Item = Self> {
        output.lines().filter_map(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.trim_end().rsplit_once("not run: ")?;
        let (name, reason) = rest.split_once(": ")?;
        let is_one = !name.contains(' ') && reason.starts_with("needs ");
        is_one.then(|| Self { name: name.to_owned(), reason: reason.to_owned() })
    }
}

/// The tests as a list to print; none if all ran.
pub(crate) fn list(not_run: &[NotRun]) -> Option<String> {
    let head = match not_run.len() {
        0 => return None,
        1 => "not run: 1 test:".to_owned(),
        n => format!("not run: {n} tests:"),
    };
    let tests = not_run.iter().map(|test| format!("\n  {}: {}", test.name, test.reason));
    Some(head + &tests.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_among_other_output() {
        let output = "running 2 tests\n\
            not run: stray::of_another_user: needs root\n\
            warning: not run: two words: needs root\n\
            half a linenot run: crash::of_root: needs root\n\
            not run: it: was not needed";
        let found: Vec<_> = NotRun::all_in(output).collect();
        assert_eq!(
            list(&found).unwrap(),
            "not run: 2 tests:\n  stray::of_another_user: needs root\n  crash::of_root: needs root"
        );
        assert_eq!(
            list(&found[..1]).unwrap(),
            "not run: 1 test:\n  stray::of_another_user: needs root"
        );
        assert_eq!(list(&[]), None);
    }
}
