//! The test bed of a measurement: homes with many profiles, live supervision trees on them, and timed commands.

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::wait;

/// How long any wait may take; generous, for slow machines.
const TIMEOUT: Duration = Duration::from_secs(300);
/// One of this many gateways runs, the others are stopped.
pub(super) const ONE_RUNS_OF: usize = 10;
/// The capacity of a tree, in services.
const CAPACITY: &str = "10000";
/// The ports of built-in gateways: below those that the kernel gives to clients.
const FIRST_PORT: u16 = 20_000;
/// Where scan directories are created: in memory like `/run`, if an unprivileged user may write there.
const MEMORY: &str = "/dev/shm";

/// Copies of the measured programs that an unprivileged user may run, and a directory for homes and trees.
pub(super) struct Testbed {
    dir: TempDir,
    scandirs: TempDir,
    pub(super) hermes: PathBuf,
    pub(super) floor: PathBuf,
}

impl Testbed {
    /// Copies the programs from the directory `built`.
    pub(super) fn new(built: &Path) -> Result<Self> {
        let mut place = tempfile::Builder::new();
        place.prefix("hermes-bench-");
        let dir = place.tempdir()?;
        let scandirs = place.tempdir_in(MEMORY).or_else(|_| place.tempdir())?;
        let copy = |name: &str| -> Result<PathBuf> {
            let to = dir.path().join(name);
            fs::copy(built.join(name), &to).with_context(|| format!("failed to copy {name}"))?;
            Ok(to)
        };
        let (hermes, floor) = (copy("hermes")?, copy("hermes-floor")?);
        Ok(Self { dir, scandirs, hermes, floor })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Creates a home with profiles `agent0`, `agent1`, …; if `some_run`, every tenth has the intent `running`.
    pub(super) fn home(&self, name: &str, profiles: usize, some_run: bool) -> Result<Home> {
        let path = self.path().join(name);
        let home = Home { scandir: self.scandirs.path().join(name), path, profiles };
        for i in 0..profiles {
            let intent = if some_run && i % ONE_RUNS_OF == 0 { "running" } else { "stopped" };
            home.add(&format!("agent{i}"), i, intent)?;
        }
        Ok(home)
    }

    /// Creates a home with this many built-in gateways, of which `default` is one, with the intent `stopped`.
    pub(super) fn serving(&self, name: &str, gateways: usize) -> Result<Home> {
        let home = Home { profiles: gateways, ..self.home(name, gateways - 1, false)? };
        for (profile, port) in home.gateways().iter().zip(FIRST_PORT..) {
            home.serve(profile, port)?;
        }
        home.intend("stopped")?;
        Ok(home)
    }

    /// `hermes` with `args`, on `home`.
    pub(super) fn hermes(&self, home: &Home, args: &[&str]) -> Command {
        let mut command = home.command(&self.hermes);
        command.args(args);
        command
    }

    /// The floor program with `args`, on `home`.
    pub(super) fn floor(&self, home: &Home, args: &[&str]) -> Command {
        let mut command = home.command(&self.floor);
        command.args(args);
        command
    }
}

/// A home with profiles, and the scan directory of its gateways.
pub(super) struct Home {
    pub(super) path: PathBuf,
    pub(super) scandir: PathBuf,
    pub(super) profiles: usize,
}

impl Home {
    /// Adds a profile like `hermes profile create` does, with `sleep` as its gateway.
    pub(super) fn add(&self, name: &str, number: usize, intent: &str) -> Result<()> {
        let home = self.path.join("profiles").join(name);
        fs::create_dir_all(home.join("logs"))?;
        let port = 8642 + number;
        let config = format!(
            "# Profile `{name}`. Hermes reads the keys under `gateway`; all others are the agent's.\n\
             gateway:\n  port: {port}\n  command: [sleep, infinity]\n"
        );
        for (file, text) in [
            ("SOUL.md", ""),
            ("config.yaml", &config),
            (".env", "# Secrets of this profile, as NAME=value lines.\n"),
            ("gateway.intent", &format!("{intent}\n")),
        ] {
            fs::write(home.join(file), text)?;
        }
        Ok(())
    }

    /// Gives a profile the built-in gateway, on `port`, also once the Python implementation has made the home its own.
    pub(super) fn serve(&self, name: &str, port: u16) -> Result<()> {
        let config = format!("gateway:\n  kind: built-in\n  port: {port}\n");
        Ok(fs::write(self.of(name).join("config.yaml"), config)?)
    }

    /// Lets each configuration grow to 7 KB, as those of agents are.
    pub(super) fn fill(&self) -> Result<()> {
        let setting =
            |i| format!("  setting_{i}: a value of the agent, which Hermes does not read\n");
        let settings = format!("agent:\n{}", (0..110).map(setting).collect::<String>());
        for i in 0..self.profiles {
            let config = self.of(&format!("agent{i}")).join("config.yaml");
            let text = fs::read_to_string(&config)?;
            fs::write(config, text + &settings)?;
        }
        Ok(())
    }

    /// Gives each profile that is to run a gateway that fails at once in a way that parks it.
    pub(super) fn break_running(&self) -> Result<()> {
        (0..self.profiles).step_by(ONE_RUNS_OF).try_for_each(|i| self.fail(i, 78))
    }

    /// Gives each profile a gateway that dies at once, and the intent to run it.
    pub(super) fn crash(&self) -> Result<()> {
        (0..self.profiles).try_for_each(|i| {
            fs::write(self.of(&format!("agent{i}")).join("gateway.intent"), "running\n")?;
            self.fail(i, 1)
        })
    }

    /// Blocks until each gateway has died so many times in a row and waits for its restart.
    pub(super) fn await_deaths(&self, deaths: u32) -> Result<()> {
        let mut rest: Vec<_> = (0..self.profiles).map(|i| format!("agent{i}")).collect();
        wait::until(TIMEOUT, Duration::from_secs(1), "all gateways have died again", || {
            let count = |name: &String| -> Option<u32> {
                let waits = fs::read_to_string(self.slot(name).join("data/backoff")).ok()?;
                waits.split(' ').next()?.parse().ok()
            };
            // Nobody waits for the restart of one that has given up.
            rest.retain(|name| {
                count(name).is_none_or(|count| count < deaths) && !self.is_parked(name)
            });
            Ok(rest.is_empty())
        })
    }

    /// The number of gateways that died so often that they are down now.
    pub(super) fn parked(&self) -> usize {
        (0..self.profiles).filter(|i| self.is_parked(&format!("agent{i}"))).count()
    }

    fn is_parked(&self, name: &str) -> bool {
        self.slot(name).join("data/parked").exists()
    }

    fn fail(&self, number: usize, code: u8) -> Result<()> {
        let config = self.of(&format!("agent{number}")).join("config.yaml");
        let text = fs::read_to_string(&config)?;
        let command = format!("[sh, -c, exit {code}]");
        Ok(fs::write(config, text.replace("[sleep, infinity]", &command))?)
    }

    /// The profiles of a home that is [`serving`](Testbed::serving).
    pub(super) fn gateways(&self) -> Vec<String> {
        let others = (0..self.profiles - 1).map(|i| format!("agent{i}"));
        others.chain(["default".to_owned()]).collect()
    }

    /// Writes the intent of each of these gateways.
    pub(super) fn intend(&self, intent: &str) -> Result<()> {
        let write =
            |name: &String| fs::write(self.of(name).join("gateway.intent"), format!("{intent}\n"));
        Ok(self.gateways().iter().try_for_each(write)?)
    }

    /// The home of a profile.
    fn of(&self, profile: &str) -> PathBuf {
        match profile {
            "default" => self.path.clone(),
            name => self.path.join("profiles").join(name),
        }
    }

    /// A program on this home, with an environment of its own.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.path)
            .env("LANG", "C.UTF-8")
            .env("HERMES_HOME", &self.path)
            .env("HERMES_SCANDIR", &self.scandir)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    pub(super) fn slot(&self, profile: &str) -> PathBuf {
        self.scandir.join(format!("gateway-{profile}"))
    }

    /// Creates the scan directory anew and starts s6-svscan on it.
    pub(super) fn tree(&self) -> Result<Tree<'_>> {
        if self.scandir.exists() {
            fs::remove_dir_all(&self.scandir)?;
        }
        fs::create_dir(&self.scandir)?;
        let mut svscan = self.command(Path::new("s6-svscan"));
        // s6 2.12 added -C, and 2.15 removed -c.
        let probe = svscan.args(["-C", "4", "--", "/nonexistent"]).output()?;
        let option = if probe.status.code() == Some(100) { "-c" } else { "-C" };
        let mut svscan = self.command(Path::new("s6-svscan"));
        svscan.args([option, CAPACITY, "--"]).arg(&self.scandir).stderr(Stdio::null());
        // Only the bench gets Ctrl-C; it then stops its trees.
        svscan.process_group(0);
        let tree = Tree { home: self, child: svscan.spawn().context("failed to run s6-svscan")? };
        until("s6-svscan takes commands", || Ok(tree.control("-z").is_ok()))?;
        Ok(tree)
    }
}

/// A live supervision tree, stopped on drop.
pub(super) struct Tree<'a> {
    home: &'a Home,
    child: Child,
}

impl Tree<'_> {
    /// Sends a command to s6-svscan, as `s6-svscanctl` does.
    pub(super) fn control(&self, option: &str) -> Result<()> {
        let mut command = self.home.command(Path::new("s6-svscanctl"));
        run(command.arg(option).arg(&self.home.scandir), &[0])
    }

    /// The number of supervisors below s6-svscan.
    pub(super) fn supervisors(&self) -> Result<usize> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(children.split_ascii_whitespace().count())
    }

    /// Kills s6-svscan alone.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        if let Err(error) = self.control("-t") {
            self.child.kill()?;
            self.child.wait()?;
            return Err(error);
        }
        until("s6-svscan has ended", || Ok(self.child.try_wait()?.is_some()))
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            super::print(format_args!("failed to stop a tree: {error:#}"));
        }
    }
}

/// Runs a command, which must exit with one of `codes`.
pub(super) fn run(command: &mut Command, codes: &[i32]) -> Result<()> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    ensure!(code.is_some_and(|code| codes.contains(&code)), "{command:?}: {code:?}\n{stderr}");
    Ok(())
}

/// Runs a command, which must exit with one of `codes`, and returns how many milliseconds it took.
pub(super) fn time(mut command: Command, codes: &[i32]) -> Result<f64> {
    let mut messages = tempfile::tempfile()?;
    command.stderr(messages.try_clone()?);
    let start = Instant::now();
    let status = command.status().with_context(|| format!("failed to run {command:?}"))?;
    let took = start.elapsed();
    let code = status.code();
    if !code.is_some_and(|code| codes.contains(&code)) {
        let mut said = String::new();
        messages.rewind()?;
        messages.read_to_string(&mut said)?;
        let errors: Vec<_> = said.lines().filter(|line| !line.ends_with(" is up")).collect();
        bail!("{command:?}: {code:?}\n{}", errors.join("\n"));
    }
    Ok(milliseconds(took))
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Calls `check` every quarter of a millisecond until it returns true.
pub(super) fn until(what: &str, check: impl FnMut() -> Result<bool>) -> Result<()> {
    wait::until(TIMEOUT, Duration::from_micros(250), what, check)
}
