//! A test environment: a temporary directory with a root home and a scan directory.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::os::unix::fs::{lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use hermes_s6::protocol::events::Process;
use hermes_s6::slot::layout::ServiceDir;
use rustix::net;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::programs::{hermes_program, program};
use crate::{Hermes, eventually, is_root, kill, supervisors};

/// The user that everything runs as if root runs the tests.
const USER: u32 = 10_000;

/// A root home, a scan directory and a user for one test.
#[derive(Debug)]
pub struct TestEnv {
    dir: TempDir,
    /// Whether the directory is a mounted file system.
    mounted: bool,
    /// The divisor of the restart policy's delays in this environment.
    pub faster: u32,
    /// The wall clock of the processes that it starts, if it is not the machine's.
    pub clock: Option<Clock>,
    /// The program that is `hermes` in this environment.
    pub program: fn() -> &'static Path,
}

impl TestEnv {
    /// An empty environment without running processes.
    #[expect(clippy::new_without_default, reason = "it creates directories")]
    pub fn new() -> Self {
        Self::on_disk(None)
    }

    /// An empty environment on its own file system of this size. Needs root.
    pub fn on_disk_of(mebibytes: u32) -> Self {
        Self::on_disk(Some(mebibytes))
    }

    fn on_disk(mebibytes: Option<u32>) -> Self {
        let dir = tempfile::Builder::new().prefix("hermes-test-").tempdir().expect("a directory");
        if let Some(mebibytes) = mebibytes {
            assert!(is_root(), "only root can mount a small disk");
            let options = format!("size={mebibytes}m,mode=755");
            let mount = ["-t", "tmpfs", "-o", &options, "tmpfs"];
            let status = Command::new("mount").args(mount).arg(dir.path()).status();
            assert!(status.is_ok_and(|status| status.success()), "a tmpfs can't be mounted");
        }
        let mounted = mebibytes.is_some();
        let env = Self { dir, mounted, faster: 1, clock: None, program: hermes_program };
        env.give(env.path());
        for part in [env.home(), env.scandir()] {
            env.make_directory(&part);
        }
        env
    }

    /// The directory of the environment.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The root home.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// The home of a profile other than `default`.
    pub fn profile(&self, name: &str) -> PathBuf {
        self.home().join("profiles").join(name)
    }

    /// The scan directory.
    pub fn scandir(&self) -> PathBuf {
        self.path().join("service")
    }

    /// The slot of a profile.
    pub fn slot(&self, name: &str) -> PathBuf {
        self.scandir().join(format!("gateway-{name}"))
    }

    /// The lock of a profile's gateway.
    pub fn gateway_lock(&self, name: &str) -> PathBuf {
        self.home().join("profiles/.gateways").join(name)
    }

    /// Sets the wall clock of this environment's processes, running and later ones, to differ by `offset` from the
    /// machine's, such as `-1h`. Processes that were started before the first call keep the machine's.
    pub fn set_clock(&mut self, offset: &str) {
        let clock = self.clock.take();
        let clock = clock.unwrap_or_else(|| Clock::new(self.path().join("clock")));
        // A process must not read half a line.
        let new = self.path().join("clock.new");
        self.write(&new, &format!("{offset}\n"));
        fs::rename(new, clock.offset()).expect("a file");
        self.clock = Some(clock);
    }

    /// The events of a profile so far, each with its reason.
    pub fn events(&self, profile: &str) -> Vec<(String, String)> {
        let outcome = self.hermes(["events", profile, "--json"]).ok();
        let text = |event: &Value, key: &str| event[key].as_str().expect("a string").to_owned();
        let event = |line: &str| {
            let event: Value = serde_json::from_str(line).expect("an object");
            assert_eq!(event["profile"], profile);
            (text(&event, "event"), text(&event, "why"))
        };
        outcome.stdout.lines().map(event).collect()
    }

    /// Creates a directory that the environment's user owns.
    pub fn make_directory(&self, path: &Path) {
        fs::create_dir_all(path).expect("a directory");
        self.give(path);
    }

    /// Writes a file that the environment's user owns.
    pub fn write(&self, path: &Path, text: &str) {
        fs::write(path, text).expect("a file");
        self.give(path);
    }

    /// Writes a program that the environment's user owns. Another process writes it, because the kernel runs no
    /// file that is open for writing: a child that another test has just forked would keep it open until exec.
    pub fn write_program(&self, path: &Path, text: &str) {
        let mut writer = self.command("/bin/sh");
        let script = "cat >\"$1.new\" && chmod 755 \"$1.new\" && mv \"$1.new\" \"$1\"";
        writer.args(["-c", script, "sh"]).arg(path).stdin(Stdio::piped());
        let mut writer = writer.spawn().expect("a shell");
        let mut stdin = writer.stdin.take().expect("a pipe");
        stdin.write_all(text.as_bytes()).expect("cat reads");
        drop(stdin);
        assert!(writer.wait().expect("a child of ours").success(), "{}", path.display());
    }

    /// Creates a profile whose gateway is the shell command `command`.
    pub fn profile_running(&self, name: &str, command: &str) {
        self.hermes(["profile", "create", name]).ok();
        self.write(
            &self.profile(name).join("config.yaml"),
            &format!(
                "gateway:\n  command: [/bin/sh, -c, {}]\n",
                serde_json::to_string(command).expect("a string")
            ),
        );
    }

    /// Creates a profile whose gateway kills itself while the returned file exists.
    pub fn profile_mortal(&self, name: &str) -> PathBuf {
        let die = self.path().join(format!("{name}.die"));
        let script =
            format!("while :; do test -e {} && kill -9 $$; sleep 0.1; done", die.display());
        self.profile_running(name, &script);
        die
    }

    /// Creates a profile with the built-in gateway on a free port, and returns the port.
    pub fn profile_serving(&self, name: &str) -> u16 {
        let port = free_port();
        self.hermes(["profile", "create", name, "--port", &port.to_string()]).ok();
        port
    }

    /// Creates a profile whose gateway is the shell command `command`, without a running tree.
    pub fn profile_for_later(&self, name: &str, command: &str, intent: &str) {
        self.hermes(["profile", "create", name]).env_remove("HERMES_SCANDIR").ok();
        self.write(
            &self.profile(name).join("config.yaml"),
            &format!(
                "gateway:\n  command: [/bin/sh, -c, {}]\n",
                serde_json::to_string(command).expect("a string")
            ),
        );
        self.write(&self.profile(name).join("gateway.intent"), intent);
    }

    /// Kills the supervisors of a profile's service and logger, and waits until s6-svscan has started new
    /// ones and each has written its first status record.
    #[track_caller]
    pub fn lose_supervisors(&self, profile: &str) {
        let parts = ServiceDir::new(self.slot(profile)).parts();
        let stamps = || parts.each_ref().map(|part| part.record().ok().map(|record| record.stamp));
        let (old, written) = (supervisors(parts[0].path()), stamps());
        old.iter().for_each(|pid| kill(*pid));
        eventually("s6-svscan has started new supervisors", || {
            let new = supervisors(parts[0].path());
            let others = new.len() == 2 && new.iter().all(|pid| !old.contains(pid));
            // The clock may have been set back.
            let begun = stamps().iter().zip(&written).all(|(now, old)| now.is_some() && now != old);
            (others && begun).then_some(())
        });
    }

    /// Fills the file system of this environment with a file, and returns its path.
    pub fn fill_disk(&self) -> PathBuf {
        assert!(self.mounted, "a small disk");
        let filler = self.path().join("filler");
        let mut file = fs::File::create(&filler).expect("a file");
        // The last bytes as well: s6's records are small.
        for size in [1 << 16, 1 << 12, 1] {
            let zeros = vec![0; size];
            while file.write_all(&zeros).is_ok() {}
        }
        filler
    }

    /// A program of s6, as this environment's user.
    pub fn s6(&self, name: &str) -> Command {
        let mut command = self.command(program(name));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Kills every process that belongs to this environment.
    pub fn end_processes(&self) {
        for pid in crate::processes_naming(&self.path().to_string_lossy()) {
            let process = u32::try_from(pid).ok().and_then(|pid| Process::open(pid).ok()?);
            let _ = process.map(|process| process.signal(Signal::KILL));
        }
    }

    /// The lines in a gateway's log, without their timestamps.
    pub fn logged(&self, name: &str) -> Vec<String> {
        let current = self.home().join("logs/gateways").join(name).join("current");
        let text = fs::read_to_string(current).unwrap_or_default();
        text.lines().map(crate::log_line::text_of).collect()
    }

    /// The `hermes` program in this environment.
    pub fn hermes<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        let mut command = self.command((self.program)());
        command.args(args);
        Hermes::new(command)
    }

    /// The `hermes` program in this environment, called `hermesctl`.
    pub fn hermesctl<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        let program = self.path().join("hermesctl");
        if !program.exists() {
            symlink((self.program)(), &program).expect("a link");
        }
        let mut command = self.command(program);
        command.args(args);
        Hermes::new(command)
    }

    /// The `hermes` program in this environment under strace with fault injections like
    /// `renameat2:signal=KILL:when=2`.
    pub fn hermes_injected<'a>(
        &self,
        injections: &[&str],
        args: impl IntoIterator<Item = &'a str>,
    ) -> Hermes {
        let mut command = self.command("strace");
        command.arg("-o").arg(self.strace_log());
        let calls: Vec<_> = injections.iter().filter_map(|text| text.split(':').next()).collect();
        command.args(["-e", &format!("trace={}", calls.join(","))]);
        for injection in injections {
            command.args(["-e", &format!("inject={injection}")]);
        }
        command.arg((self.program)()).args(args);
        Hermes::new(command)
    }

    /// The `hermes` program in this environment under strace, which logs the system calls of all its threads
    /// and child processes.
    pub fn hermes_traced<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        let mut command = self.command("strace");
        command.arg("-f").arg("-o").arg(self.strace_log()).arg((self.program)()).args(args);
        Hermes::new(command)
    }

    /// The system calls of all threads and child processes of the `hermes` program, as strace logs them. It must succeed.
    #[track_caller]
    pub fn trace<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        self.hermes_traced(args).ok();
        fs::read_to_string(self.strace_log()).expect("a trace")
    }

    /// The log of strace.
    pub fn strace_log(&self) -> PathBuf {
        self.path().join("strace.log")
    }

    /// A shell script in this environment, with the `hermes` program in its PATH.
    pub fn shell(&self, script: &str) -> Hermes {
        let programs = self.path().join("programs");
        if !programs.exists() {
            self.make_directory(&programs);
            symlink((self.program)(), programs.join("hermes")).expect("a link");
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.command("/bin/sh");
        command.env("PATH", format!("{}:{path}", programs.display())).args(["-c", script]);
        Hermes::new(command)
    }

    /// Any program in this environment, as its user.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("HERMES_HOME", self.home())
            .env("HERMES_SCANDIR", self.scandir())
            .env("HERMES_TEST_FASTER", self.faster.to_string())
            .current_dir(self.path());
        if let Some(clock) = &self.clock {
            clock.apply(&mut command);
        }
        if is_root() {
            command.uid(USER).gid(USER);
        }
        command
    }

    /// Makes this environment's user the owner of a file.
    pub fn give(&self, path: &Path) {
        if is_root() {
            lchown(path, Some(USER), Some(USER)).expect("root may change the owner");
        }
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end_processes();
        }
        if self.mounted {
            // Lazily: a process may still have a file open.
            let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
        }
    }
}

/// A free port of the loopback interface. Each call returns another one, below the kernel's ephemeral ports.
pub fn free_port() -> u16 {
    const RANGE: Range<u16> = 10_000..30_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Concurrent test processes start far apart.
    let begin = u16::try_from(std::process::id() % 199).expect("below 199") * 100;
    let span = RANGE.end - RANGE.start;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = RANGE.start + (begin + step % span) % span;
        if is_free(port) {
            return port;
        }
    }
}

/// Whether no process listens on this port of the loopback interface.
///
/// The probing socket never listens, because a child that another test has just forked keeps a copy of it
/// until exec.
pub fn is_free(port: u16) -> bool {
    let (family, kind) = (net::AddressFamily::INET, net::SocketType::STREAM);
    let socket = net::socket_with(family, kind, net::SocketFlags::CLOEXEC, None);
    let socket = socket.expect("a socket");
    net::sockopt::set_socket_reuseaddr(&socket, true).expect("an option of every socket");
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_with_a_listener_is_not_free() {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        assert!(!is_free(port));
        let _copy = listener.try_clone().expect("a descriptor");
        drop(listener);
        assert!(!is_free(port), "the copy still listens");
    }
}
