//! A command that goes on, and what it has printed so far.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::Signal;
use rustix::pty::OpenptFlags;

use crate::eventually;

/// A command that runs. It ends with this value.
#[derive(Debug)]
pub struct Stream {
    line: String,
    child: Child,
    out: Heard,
    err: Heard,
}

/// What somebody says, and who listens.
#[derive(Debug)]
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

impl Stream {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        Self::launch(command, |child| Box::new(child.stdout.take().expect("a pipe")))
    }

    /// A new terminal is its stdout; carriage returns that the terminal added are taken away again.
    pub(crate) fn on_terminal(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).expect("a pty");
        rustix::pty::grantpt(&master).expect("it is ours");
        rustix::pty::unlockpt(&master).expect("it is ours");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("a name");
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let slave = File::options().read(true).write(true).open(path).expect("its other end");
        command.stdout(slave);
        Self::launch(command, |_| Box::new(File::from(master)))
    }

    fn launch(
        mut command: Command,
        stdout: impl FnOnce(&mut Child) -> Box<dyn Read + Send>,
    ) -> Self {
        let line = format!("{command:?}");
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("hermes runs");
        // A terminal has an end only when nobody has its other end open.
        drop(command);
        let out = Heard::listen(stdout(&mut child));
        let err = Heard::listen(Box::new(child.stderr.take().expect("a pipe")));
        Self { line, child, out, err }
    }

    /// Its process.
    pub fn pid(&self) -> u64 {
        self.child.id().into()
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The bytes that it has printed so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.out.bytes.lock().expect("a listener that lives").clone()
    }

    /// Its messages so far.
    pub fn stderr(&self) -> String {
        let bytes = self.err.bytes.lock().expect("a listener that lives");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The whole lines that it has printed so far, without their time.
    pub fn said(&self) -> Vec<String> {
        let stdout = self.stdout();
        let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
        let said = |line: &str| line.rsplit_once("  ").map_or(line, |(_, said)| said).to_owned();
        whole.lines().map(said).collect()
    }

    /// Blocks until it has printed so many lines.
    #[track_caller]
    pub fn await_lines(&self, count: usize) {
        eventually(&format!("{count} lines of {}\n{}", self.line, self.stderr()), || {
            let bytes = self.out.bytes.lock().expect("a listener that lives");
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

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        crate::signal(self.pid(), signal);
    }

    /// Blocks until it ends; all of what it printed, its messages, and its exit code.
    #[track_caller]
    pub fn ended(mut self) -> (String, String, Option<i32>) {
        let status = eventually(&format!("the end of {}", self.line), || {
            self.child.try_wait().expect("a child of ours")
        });
        for heard in [&mut self.out, &mut self.err] {
            heard.listener.take().map(JoinHandle::join).transpose().expect("a listener that ends");
        }
        (self.stdout(), self.stderr(), status.code())
    }
}

impl Heard {
    fn listen(mut from: Box<dyn Read + Send>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let heard = bytes.clone();
        let listener = std::thread::spawn(move || {
            let mut block = [0; 4096];
            // A terminal without another end is an error to read from, and no end of the file.
            while let Ok(count @ 1..) = from.read(&mut block) {
                heard.lock().expect("nobody panics here").extend_from_slice(&block[..count]);
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
