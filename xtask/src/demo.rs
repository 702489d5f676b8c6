//! `cargo xtask demo`: shows the product's main job live, from a fresh clone.
//!
//! It runs the real `hermes` in a temporary home as a user would, and checks each result by other means: HTTP, `/proc` and
//! the file system. It stops at the first failure. In any case it ends the processes and removes the files that it made,
//! and no others.

mod answer;
mod parking;
mod stage;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::{http, install, processes, program};
use answer::Gateway;
use stage::{Stage, say};

/// How long a supervision tree may take to start or to end.
const TREE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a killed gateway may take to run again.
const RESTART_TIMEOUT: Duration = Duration::from_secs(3);
/// How long `/proc` may still show processes after a command that ended them.
const PROC_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the demo.
pub(crate) fn run(no_install: bool) -> Result<()> {
    ensure!(
        Path::new("/proc/self/environ").exists(),
        "the demo checks its results in /proc, which only Linux has"
    );
    install::ensure(install::FOR_DEMO, no_install)?;
    let hermes = program::build()?;
    let start = Instant::now();
    let mut demo = Demo { profiles: profiles()?, stage: Stage::new(hermes)? };
    let played = demo.play();
    let ended = demo.stage.end();
    played.and(ended)?;
    say(format_args!(
        "\nAll checks passed in {:.1} s. No process and no file is left.",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// A profile of the demo.
struct Profile {
    name: &'static str,
    port: u16,
}

/// Alice and Bob, each with a free port.
fn profiles() -> Result<[Profile; 2]> {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port");
    // Both listeners stay open until both ports are known, so that the ports differ.
    let (alice, bob) = (free()?, free()?);
    Ok([
        Profile { name: "alice", port: alice.local_addr()?.port() },
        Profile { name: "bob", port: bob.local_addr()?.port() },
    ])
}

struct Demo {
    profiles: [Profile; 2],
    stage: Stage,
}

impl Demo {
    fn play(&mut self) -> Result<()> {
        say(format_args!("\nHERMES_HOME={}", self.stage.home().display()));
        say(format_args!("HERMES_SCANDIR={}", self.stage.scandir().display()));

        act(1, "A supervision tree for this user, in the background.");
        self.bring_up()?;
        act(2, "Two profiles, each with a home and a port of its own.");
        self.create()?;
        act(3, "Their gateways start, supervised; the command returns when they are ready.");
        self.start()?;
        act(4, "Each answers on its port, with its own name.");
        self.greet()?;
        act(5, "One is killed. Its supervisor starts it again.");
        self.kill()?;
        act(6, "Its log has both starts.");
        self.stage.show(&["gateway", "logs", "alice", "-n", "5"])?;
        act(
            7,
            "A wrong configuration leaves a running gateway alone; one that starts with it is parked, with the reason.",
        );
        self.park()?;
        act(
            8,
            "The tree stops and starts again: gateways with the intent `running` run again, without a command.",
        );
        self.restart()?;
        act(9, "Deleted profiles leave no process, no service and no home.");
        self.delete()?;
        act(10, "The tree ends, and no process of it is left.");
        self.take_down()
    }

    fn bring_up(&mut self) -> Result<()> {
        self.stage.up()?;
        let ended =
            self.stage.eventually("`hermes gateway list --json` succeeds", TREE_TIMEOUT, || {
                if let Some(status) = self.stage.up_ended()? {
                    return Ok(Some(status));
                }
                self.stage.ask(&["gateway", "list", "--json"])?.success()?;
                Ok(None)
            })?;
        ended.map_or(Ok(()), |status| bail!("`hermes up` ended: {status}"))
    }

    fn create(&self) -> Result<()> {
        for Profile { name, port } in &self.profiles {
            self.stage.show(&["profile", "create", name, "--port", &port.to_string()])?;
            let home = self.home(name);
            ensure!(home.join("SOUL.md").is_file(), "`{}` has no SOUL.md", home.display());
            let config = fs::read_to_string(home.join("config.yaml"))
                .context("failed to read config.yaml")?;
            ensure!(
                config.contains(&port.to_string()),
                "{name}'s config.yaml does not name port {port}:\n{config}"
            );
            let gateway = self.stage.gateway(name)?;
            ensure!(
                gateway.intent == "stopped" && gateway.pid.is_none(),
                "a new profile runs: {gateway:?}"
            );
        }
        self.stage.show(&["profile", "list"])
    }

    fn start(&self) -> Result<()> {
        self.stage.show(&["gateway", "start", "alice", "bob"])?;
        for Profile { name, port } in &self.profiles {
            let gateway = self.stage.gateway(name)?;
            gateway.ready_pid()?;
            ensure!(
                gateway.port == Some(u64::from(*port)),
                "{name} is not on port {port}: {gateway:?}"
            );
        }
        self.stage.show(&["gateway", "status", "--all"])
    }

    fn greet(&self) -> Result<()> {
        for Profile { name, port } in &self.profiles {
            let pid = self.stage.gateway(name)?.ready_pid()?;
            say(format_args!("GET http://127.0.0.1:{port}/health"));
            let health = http::get_json(*port, "/health")?;
            say(format_args!("{health}"));
            ensure!(health["profile"] == *name, "port {port} is not {name}'s: {health}");
            ensure!(
                health["pid"] == pid,
                "the status has pid {pid}, the gateway answers {}",
                health["pid"]
            );
        }
        Ok(())
    }

    fn kill(&self) -> Result<()> {
        let old = self.stage.gateway("alice")?.ready_pid()?;
        ensure!(
            processes::mentions(old, self.stage.dir()),
            "pid {old} is not a process of this demo"
        );
        say(format_args!("$ kill -9 {old}"));
        let start = Instant::now();
        processes::signal(old, Signal::KILL)?;
        let new =
            self.stage.eventually("alice is back, as another process", RESTART_TIMEOUT, || {
                let pid = self.stage.gateway("alice")?.ready_pid()?;
                ensure!(pid != old, "alice is still pid {old}");
                Ok(pid)
            })?;
        say(format_args!(
            "alice is ready again as pid {new}, {:.1} s after the kill",
            start.elapsed().as_secs_f64()
        ));
        self.stage.show(&["gateway", "status", "alice"])
    }

    fn restart(&mut self) -> Result<()> {
        self.stage.show(&["gateway", "stop", "bob"])?;
        let alice = self.stage.gateway("alice")?.ready_pid()?;
        self.take_down()?;
        ensure!(!processes::exists(alice), "alice, pid {alice}, outlived the tree");
        for Profile { name, port } in &self.profiles {
            self.stage.eventually(
                &format!("{name}'s port refuses connections"),
                PROC_TIMEOUT,
                || {
                    ensure!(http::is_refused(*port), "port {port} still has a listener");
                    Ok(())
                },
            )?;
        }
        say("Both gateways are gone and their ports refuse connections.");

        self.bring_up()?;
        self.stage.eventually("alice is running again", TREE_TIMEOUT, || {
            self.stage.gateway("alice")?.ready_pid()
        })?;
        self.stage.eventually("bob stays down", TREE_TIMEOUT, || {
            let Gateway { state, intent, .. } = self.stage.gateway("bob")?;
            ensure!(
                state == "down" && intent == "stopped",
                "bob is {state}, with the intent {intent}"
            );
            Ok(())
        })?;
        self.stage.show(&["gateway", "status", "--all"])
    }

    fn delete(&self) -> Result<()> {
        for Profile { name, .. } in &self.profiles {
            self.stage.show(&["profile", "delete", name, "-y"])?;
            self.stage.eventually(
                &format!("no process of {name} is left"),
                PROC_TIMEOUT,
                || {
                    let left = processes::mentioning(self.stage.dir())?;
                    let of_profile: Vec<_> =
                        left.iter().filter(|process| process.is_about(name)).collect();
                    ensure!(of_profile.is_empty(), "left: {of_profile:?}");
                    Ok(())
                },
            )?;
            for path in [self.home(name), self.stage.home().join("logs/gateways").join(name)] {
                ensure!(!path.exists(), "`{}` is left", path.display());
            }
            let answer = self.stage.ask(&["gateway", "status", name, "--json"])?;
            ensure!(
                answer.code == Some(4),
                "`hermes gateway status {name}` exits with {:?}, not 4",
                answer.code
            );
        }
        let slots: Vec<_> = names(&self.stage.scandir())?
            .into_iter()
            .filter(|slot| {
                slot.starts_with(".hermes-") || self.profiles.iter().any(|p| slot.contains(p.name))
            })
            .collect();
        ensure!(slots.is_empty(), "left in the scan directory: {slots:?}");

        let tree = self.stage.up_pid().context("`hermes up` runs")?;
        let left = processes::mentioning(self.stage.dir())?;
        let strays: Vec<_> = left.iter().filter(|process| !process.is_below(tree, &left)).collect();
        ensure!(strays.is_empty(), "processes outside of the tree: {strays:?}");
        say("Only the tree itself still runs:");
        left.iter().for_each(|process| say(format_args!("  {process:?}")));
        Ok(())
    }

    /// Stops the tree and checks that no process of it is left.
    fn take_down(&mut self) -> Result<()> {
        self.stage.stop_up(TREE_TIMEOUT)?;
        self.stage.eventually("no process of the tree is left", PROC_TIMEOUT, || {
            let left = processes::mentioning(self.stage.dir())?;
            ensure!(left.is_empty(), "left: {left:?}");
            Ok(())
        })
    }

    fn home(&self, name: &str) -> PathBuf {
        self.stage.home().join("profiles").join(name)
    }
}

fn act(number: u32, what: &str) {
    say(format_args!("\n{number}. {what}"));
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(dir).with_context(|| format!("failed to read `{}`", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
