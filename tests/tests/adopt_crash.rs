//! `hermes adopt` and `hermes adopt --undo`, killed at any step: `doctor` names what is left, and either command mends it.
//!
//! The agent takes seconds to start, so that a program in its place holds the agent's lock here. `adopt` has the agent.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hermes_tests::crash::{CHANGES, at_every};
use hermes_tests::{Helper, TestEnv, doctor, eventually};
use serde_json::Value;

/// A gateway without an API server: it holds the agent's lock until it is asked to end.
const AGENT: &str = "#!/usr/bin/python3
import fcntl, os, signal
lock = open(os.environ['HERMES_HOME'] + '/gateway.lock', 'a')
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
signal.pause()
";

/// A profile whose gateway runs outside of any supervisor, and has a unit of the agent's.
struct Foreign {
    env: TestEnv,
    unit: PathBuf,
    text: String,
    _process: Helper,
}

impl Foreign {
    fn start() -> Self {
        let env = TestEnv::new();
        env.hermes(["profile", "create", "coder"]).env_remove("HERMES_SCANDIR").ok();
        let (home, program) = (env.profile("coder"), env.path().join("agent"));
        env.write_program(&program, AGENT);
        let config = format!("gateway: {{kind: hermes-agent, program: {}}}\n", program.display());
        env.write(&home.join("config.yaml"), &config);
        fs::remove_file(home.join("gateway.intent")).expect("`create` records an intent");
        let units = env.path().join(".config/systemd/user");
        for directory in [".config", ".config/systemd", ".config/systemd/user"] {
            env.make_directory(&env.path().join(directory));
        }
        let unit = units.join("hermes-gateway-coder.service");
        let text = format!(
            "[Service]\nExecStart=python3 -m hermes_cli.main gateway run\nEnvironment=\"HERMES_HOME={}\"\n",
            home.display()
        );
        env.write(&unit, &text);
        let mut command = env.command(program);
        command.args(["-p", "coder", "gateway", "run"]).env("HERMES_HOME", &home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Helper::start(&mut command);
        let foreign = Self { env, unit, text, _process: process };
        eventually("it holds the lock", || foreign.runs().then_some(()));
        foreign
    }

    fn hermes(&self, args: &[&str]) {
        self.env.hermes(args.iter().copied()).ok();
    }

    /// Whether a gateway holds the agent's lock.
    fn runs(&self) -> bool {
        let lock = self.env.profile("coder").join("gateway.lock");
        if !lock.exists() {
            return false;
        }
        let mut probe = Command::new("flock");
        let probe = probe.arg("-n").arg(&lock).arg("true").stderr(Stdio::null()).status();
        probe.is_ok_and(|status| !status.success())
    }

    #[track_caller]
    fn is_adopted(&self, when: &str) {
        let status = self.env.hermes(["gateway", "status", "coder", "--json"]).run().json();
        assert_eq!(status["state"], "up", "{when}: {status}");
        assert!(!self.unit.exists(), "{when}: the unit is put aside");
        doctor::finds_nothing(&self.env, "adoptions");
    }

    #[track_caller]
    fn is_as_before(&self, when: &str) {
        assert!(self.runs(), "{when}: it does not run");
        assert_eq!(fs::read_to_string(&self.unit).ok().as_ref(), Some(&self.text), "{when}");
        let home = self.env.profile("coder");
        assert!(!home.join("gateway.intent").exists(), "{when}: it had no intent");
        assert!(!self.env.home().join("hermes-adopted").exists(), "{when}: nothing is adopted");
        // The tree that the adoption started has ended, too.
        self.env.hermes(["gateway", "status", "coder"]).fails_with(5);
    }

    /// The stages in the journal, if there is one.
    fn stages(&self) -> Option<Vec<String>> {
        let journal = fs::read(self.env.home().join("hermes-adopted/journal.json")).ok()?;
        let journal: Value = serde_json::from_slice(&journal).expect("it is written durably");
        let profiles = journal["profiles"].as_object().expect("an object");
        Some(
            profiles.values().map(|it| it["stage"].as_str().expect("a stage").to_owned()).collect(),
        )
    }

    /// `doctor` names an adoption that is neither complete nor put back, with the command that mends it.
    #[track_caller]
    fn is_named(&self, when: &str) {
        let Some(stages) = self.stages() else {
            return doctor::finds_nothing(&self.env, "adoptions");
        };
        let (severity, mends) = match stages.first().map(String::as_str) {
            None => ("warning", "hermes adopt --undo"),
            Some("returning") => ("error", "hermes adopt --undo"),
            Some("recorded" | "adopting") => ("error", "hermes adopt"),
            Some("adopted") => return doctor::finds_nothing(&self.env, "adoptions"),
            Some(other) => panic!("{when}: {other}"),
        };
        let found = doctor::finds(&self.env, "adoptions", severity, &["adopt"]);
        assert!(found.remedy.starts_with(mends), "{when}: {found:?}");
        assert_eq!(found.remedy.contains("--undo"), mends.contains("--undo"), "{when}: {found:?}");
    }

    /// Kills `command` at every step, each time after `prepare`, and completes what is left: by `adopt` first, every other
    /// time. Returns the number of steps.
    #[track_caller]
    fn killed_at_every_step(&self, command: &[&str], prepare: impl Fn()) -> usize {
        let mut steps = 0;
        at_every(&CHANGES, "signal=KILL", |injection| {
            prepare();
            let killed = self.env.hermes_injected(&[injection], command.iter().copied()).run();
            assert!(matches!(killed.code(), None | Some(0)), "{injection}: {killed}");
            if killed.code().is_none() {
                self.is_named(injection);
            }
            if steps % 2 == 0 {
                self.hermes(&["adopt"]);
                self.is_adopted(injection);
            }
            self.hermes(&["adopt", "--undo"]);
            self.is_as_before(injection);
            steps += 1;
            killed.code().is_none()
        });
        steps
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.env.hermes(["down"]).run();
        self.env.end_processes();
    }
}

#[test]
fn an_adoption_that_is_killed_at_any_step_is_completed_or_undone() {
    let foreign = Foreign::start();
    let steps = foreign.killed_at_every_step(&["adopt"], || {});
    assert!(steps >= 30, "{steps}");
}

#[test]
fn an_undo_that_is_killed_at_any_step_is_completed_or_reversed() {
    let foreign = Foreign::start();
    let steps = foreign.killed_at_every_step(&["adopt", "--undo"], || foreign.hermes(&["adopt"]));
    assert!(steps >= 30, "{steps}");
}
