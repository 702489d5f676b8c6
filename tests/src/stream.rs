//! A running command, and its output so far.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::eventually;

/// A running command. Dropping this value ends it.
#[derive(Debug)]
pub struct Stream {
    line: String,
    child: Child,
    out: Captured,
    err: Captured,
}

/// The output of a command, and the thread that reads it.
#[derive(Debug)]
struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

impl Stream {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::launch(command, None, None)
    }

    /// Starts the command with a new terminal as its stdout, of so many columns; 0 for an unknown number.
    pub(crate) fn on_terminal(mut command: Command, columns: u16) -> Self {
        let (master, slave) = terminal(columns);
        command.stdout(slave).stderr(Stdio::piped());
        Self::launch(command, Some(master), None)
    }

    /// Starts the command with a new terminal as its stderr.
    pub(crate) fn messages_on_terminal(mut command: Command, columns: u16) -> Self {
        let (master, slave) = terminal(columns);
        command.stdout(Stdio::piped()).stderr(slave);
        Self::launch(command, None, Some(master))
    }

    /// Starts the command. Its stdout and its stderr are pipes, or the terminals with these masters.
    fn launch(mut command: Command, out: Option<File>, err: Option<File>) -> Self {
        let line = format!("{command:?}");
        command.stdin(Stdio::null());
        let mut child = command.spawn().expect("hermes runs");
        // The terminal's master reads an end only when no process has the slave open.
        drop(command);
        let out = out.or_else(|| child.stdout.take().map(|pipe| OwnedFd::from(pipe).into()));
        let err = err.or_else(|| child.stderr.take().map(|pipe| OwnedFd::from(pipe).into()));
        let out = Captured::listen(out.expect("a pipe"));
        let err = Captured::listen(err.expect("a pipe"));
        Self { line, child, out, err }
    }

    /// Its process.
    pub fn pid(&self) -> u64 {
        self.child.id().into()
    }

    /// Its stdout so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The bytes of its stdout so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.out.bytes.lock().expect("no thread panics with the lock").clone()
    }

    /// Its messages so far.
    pub fn stderr(&self) -> String {
        let bytes = self.err.bytes.lock().expect("no thread panics with the lock");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The complete lines of its stdout so far, without their timestamps.
    pub fn lines(&self) -> Vec<String> {
        let stdout = self.stdout();
        let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
        let content = |line: &str| line.rsplit_once("  ").map_or(line, |(_, rest)| rest).to_owned();
        whole.lines().map(content).collect()
    }

    /// Blocks until it has printed this many lines.
    #[track_caller]
    pub fn await_lines(&self, count: usize) {
        eventually(&format!("{count} lines of {}\n{}", self.line, self.stderr()), || {
            let bytes = self.out.bytes.lock().expect("no thread panics with the lock");
            (bytes.iter().filter(|byte| **byte == b'\n').count() >= count).then_some(())
        });
    }

    /// Blocks until its messages contain `text`.
    #[track_caller]
    pub fn await_message(&self, text: &str) {
        eventually(&format!("`{text}` from {}", self.line), || {
            self.stderr().contains(text).then_some(())
        });
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: Signal) {
        crate::signal(self.pid(), signal);
    }

    /// Blocks until it ends; returns its stdout, stderr and exit code.
    #[track_caller]
    pub fn ended(mut self) -> (String, String, Option<i32>) {
        let status = eventually(&format!("the end of {}", self.line), || {
            self.child.try_wait().expect("a child of ours")
        });
        for captured in [&mut self.out, &mut self.err] {
            captured
                .listener
                .take()
                .map(JoinHandle::join)
                .transpose()
                .expect("a listener that ends");
        }
        (self.stdout(), self.stderr(), status.code())
    }
}

/// A new terminal of so many columns, 0 for an unknown number: its two ends, of which the second is the terminal.
fn terminal(columns: u16) -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).expect("a pty");
    rustix::pty::grantpt(&master).expect("we own it");
    rustix::pty::unlockpt(&master).expect("we own it");
    let name = rustix::pty::ptsname(&master, Vec::new()).expect("a name");
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let slave = File::options().read(true).write(true).open(path).expect("its other end");
    let rows = if columns > 0 { 24 } else { 0 };
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size).expect("it is a terminal");
    (File::from(master), slave)
}

impl Captured {
    fn listen(mut from: File) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let captured = bytes.clone();
        let listener = std::thread::spawn(move || {
            let mut block = [0; 4096];
            // Reading a terminal's master without a slave is an error, not the end of the file.
            while let Ok(count @ 1..) = from.read(&mut block) {
                captured
                    .lock()
                    .expect("no thread panics with the lock")
                    .extend_from_slice(&block[..count]);
            }
        });
        Self { bytes, listener: Some(listener) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
