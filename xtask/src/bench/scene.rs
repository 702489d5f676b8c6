//! Homes with so many profiles, live trees on them, and the commands that are measured there.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::Timespec;
use tempfile::TempDir;

/// What a tree may take to begin or to end; a slow machine needs its time.
const PATIENCE: Duration = Duration::from_secs(300);
/// One gateway in so many runs, the others are stopped.
pub(super) const ONE_RUNS_OF: usize = 10;
/// For how many services there is room in a tree.
const ROOM: &str = "10000";
/// Where scan directories are made: in memory, as `/run` is, if a plain user has a place there.
const MEMORY: &str = "/dev/shm";

/// The programs that are measured, where a plain user may run them, and a place for homes and trees.
pub(super) struct Scene {
    dir: TempDir,
    scandirs: TempDir,
    pub(super) hermes: PathBuf,
    pub(super) floor: PathBuf,
}

impl Scene {
    /// With copies of the programs in `built`.
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

    /// A home with profiles `agent0`, `agent1`, …; one of ten is to run if `some_run`.
    pub(super) fn home(&self, name: &str, profiles: usize, some_run: bool) -> Result<Home> {
        let path = self.path().join(name);
        let home = Home { scandir: self.scandirs.path().join(name), path, profiles };
        for i in 0..profiles {
            let intent = if some_run && i % ONE_RUNS_OF == 0 { "running" } else { "stopped" };
            home.add(&format!("agent{i}"), i, intent)?;
        }
        Ok(home)
    }

    /// `hermes` about `home`.
    pub(super) fn hermes(&self, home: &Home, args: &[&str]) -> Command {
        let mut command = home.command(&self.hermes);
        command.args(args);
        command
    }

    /// The floor program; `args` say where.
    pub(super) fn floor(&self, home: &Home, args: &[&str]) -> Command {
        let mut command = home.command(&self.floor);
        command.args(args);
        command
    }
}

/// A home of profiles, and where the tree of its gateways is.
pub(super) struct Home {
    pub(super) path: PathBuf,
    pub(super) scandir: PathBuf,
    pub(super) profiles: usize,
}

impl Home {
    /// Adds a profile as `hermes profile create` makes it, but for its gateway, which is a `sleep`.
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

    /// Gives a profile the built-in gateway, on this port.
    pub(super) fn serve(&self, name: &str, port: u16) -> Result<()> {
        let config = self.path.join("profiles").join(name).join("config.yaml");
        Ok(fs::write(config, format!("gateway:\n  port: {port}\n"))?)
    }

    /// A program about this home; nothing of the caller's own Hermes reaches it.
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

    /// Starts an s6-svscan on the scan directory, which it makes anew.
    pub(super) fn tree(&self) -> Result<Tree<'_>> {
        if self.scandir.exists() {
            fs::remove_dir_all(&self.scandir)?;
        }
        fs::create_dir(&self.scandir)?;
        let mut svscan = self.command(Path::new("s6-svscan"));
        // -C came with s6 2.12, -c left with 2.15.
        let probe = svscan.args(["-C", "4", "--", "/nonexistent"]).output()?;
        let room = if probe.status.code() == Some(100) { "-c" } else { "-C" };
        let mut svscan = self.command(Path::new("s6-svscan"));
        svscan.args([room, ROOM, "--"]).arg(&self.scandir).stderr(Stdio::null());
        // Ctrl-C is for the bench, which then ends its trees.
        svscan.process_group(0);
        let tree = Tree { home: self, child: svscan.spawn().context("failed to run s6-svscan")? };
        until("s6-svscan takes commands", || Ok(tree.tell("-z").is_ok()))?;
        Ok(tree)
    }
}

/// A live tree. Dropping it ends it.
pub(super) struct Tree<'a> {
    home: &'a Home,
    child: Child,
}

impl Tree<'_> {
    /// Sends a command to s6-svscan, as `s6-svscanctl` does.
    pub(super) fn tell(&self, option: &str) -> Result<()> {
        let mut command = self.home.command(Path::new("s6-svscanctl"));
        run(command.arg(option).arg(&self.home.scandir), &[0])
    }

    /// How many supervisors s6-svscan has.
    pub(super) fn supervisors(&self) -> Result<usize> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(children.split_ascii_whitespace().count())
    }

    fn end(&mut self) -> Result<()> {
        if let Err(error) = self.tell("-t") {
            self.child.kill()?;
            self.child.wait()?;
            return Err(error);
        }
        until("s6-svscan has ended", || Ok(self.child.try_wait()?.is_some()))
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            super::say(format_args!("failed to end a tree: {error:#}"));
        }
    }
}

/// Runs a command, which must end with one of `codes`.
pub(super) fn run(command: &mut Command, codes: &[i32]) -> Result<()> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    ensure!(code.is_some_and(|code| codes.contains(&code)), "{command:?}: {code:?}\n{said}");
    Ok(())
}

/// How long a command takes from its start to its end, in milliseconds.
pub(super) fn time(mut command: Command, codes: &[i32]) -> Result<f64> {
    command.stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().with_context(|| format!("failed to run {command:?}"))?;
    let took = start.elapsed();
    let code = status.code();
    ensure!(code.is_some_and(|code| codes.contains(&code)), "{command:?}: {code:?}");
    Ok(milliseconds(took))
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Looks every quarter of a millisecond until `look` says yes.
pub(super) fn until(what: &str, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !look()? {
        if start.elapsed() > PATIENCE {
            bail!("not within {} s: {what}", PATIENCE.as_secs());
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: 250_000 };
        // An interrupted pause only looks a little earlier.
        let _ = rustix::event::poll(&mut [], Some(&pause));
    }
    Ok(())
}
