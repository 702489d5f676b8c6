//! Collects the tests that report that they did not run.
//!
//! libtest has no such result. A test that needs root, and runs as another user, prints `not run: NAME: needs root` to
//! standard error, past libtest's capture, and returns.

use std::io::{self, BufRead, BufReader, IsTerminal, PipeReader, Write};
use std::process::{Command, ExitStatus};
use std::thread;

use anyhow::{Result, anyhow};

/// Marks the end of the output. The pipe itself may stay open in a process that a test left behind.
const END: &[u8] = b"\0end of the output\n";

/// A test that did not run, and why.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NotRun {
    name: String,
    reason: String,
}

impl NotRun {
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.trim_end().rsplit_once("not run: ")?;
        let (name, reason) = rest.split_once(": ")?;
        let is_one = !name.contains(' ') && reason.starts_with("needs ");
        is_one.then(|| Self { name: name.to_owned(), reason: reason.to_owned() })
    }
}

/// Runs a command, passes on its standard error line by line, and returns the tests that did not run.
pub(crate) fn collect(command: &mut Command) -> Result<(ExitStatus, Vec<NotRun>)> {
    // cargo colours messages only if its standard error is a terminal, and here that is a pipe.
    if io::stderr().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    collect_to(command, io::stderr())
}

fn collect_to(
    command: &mut Command,
    to: impl Write + Send + 'static,
) -> Result<(ExitStatus, Vec<NotRun>)> {
    let (reader, mut writer) = io::pipe()?;
    let mut child = command.stderr(writer.try_clone()?).spawn()?;
    let reading = thread::spawn(move || pass_on(reader, to));
    let status = child.wait()?;
    writer.write_all(END)?;
    let not_run =
        reading.join().map_err(|_| anyhow!("the thread that reads the output panicked"))?;
    Ok((status, not_run?))
}

fn pass_on(reader: PipeReader, mut to: impl Write) -> io::Result<Vec<NotRun>> {
    let mut reader = BufReader::new(reader);
    let mut not_run = Vec::new();
    let mut line = Vec::new();
    let mut ended = false;
    while !ended && reader.read_until(b'\n', &mut line)? > 0 {
        ended = line.ends_with(END);
        let text = line.strip_suffix(END).unwrap_or(&line);
        to.write_all(text)?;
        not_run.extend(NotRun::parse(&String::from_utf8_lossy(text)));
        line.clear();
    }
    not_run.sort();
    not_run.dedup();
    Ok(not_run)
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

    fn read(text: &str) -> (String, Vec<NotRun>) {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        writer.write_all(END).unwrap();
        let mut passed_on = Vec::new();
        let not_run = pass_on(reader, &mut passed_on).unwrap();
        (String::from_utf8(passed_on).unwrap(), not_run)
    }

    /// What `cargo test` prints on standard error, with two tests that need root.
    const OUTPUT: &str = "    Finished `test` profile\n     Running tests/stray.rs (target/debug/x)\n\
        not run: stray::of_another_user: needs root\n\
        warning: not run: two words: needs root\n\
        half a linenot run: crash::of_root: needs root\n\
        not run: stray::of_another_user: needs root\n\
        not run: it: was not needed\n";

    #[test]
    fn tests_are_collected_and_the_output_is_passed_on() {
        let (passed_on, not_run) = read(OUTPUT);
        assert_eq!(passed_on, OUTPUT);
        assert_eq!(
            list(&not_run).unwrap(),
            "not run: 2 tests:\n  crash::of_root: needs root\n  stray::of_another_user: needs root"
        );
    }

    #[test]
    fn a_last_line_may_lack_its_end() {
        let (passed_on, not_run) = read("not run: a: needs root");
        assert_eq!(passed_on, "not run: a: needs root");
        assert_eq!(list(&not_run).unwrap(), "not run: 1 test:\n  a: needs root");
        assert_eq!(list(&read("").1), None);
    }

    #[test]
    fn a_remaining_process_does_not_block_the_end() {
        let (reader, writer) = io::pipe().unwrap();
        // `cat` inherits the standard error, and runs until `writer` is closed.
        let script = "exec 3<&0; cat <&3 & echo 'not run: a: needs root' >&2; exit 3";
        let (status, not_run) =
            collect_to(Command::new("sh").args(["-c", script]).stdin(reader), io::sink()).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(not_run.len(), 1);
        drop(writer);
    }
}
