//! Live supervision trees: a bare s6-svscan, and `hermes up`.

#![expect(clippy::print_stderr, reason = "a failed test prints its logs")]

use std::fs;
use std::ops::Range;
use std::process::{Child, Command, Stdio};

use hermes_core::process_lock;
use hermes_s6::ScanDir;
use hermes_s6::protocol::events::Process;
use hermes_s6::tree::svscan;
#[cfg(target_os = "linux")]
use nix::sys::{ptrace, wait::waitpid};
#[cfg(target_os = "linux")]
use nix::unistd::Pid;
use rustix::process::Signal;
use serde_json::Value;

use crate::programs::{hermes_program, program, s6};
use crate::{TestEnv, eventually};

/// A test environment whose scan directory has its own s6-svscan.
#[derive(Debug)]
pub struct Svscan {
    /// The test environment.
    pub env: TestEnv,
    child: Child,
}

impl Svscan {
    /// A new environment with a live s6-svscan.
    pub fn start() -> Self {
        Self::start_with(TestEnv::new(), &[])
    }

    /// A live s6-svscan with more options, in an existing environment.
    pub fn start_with(env: TestEnv, options: &[&str]) -> Self {
        let mut command = env.command(program("s6-svscan"));
        command.args(options);
        Self::launch(env, command)
    }

    /// A live s6-svscan with room for this number of services, in an existing environment.
    pub fn start_with_room_for(services: u64, env: TestEnv) -> Self {
        let options = svscan::room_for(services, &s6(), &env.scandir()).expect("s6-svscan runs");
        Self::start_with(env, &options.each_ref().map(String::as_str))
    }

    /// The words with which `hermes` reports such a limit: s6 2.12 and later count services and loggers together.
    pub fn words_of_room_for(&self, services: u64) -> String {
        let options = svscan::room_for(services, &s6(), &self.env.scandir());
        match options.expect("s6-svscan runs").each_ref().map(String::as_str) {
            ["-C", supervisors] => format!("at most {supervisors} together"),
            _ => format!("at most {services} services"),
        }
    }

    /// A tree with the profile `a`, which is the chosen one, and whose gateway is up and has logged.
    pub fn start_with_a(env: TestEnv) -> Self {
        let tree = Self::start_with(env, &[]);
        let env = &tree.env;
        if !env.profile("a").exists() {
            env.profile_running("a", "echo begun; exec sleep 600");
        }
        env.hermes(["gateway", "start", "a"]).ok();
        env.hermes(["profile", "use", "a"]).ok();
        tree
    }

    /// Adds pairs of registered profiles with these numbers: the gateway of one runs, that of the other is stopped. A status
    /// examines the logger, too, so each has started.
    pub fn grow(&self, pairs: Range<usize>) {
        for i in pairs.clone() {
            self.env.profile_for_later(&format!("runs-{i}"), "exec sleep 600", "running");
            self.env.profile_for_later(&format!("idle-{i}"), "exec sleep 600", "stopped");
        }
        self.env.hermes(["boot"]).ok();
        for i in pairs {
            let lock = self.env.home().join(format!("logs/gateways/runs-{i}/lock"));
            eventually("it is logged", || process_lock::holder(&lock).ok().flatten());
        }
    }

    fn launch(env: TestEnv, mut command: Command) -> Self {
        command.arg("--").arg(env.scandir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log(&env, "svscan.log"));
        let child = command.spawn().expect("s6-svscan runs");
        let tree = Self { env, child };
        eventually("s6-svscan takes commands", || {
            let status = tree.s6("s6-svscanctl").arg("-z").arg(tree.env.scandir()).status();
            status.is_ok_and(|status| status.success()).then_some(())
        });
        tree
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A program of s6.
    pub fn s6(&self, name: &str) -> Command {
        self.env.s6(name)
    }

    /// Sends a signal to the s6-svscan.
    pub fn signal(&self, signal: Signal) {
        crate::signal(self.pid().into(), signal);
    }

    /// Holds the s6-svscan until the result is dropped: it does nothing, and no command resumes it, as after SIGSTOP.
    #[cfg(target_os = "linux")]
    pub fn held(&self) -> Held {
        let pid = Pid::from_raw(self.pid().try_into().expect("a process id"));
        ptrace::attach(pid).expect("it is a child, or this is root");
        waitpid(pid, None).expect("it stops");
        Held(pid)
    }

    /// Kills only the s6-svscan, and returns the test environment.
    pub fn kill(mut self) -> TestEnv {
        self.signal(Signal::KILL);
        self.child.wait().expect("a child of ours");
        std::mem::replace(&mut self.env, TestEnv::new())
    }

    /// A gateway's status.
    #[track_caller]
    pub fn status(&self, profile: &str) -> Value {
        self.env.hermes(["gateway", "status", profile, "--json"]).run().json()
    }

    /// Ends the tree and returns the test environment.
    pub fn stop(mut self) -> TestEnv {
        self.end();
        std::mem::replace(&mut self.env, TestEnv::new())
    }

    fn end(&mut self) {
        let ended = self.child.try_wait().expect("a child of ours").is_some();
        if ended {
            return;
        }
        for slot in fs::read_dir(self.env.scandir()).into_iter().flatten().flatten() {
            // A gateway may ignore SIGTERM.
            let _ = self.s6("s6-svc").arg("-dk").arg(slot.path()).status();
        }
        let _ = self.s6("s6-svscanctl").arg("-t").arg(self.env.scandir()).status();
        eventually("s6-svscan ends", || self.child.try_wait().ok().flatten());
    }
}

impl Drop for Svscan {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
            return;
        }
        // A failed test prints the log and kills all processes.
        let log = fs::read_to_string(self.env.path().join("svscan.log")).unwrap_or_default();
        eprintln!("--- s6-svscan\n{log}");
        self.env.end_processes();
        let _ = self.child.wait();
    }
}

/// A test environment in which `hermes up` runs the tree.
#[derive(Debug)]
pub struct Up {
    /// The test environment.
    pub env: TestEnv,
    child: Option<Child>,
    /// [`count_up`] before it was started.
    earlier: usize,
}

impl Up {
    /// `hermes up` in a new environment, once it is up.
    pub fn start() -> Self {
        Self::start_in(TestEnv::new())
    }

    /// `hermes up` in an existing environment, once it is up.
    pub fn start_in(env: TestEnv) -> Self {
        let mut command = env.command(hermes_program());
        command.arg("up");
        Self::launch(env, command).await_up()
    }

    /// As [`Self::start_in`], under strace, which logs the files that all its processes open to [`TestEnv::strace_log`].
    /// Signals would reach strace: `hermes down` ends the tree.
    pub fn start_traced_in(env: TestEnv) -> Self {
        let mut command = env.command("strace");
        command.args(["-f", "-e", "trace=open,openat", "-o"]).arg(env.strace_log());
        command.arg(hermes_program()).arg("up");
        Self::launch(env, command).await_up()
    }

    /// Starts a command that becomes `hermes up`, and does not wait until it is up.
    pub fn launch(env: TestEnv, command: Command) -> Self {
        let messages = log(&env, "up.log");
        Self::launch_into(env, command, Stdio::null(), messages)
    }

    /// As [`Self::launch`], with another stdout and stderr; [`Self::await_up`] and [`Self::log`] know only the usual
    /// ones.
    pub fn launch_into(env: TestEnv, mut command: Command, stdout: Stdio, stderr: Stdio) -> Self {
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let earlier = count_up(&env);
        let child = command.spawn().expect("hermes runs");
        Self { env, child: Some(child), earlier }
    }

    /// Blocks until it reports that the tree is up.
    #[track_caller]
    pub fn await_up(mut self) -> Self {
        eventually("`hermes up` reports that the tree is up", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "`hermes up` ended: {}", self.log());
            (count_up(&self.env) > self.earlier).then_some(())
        });
        self
    }

    /// The process of its s6-svscan.
    pub fn svscan(&self) -> u64 {
        let holder = ScanDir::new(self.env.scandir()).svscan().expect("a readable lock");
        holder.and_then(|holder| holder.pid).expect("an s6-svscan").into()
    }

    /// A gateway's status.
    #[track_caller]
    pub fn status(&self, profile: &str) -> Value {
        self.env.hermes(["gateway", "status", profile, "--json"]).run().json()
    }

    /// Stops a gateway without its intent, so that it stays down.
    pub fn stop_behind_its_back(&self, profile: &str) {
        let slot = self.env.slot(profile);
        fs::write(slot.join("down"), "").expect("a slot");
        assert!(self.env.s6("s6-svc").arg("-d").arg(slot).status().expect("it runs").success());
    }

    /// Blocks until the reconciler has mended something that differed after the call. Each `round` is another.
    #[track_caller]
    pub fn await_mend(&self, round: usize) {
        let mark = self.env.home().join(format!("profiles/.hermes-mark-{round}"));
        self.env.make_directory(&mark);
        eventually("the reconciler has cleared a leftover", || (!mark.exists()).then_some(()));
    }

    /// Waits for its end; returns the test environment and the exit code.
    #[track_caller]
    pub fn ended(mut self) -> (TestEnv, Option<i32>) {
        let mut child = self.child.take().expect("it runs");
        let status = eventually("`hermes up` ends", || child.try_wait().ok().flatten());
        (std::mem::replace(&mut self.env, TestEnv::new()), status.code())
    }

    /// The messages of `hermes up` in this environment so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.env.path().join("up.log")).unwrap_or_default()
    }

    /// The process of `hermes up` itself.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Ends it with `signal`; returns the test environment and the exit code.
    #[track_caller]
    pub fn end(self, signal: Signal) -> (TestEnv, Option<i32>) {
        crate::signal(self.pid().into(), signal);
        self.ended()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- hermes up\n{}", self.log());
            self.env.end_processes();
        }
        let Some(mut child) = self.child.take() else { return };
        let process = Process::open(child.id()).ok().flatten();
        let _ = process.map(|process| process.signal(Signal::TERM));
        let _ = child.wait();
    }
}

/// A helper program, which is killed at the end of its test.
#[derive(Debug)]
pub struct Helper(Child);

impl Helper {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("a helper runs"))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

/// A process that is held by the thread that made this.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Held(Pid);

#[cfg(target_os = "linux")]
impl Drop for Held {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often `hermes up` reported in this environment that the tree is up.
fn count_up(env: &TestEnv) -> usize {
    let log = fs::read_to_string(env.path().join("up.log")).unwrap_or_default();
    log.matches("the tree is up").count()
}

fn log(env: &TestEnv, name: &str) -> Stdio {
    let path = env.path().join(name);
    let file = fs::OpenOptions::new().create(true).append(true).open(path).expect("a log");
    file.into()
}
