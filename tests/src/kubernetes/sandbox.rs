//! A container as processes of this machine.
//!
//! If root runs the tests, a container has its own mounts, its own numbers of processes, so that its command is process 1,
//! and the user of its Pod: it sees its mounts alone of its claims' directories, and nothing survives its process 1. A
//! plain user can't have that on every machine. There a container shares the machine's files, so that a claim can only be
//! mounted where its directory is anyway, it has no termination message, and its processes are known by a variable
//! of their environment.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use hermes_core::process::Process;
use hermes_core::status::Exit;
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{self, MountFlags, MountPropagationFlags};
use rustix::process::Signal;

use super::events::Event;
use super::output::Log;
use super::plan::{Mount, Plan, Source};
use crate::{SOON, answered, is_root, processes_naming};

/// The variable by which a plain user's containers are known.
const MARK: &str = "HERMES_TEST_CONTAINER";
/// Puts process 1 in its place: a `/proc` of its own, the user, no way to more rights; killed with this program.
const ENTER: &str = "mount -n -t proc proc /proc && exec setpriv \"$@\"";
/// The devices of a container.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// A container that runs.
#[derive(Debug)]
pub(super) struct Run {
    main: Process,
}

impl Run {
    /// Starts a container. Its end goes to `events`, its output to `log`; `message` is the file for its termination
    /// message.
    pub(super) fn start(
        plan: Plan,
        mark: &str,
        message: PathBuf,
        log: Arc<Log>,
        events: Sender<Event>,
    ) -> Result<Self, String> {
        let (started, start) = mpsc::channel();
        let mark = mark.to_owned();
        // The kernel ties namespaces, and the signal at a parent's death, to a thread.
        thread::spawn(move || match begin(&plan, &mark, &message, log) {
            Ok((mut child, reader, mut message)) => {
                let main = Process::open(child.id()).map_err(|error| error.to_string());
                let main = main.map(|main| main.expect("a child that is not waited for"));
                await_command(child.id());
                let _ = started.send(main);
                let status = child.wait().expect("a child of this thread");
                end_rest(&mark);
                // All that it has printed is in its log when it is said to have ended.
                let _ = reader.join();
                let mut text = String::new();
                let _ = message.read_to_string(&mut text);
                // The cluster may have ended.
                let _ = events.send(Event::Exited(exit(status), text));
            }
            Err(error) => {
                let _ = started.send(Err(error.to_string()));
            }
        });
        let main = start.recv().unwrap_or_else(|_| Err("the thread panicked".to_owned()))?;
        Ok(Self { main })
    }

    /// The machine's number of process 1.
    pub(super) fn pid(&self) -> u32 {
        self.main.pid
    }

    /// Signals process 1. One that has ended gets nothing.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = self.main.signal(signal);
    }
}

/// Blocks until a process runs the command of its container, or has ended: what is sent to it before has no effect.
fn await_command(pid: u32) {
    answered(SOON, || {
        let words = hermes_core::Proc::default().arguments(pid).unwrap_or_default();
        let enters = words.first().is_some_and(|first| first == "setpriv");
        (!enters && !words.iter().any(|word| word == ENTER)).then_some(())
    });
}

fn exit(status: ExitStatus) -> Exit {
    match status.signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Code(status.code().unwrap_or_default()),
    }
}

/// Ends what a plain user's container has left. As root, the kernel has done so.
fn end_rest(mark: &str) {
    if !is_root() {
        let ended = answered(SOON, || {
            let rest = processes_naming(&format!("{MARK}={mark}"));
            rest.iter().filter(|pid| crate::is_alive(**pid)).for_each(|pid| end(*pid));
            rest.is_empty().then_some(())
        });
        assert_eq!(ended, Some(()), "processes of a container do not end");
    }
}

/// Kills a process that may just have ended.
fn end(pid: u64) {
    let process = u32::try_from(pid).ok().and_then(|pid| Process::open(pid).ok().flatten());
    if let Some(process) = process {
        let _ = process.signal(Signal::KILL);
    }
}

type Begun = (std::process::Child, thread::JoinHandle<()>, File);

/// Starts process 1 and the reader of the output, in this thread. The file is that of the termination message, whose path leads
/// elsewhere once this thread has the container's mounts.
fn begin(plan: &Plan, mark: &str, message: &Path, log: Arc<Log>) -> io::Result<Begun> {
    let (reader, writer) = io::pipe()?;
    let reader = thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { break };
            log.add(String::from_utf8_lossy(&line).into_owned());
        }
        log.end();
    });
    let file = File::options().read(true).append(true).create(true).open(message)?;
    let mut command = match is_root() {
        true => {
            fs::set_permissions(message, fs::Permissions::from_mode(0o666))?;
            prepare(plan, message)?;
            unshare(CloneFlags::CLONE_NEWPID)?;
            let mut command = Command::new("/bin/sh");
            command.args(["-c", ENTER, "sh"]);
            let [user, group, volumes] = plan.user;
            for (option, value) in [("--reuid", user), ("--regid", group), ("--groups", volumes)] {
                command.arg(option).arg(value.to_string());
            }
            command.args(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]);
            command
        }
        false => {
            share(plan)?;
            Command::new("setpriv")
        }
    };
    command.args(["--pdeathsig", "KILL", "--"]).args(&plan.command);
    command.env_clear().envs(&plan.env).current_dir(&plan.directory);
    if !is_root() {
        command.env(MARK, mark);
    }
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn()?;
    Ok((child, reader, file))
}

/// Checks that the machine's own files are what a container is to see.
fn share(plan: &Plan) -> io::Result<()> {
    for mount in &plan.mounts {
        if let Source::Claim { directory, .. } = &mount.source {
            fs::create_dir_all(directory)?;
            if *directory != mount.target {
                let (from, to) = (directory.display(), mount.target.display());
                let why = format!("only root can mount {from} at {to}: name the directory itself");
                return Err(io::Error::other(why));
            }
        }
    }
    Ok(())
}

/// Gives this thread mounts of its own, as the container has them.
fn prepare(plan: &Plan, message: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // Opened before anything hides it.
    let message = open(message)?;
    let devices: Vec<_> = DEVICES
        .iter()
        .map(|name| Ok((*name, open(&Path::new("/dev").join(name))?)))
        .collect::<io::Result<_>>()?;
    let mut sources = Vec::new();
    for Mount { target, source, is_read_only } in &plan.mounts {
        let opened = match source {
            Source::Claim { directory, .. } => {
                fs::create_dir_all(directory)?;
                Some(open(directory)?)
            }
            Source::Memory(_) => None,
        };
        sources.push((target, source, opened, is_read_only));
    }
    let mut own = Places::default();
    for (_, source, ..) in &sources {
        if let Source::Claim { root, .. } = source {
            own.hide(root)?;
        }
    }
    own.memory(Path::new("/dev"), None, "755")?;
    for (name, device) in devices {
        let target = Path::new("/dev").join(name);
        File::create(&target)?;
        bind(&device, &target)?;
    }
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
    {
        symlink(Path::new("/proc/self").join(target), Path::new("/dev").join(name))?;
    }
    own.memory(Path::new("/dev/shm"), None, "1777")?;
    for (target, source, opened, is_read_only) in sources {
        match (source, opened) {
            (Source::Memory(size), _) => own.memory(target, *size, "777")?,
            (Source::Claim { .. }, Some(opened)) => {
                own.make(target)?;
                bind(&opened, target)?;
                if *is_read_only {
                    mount::mount_remount(target, MountFlags::BIND | MountFlags::RDONLY, "")?;
                }
            }
            (Source::Claim { .. }, None) => {}
        }
    }
    if plan.message_path.starts_with("/dev") {
        File::create(&plan.message_path)?;
    }
    bind(&message, &plan.message_path)?;
    if plan.has_read_only_root {
        mount::mount_remount("/", MountFlags::BIND | MountFlags::RDONLY, "")?;
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let opened = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

fn bind(source: &OwnedFd, target: &Path) -> io::Result<()> {
    // The link leads to what was opened, wherever its path leads now.
    let source = format!("/proc/self/fd/{}", source.as_raw_fd());
    let bound = mount::mount_bind(source, target);
    bound.map_err(|error| io::Error::other(format!("{}: {error}", target.display())))
}

/// The places that are in memory, where directories can be made without a trace on the machine.
#[derive(Debug, Default)]
struct Places(BTreeSet<PathBuf>);

impl Places {
    /// Makes the directory `path`, if it has to be made.
    fn make(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if !self.0.iter().any(|place| path.starts_with(place)) {
            let why = format!("{} is not a directory of this machine", path.display());
            return Err(io::Error::other(why));
        }
        fs::create_dir_all(path)
    }

    fn memory(&mut self, path: &Path, size: Option<u64>, mode: &str) -> io::Result<()> {
        self.make(path)?;
        let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
        let data = std::ffi::CString::new(format!("mode={mode}{size}"))?;
        mount::mount("tmpfs", path, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, &*data)?;
        self.0.insert(path.to_owned());
        Ok(())
    }

    /// Hides what is in the directory `path`.
    fn hide(&mut self, path: &Path) -> io::Result<()> {
        match self.0.contains(path) || !path.is_dir() {
            true => Ok(()),
            false => self.memory(path, None, "755"),
        }
    }
}

/// The machine's numbers of the processes of the container with this mark and process 1.
pub(super) fn processes(mark: &str, main: u32) -> Vec<u64> {
    if !is_root() {
        return processes_naming(&format!("{MARK}={mark}"));
    }
    let namespace = |pid: u64| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(own) = namespace(main.into()) else { return Vec::new() };
    let all = hermes_core::Proc::default().processes().expect("/proc is mounted");
    let all = all.into_iter().map(u64::from);
    all.filter(|pid| namespace(*pid).as_ref() == Some(&own) && crate::is_alive(*pid)).collect()
}
