//! Random commands and faults on a live tree, compared with a small model after every step.
//!
//! `cargo xtask soak` runs it for longer, and again with the seed of a failure.

use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, Instant};

use hermes_s6::slot::layout::ServiceDir;
use hermes_tests::model::{Command, End, Model, Step, Wanted, steps};
use hermes_tests::{
    Outcome, SOON, SeededRng, Snapshot, TestEnv, Up, answered, eventually, free_port, is_alive,
    is_one_clear_error, kill, names, pid, processes_naming, require_root, tell,
};
use rustix::process::Signal;
use serde_json::Value;

/// The variable with the duration in seconds; the default is a minute.
const SECONDS: &str = "HERMES_TEST_SECONDS";
/// The steps in one environment.
const LENGTH: usize = 30;
/// The size of a test environment's disk.
const MEBIBYTES: u32 = 32;
/// The tenth death parks a gateway, and an orphan's successors may die, too.
const DEATHS: usize = 6;

/// A live tree, and its model.
struct Soak {
    up: Option<Up>,
    model: Model,
    /// The steps so far, for the message of a failure.
    done: Vec<Step>,
}

#[test]
fn random_commands_match_the_model() {
    require_root!();
    let seconds = std::env::var(SECONDS).map_or(60, |text| text.parse().expect("a number"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (first, mut taken, mut sequences) = (SeededRng::seed(), 0, 0);
    while sequences == 0 || Instant::now() < end {
        let seed = first + sequences;
        taken += sequence(seed, end);
        sequences += 1;
    }
    tell(format_args!("model: {taken} steps in {sequences} sequences, seeds from {first} on"));
    assert!(taken >= 10, "so many steps at least: {taken}");
}

/// Takes steps in a new environment; returns their number.
fn sequence(seed: u64, end: Instant) -> usize {
    let mut rng = SeededRng::new(seed);
    let mut env = TestEnv::on_disk_of(MEBIBYTES);
    env.faster = 1000;
    let mut soak = Soak { up: Some(Up::start_in(env)), model: Model::default(), done: Vec::new() };
    let mut first = [Command::Create("a"), Command::Start("a"), Command::Create("b")].into_iter();
    for _ in 0..LENGTH {
        let step = match first.next() {
            Some(command) => Step::Run(command),
            None if Instant::now() >= end => break,
            None => rng.roll(&steps()),
        };
        soak.done.push(step.clone());
        let scene = Scene { seed, done: &soak.done.clone() };
        soak.take(&step);
        drop(scene);
    }
    let taken = soak.done.len();
    let (env, code) = soak.up.take().expect("it runs").end(Signal::TERM);
    assert_eq!(code, Some(0), "the tree ends in order");
    eventually("nothing is left of the tree", || {
        processes_naming(&env.path().to_string_lossy()).is_empty().then_some(())
    });
    taken
}

/// Prints the steps if one fails.
struct Scene<'a> {
    seed: u64,
    done: &'a [Step],
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(format_args!("model: failed with HERMES_TEST_SEED={}, after", self.seed));
            self.done.iter().for_each(|step| tell(format_args!("  {step:?}")));
        }
    }
}

impl Soak {
    fn up(&self) -> &Up {
        self.up.as_ref().expect("it runs")
    }

    fn env(&self) -> &TestEnv {
        &self.up().env
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Run(command) => self.run_and_expect(command),
            Step::RunOnFullDisk(command) => return self.run_on_full_disk(command),
            Step::Corrupt(name) => {
                if let Some(profile) = self.model.0.get_mut(name) {
                    profile.wanted = Wanted::Corrupt;
                    let path = self.env().profile(name).join("gateway.intent");
                    self.env().write(&path, "maybe\n");
                }
            }
            Step::KillGateway(name) => self.kill_gateway(name),
            Step::KillLogger(name) => self.kill_logger(name),
            Step::KillSupervisors(name, then) => self.kill_supervisors(name, then),
            Step::EndTree(end) => self.end_tree(*end),
        }
        self.is_as_modelled(&[&self.model]);
    }

    fn run(&self, command: &Command) -> Outcome {
        let port = free_port().to_string();
        let args = match *command {
            Command::Create(name) => vec!["profile", "create", name, "--port", &port],
            Command::Delete(name) => vec!["profile", "delete", name, "-y"],
            Command::Rename(from, to) => vec!["profile", "rename", from, to],
            Command::Start(name) => vec!["gateway", "start", name],
            Command::Stop(name) => vec!["gateway", "stop", name],
            Command::Restart(name) => vec!["gateway", "restart", name],
            Command::Register(name) => vec!["gateway", "register", name],
            Command::Unregister(name) => vec!["gateway", "unregister", name],
            Command::Boot => vec!["boot"],
        };
        let outcome = self.env().hermes(args).run();
        if !matches!(outcome.code(), Some(0)) && *command != Command::Boot {
            is_one_clear_error(&outcome);
        }
        outcome
    }

    fn run_and_expect(&mut self, command: &Command) {
        let expected = self.model.apply(command);
        let outcome = self.run(command);
        assert_eq!(outcome.code(), Some(expected), "{outcome}");
    }

    /// The command succeeds or fails; after a boot with free space again, the result is complete either way.
    fn run_on_full_disk(&mut self, command: &Command) {
        let filler = self.env().path().join("filler");
        let mut file = File::create(&filler).expect("a file");
        let zeros = vec![0; 1 << 20];
        let full = (0..=MEBIBYTES).any(|_| file.write_all(&zeros).is_err());
        assert!(full, "the disk is full");
        drop(file);
        let outcome = self.run(command);
        fs::remove_file(&filler).expect("it was there");
        let mut done = self.model.clone();
        done.apply(command);
        self.env().hermes(["boot"]).ok();
        done.apply(&Command::Boot);
        self.model.apply(&Command::Boot);
        let allowed =
            if outcome.code() == Some(0) { vec![&done] } else { vec![&done, &self.model] };
        if self.is_as_modelled(&allowed) == 0 {
            self.model = done;
        }
    }

    fn kill_gateway(&mut self, name: &str) {
        let Some(profile) = self.model.0.get_mut(name) else { return };
        if !profile.up || profile.deaths >= DEATHS {
            return;
        }
        profile.deaths += 1;
        let old = pid(&self.up().status(name));
        kill(old);
        eventually("it runs again", || {
            let status = self.up().status(name);
            (status["state"] == "up" && pid(&status) != old).then_some(())
        });
    }

    fn kill_logger(&self, name: &str) {
        if !self.model.0.get(name).is_some_and(|profile| profile.registered) {
            return;
        }
        let log = ServiceDir::new(self.env().slot(name)).log();
        let logger = || log.record().ok().and_then(|record| record.gateway());
        let old = eventually("it logs", logger);
        kill(old.into());
        eventually("it logs again", || logger().filter(|pid| *pid != old));
    }

    fn kill_supervisors(&mut self, name: &str, then: &Command) {
        let Some(profile) = self.model.0.get_mut(name).filter(|profile| profile.registered) else {
            return;
        };
        profile.deaths += 2;
        let state = if profile.up { "orphan" } else { "down" };
        self.env().lose_supervisors(name);
        eventually("it is an orphan", || (self.up().status(name)["state"] == state).then_some(()));
        let before = self.model.clone();
        self.run_and_expect(then);
        // A refused rename ends no orphan.
        if before.0.get(name) == self.model.0.get(name) {
            self.run_and_expect(&Command::Stop(match *then {
                Command::Rename(from, _) => from,
                _ => return,
            }));
        }
    }

    fn end_tree(&mut self, end: End) {
        let up = self.up.take().expect("it runs");
        let svscan = up.svscan();
        if matches!(end, End::UpKilled | End::BothKilled) {
            kill(up.pid().into());
        }
        if matches!(end, End::SvscanKilled | End::BothKilled) {
            kill(svscan);
        }
        let (env, _) = match end {
            End::Orderly => up.end(Signal::TERM),
            _ => up.ended(),
        };
        // A tree without its `hermes up` ends by itself, later.
        eventually("the former tree has ended", || (!is_alive(svscan)).then_some(()));
        self.up = Some(Up::start_in(env));
        self.model.begin_again();
    }

    /// Waits until the tree matches one of `allowed`; returns its index.
    #[track_caller]
    fn is_as_modelled(&self, allowed: &[&Model]) -> usize {
        let mut differences = Vec::new();
        let seen = answered(SOON, || {
            differences = allowed.iter().map(|model| self.difference(model)).collect();
            differences.iter().position(Option::is_none)
        });
        seen.unwrap_or_else(|| {
            let differences: Vec<_> = differences.into_iter().flatten().collect();
            panic!("{}", differences.join("\n--- or\n"))
        })
    }

    /// The difference from `model`, if any.
    fn difference(&self, model: &Model) -> Option<String> {
        let env = self.env();
        let differ = |what: &str, expected: Vec<String>, seen: Vec<String>| {
            (expected != seen)
                .then(|| format!("{what}: {expected:#?}, and there is {seen:#?}\n{model}"))
        };
        let profiles = env.hermes(["profile", "list", "--json"]).json();
        let slots = |mut names: Vec<String>| {
            names.retain(|name| !name.starts_with(".s6-") && name != ".hermes.booted");
            names
        };
        let all = model.0.keys().map(ToString::to_string).collect();
        differ("homes", all, names(&env.home().join("profiles")))
            .or_else(|| differ("slots", model.slots(), slots(names(&env.scandir()))))
            .or_else(|| differ("profiles", expected_list(model), listed(&profiles)))
            .or_else(|| differ("processes", model.processes(), running(env)))
    }
}

/// The expected output of `profile list`, without `default`.
fn expected_list(model: &Model) -> Vec<String> {
    let line = |(name, profile): (&&str, &hermes_tests::model::Profile)| {
        let wanted = match profile.wanted {
            Wanted::Running => "running",
            Wanted::Stopped => "stopped",
            Wanted::Corrupt => "null",
        };
        format!("{name} {wanted} {}", profile.state())
    };
    model.0.iter().map(line).collect()
}

fn listed(profiles: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line =
        |profile: &Value| ["profile", "intent", "state"].map(|key| word(&profile[key])).join(" ");
    profiles.as_array().expect("a list").iter().skip(1).map(line).collect()
}

/// The processes below s6-svscan, each with its parent, without options.
fn running(env: &TestEnv) -> Vec<String> {
    let snapshot = Snapshot::of(env);
    let short = |line: &&str| {
        let line = line.strip_prefix("process ")?;
        let (process, rest) = line.split_once(" in ")?;
        let parent = rest.split_once(", of ").map_or("nobody", |(_, parent)| parent);
        let name = |words: &str| {
            let words: Vec<_> = words.split(' ').collect();
            let program = words[0].rsplit('/').next().unwrap_or_default();
            match (program, words.as_slice()) {
                ("s6-supervise", [_, slot]) => format!("{program} {slot}"),
                ("hermes", [_, "-p", profile, "gateway", "start", "--foreground"]) => {
                    (*profile).to_owned()
                }
                ("hermes", _) => words[1..].join(" "),
                _ => program.to_owned(),
            }
        };
        Some(format!("{} of {}", name(process), name(parent)))
    };
    let lines = snapshot.lines_with("process ");
    let mut lines: Vec<_> = lines.iter().filter_map(short).collect();
    lines.retain(|line| !line.starts_with("up of ") && !line.starts_with("s6-svscan of "));
    lines.sort();
    lines
}
