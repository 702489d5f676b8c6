//! What the program of `notify.command` prints: lines of the output of `up`, each with a prefix, escaped and bounded.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};

use crate::escape::escaped_line;
use crate::output;

/// How many lines of one run are printed.
const MAX_LINES: usize = 100;
/// How many bytes of a line are printed.
const MAX_LINE: usize = 4096;
/// The capacity of a pipe, which one read empties (pipe(7)).
const PIPE: usize = 1 << 16;

/// The output of one run of the program.
pub(super) struct Output {
    /// `None` after its end.
    pipe: Option<PipeReader>,
    lines: Lines,
}

impl Output {
    /// Makes a pipe the stdout and the stderr of `command`, which must be dropped for the output to have an end.
    pub(super) fn of(command: &mut Command) -> io::Result<Self> {
        let (pipe, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        command.stdout(Stdio::from(writer.try_clone()?)).stderr(Stdio::from(writer));
        Ok(Self { pipe: Some(pipe), lines: Lines::default() })
    }

    /// Readable when there is something to print.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Prints the lines that have come. Does not block.
    pub(super) fn print(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut bytes = [0; PIPE];
        match pipe.read(&mut bytes) {
            Ok(read) if read > 0 => self.lines.take(&bytes[..read]).iter().for_each(print),
            Err(error) if is_passing(&error) => {}
            Ok(_) | Err(_) => self.pipe = None,
        }
    }

    /// Prints the rest. What still has the pipe open has no reader any more.
    pub(super) fn end(mut self) {
        self.print();
        self.lines.end().iter().for_each(print);
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn print(line: &String) {
    output::message(format_args!("notify.command: {line}"));
}

/// Cuts what comes into lines.
#[derive(Default)]
struct Lines {
    /// The line that has no end yet, as far as it is printed.
    line: Vec<u8>,
    /// How many bytes it has.
    length: usize,
    printed: usize,
    left_out: usize,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            self.length += text.len();
            let room = MAX_LINE - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if part.ends_with(b"\n") {
                lines.extend(self.finish());
            }
        }
        lines
    }

    fn end(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.length > 0 {
            lines.extend(self.finish());
        }
        if self.left_out > 0 {
            lines.push(format!("({} more lines)", self.left_out));
        }
        lines
    }

    fn finish(&mut self) -> Option<String> {
        let mut line = escaped_line(&std::mem::take(&mut self.line));
        if std::mem::take(&mut self.length) > MAX_LINE {
            line.push('…');
        }
        if self.printed == MAX_LINES {
            self.left_out += 1;
            return None;
        }
        self.printed += 1;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_escaped_and_bounded() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"a\x1b[2Jb\n\nbeg"), ["a\\u{1b}[2Jb", ""]);
        assert_eq!(lines.take(b"un\nlast"), ["begun"]);
        assert_eq!(lines.end(), ["last"]);
        assert_eq!(lines.end(), Vec::<String>::new());
        for length in [MAX_LINE, MAX_LINE + 1] {
            let mut lines = Lines::default();
            for half in ["x".repeat(length / 2), "x".repeat(length - length / 2)] {
                assert_eq!(lines.take(half.as_bytes()), Vec::<String>::new());
            }
            let cut = if length > MAX_LINE { "…" } else { "" };
            assert_eq!(lines.take(b"\n"), ["x".repeat(MAX_LINE) + cut]);
        }
        let mut lines = Lines::default();
        assert_eq!(lines.take("x\n".repeat(MAX_LINES + 2).as_bytes()).len(), MAX_LINES);
        assert_eq!(lines.take(b"no end").len(), 0);
        assert_eq!(lines.end(), ["(3 more lines)"]);
    }
}
