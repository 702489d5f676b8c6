//! Locks of Hermes that a process holds which is not `hermes`: a backup, an editor, a process on another host.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hermes_core::process_lock::locker;
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::{Helper, Outcome, Running, TestEnv, eventually};

/// A lock between commands, held by this process.
#[derive(Debug)]
pub struct ForeignLock {
    _file: File,
    /// Reports when the file is opened.
    opened: OwnedFd,
}

impl ForeignLock {
    /// Holds the lock at `path` until it is dropped.
    ///
    /// # Panics
    ///
    /// If the lock is held already.
    pub fn hold(env: &TestEnv, path: &Path) -> Self {
        env.make_directory(path.parent().expect("a directory of locks"));
        let file = OpenOptions::new().create(true).append(true).mode(0o666).open(path);
        let file = file.expect("a file");
        env.give(path);
        file.try_lock().expect("no command runs");
        let opened = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("inotify");
        inotify::add_watch(&opened, path, WatchFlags::OPEN).expect("a watch");
        Self { _file: file, opened }
    }

    /// Blocks until `command` tries to take the lock or has ended; then lets it go, and returns the outcome.
    #[track_caller]
    pub fn let_go_when_wanted(self, mut command: Running) -> Outcome {
        eventually("the command wants the lock", || {
            (self.was_opened() || command.has_ended()).then_some(())
        });
        drop(self);
        command.wait()
    }

    fn was_opened(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        match Reader::new(&self.opened, &mut buffer).next() {
            Ok(_) => true,
            Err(Errno::AGAIN) => false,
            Err(errno) => panic!("inotify: {}", io::Error::from(errno)),
        }
    }
}

/// A lock of an open file description, for which the kernel names no process.
pub const OF_DESCRIPTION: &str =
    "fcntl.fcntl(file, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))";
/// A lock of a process, which the kernel names in its PID namespace and those above.
pub const OF_PROCESS: &str = "fcntl.lockf(file, fcntl.LOCK_EX)";

/// Starts a process that is no gateway and holds the gateway's lock at `path`, of the given kind.
///
/// # Panics
///
/// If another process holds it.
#[track_caller]
pub fn hold_gateway(env: &TestEnv, path: &Path, kind: &str) -> Helper {
    env.make_directory(path.parent().expect("a directory of locks"));
    let script = format!(
        "import fcntl, signal, struct, sys\nfile = open(sys.argv[1], 'a')\n{kind}\nsignal.pause()\n"
    );
    let mut command = env.command("python3");
    let holder = Helper::start(command.args(["-c", &script]).arg(path));
    eventually("it is held", || locker(path).expect("a readable lock"));
    holder
}
