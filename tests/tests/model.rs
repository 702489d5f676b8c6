//! Random commands and faults on a live tree, compared with a small model after every step.
//!
//! `HERMES_TEST_SECONDS` sets for how long, and `HERMES_TEST_SEED` repeats the steps of a failure.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hermes_core::RootHome;
use hermes_s6::ScanDir;
use hermes_s6::slot::layout::{SCANDIR_LOCK, ServiceDir};
use hermes_tests::foreign_lock::{ForeignLock, OF_DESCRIPTION, hold_gateway};
use hermes_tests::model::{Command, End, Foreign, Model, Step, Wanted, first_steps, steps};
use hermes_tests::{
    Hermes, Outcome, SOON, SeededRng, Snapshot, TestEnv, Up, answered, eventually, free_port,
    is_alive, is_one_clear_error, kill, names, pid, processes_naming, require_root, tell,
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
    // A process started before would keep the machine's clock.
    env.set_clock("+0");
    let mut soak = Soak { up: Some(Up::start_in(env)), model: Model::default(), done: Vec::new() };
    let mut first = first_steps().into_iter();
    for _ in 0..LENGTH {
        let step = match first.next() {
            Some(step) => step,
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
            Step::SetClock(offset) => self.set_clock(offset),
            Step::RunUnderLock(lock, command) => self.run_under_lock(*lock, command),
            Step::RunAfterLock(lock, command) => {
                let held = ForeignLock::hold(self.env(), &self.path_of(*lock));
                let expected = self.model.apply(command);
                let outcome = held.let_go_when_wanted(self.hermes(command).spawn());
                assert_eq!(outcome.code(), Some(expected), "{outcome}");
            }
            Step::RunElsewhere(name, command) => self.run_elsewhere(name, command),
        }
        self.is_as_modelled(&[&self.model]);
    }

    fn hermes(&self, command: &Command) -> Hermes {
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
        self.env().hermes(args)
    }

    fn run(&self, command: &Command) -> Outcome {
        Self::checked(command, self.hermes(command).run())
    }

    fn checked(command: &Command, outcome: Outcome) -> Outcome {
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

    /// The command succeeds or fails; after a boot with free space again, the result is complete either way. A command
    /// that failed may have stopped a gateway that no boot brings up, since its intent is invalid.
    fn run_on_full_disk(&mut self, command: &Command) {
        let filler = self.env().path().join("filler");
        let mut file = File::create(&filler).expect("a file");
        let zeros = vec![0; 1 << 20];
        let full = (0..=MEBIBYTES).any(|_| file.write_all(&zeros).is_err());
        assert!(full, "the disk is full");
        drop(file);
        let outcome = self.hermes(command).run().without_lost_events();
        let outcome = Self::checked(command, outcome);
        fs::remove_file(&filler).expect("it was there");
        let mut done = self.model.clone();
        done.apply(command);
        let mut allowed = vec![done];
        if outcome.code() != Some(0) {
            allowed.extend([self.model.clone(), self.model.stopped_for_now(command)]);
        }
        let booted = self.env().hermes(["boot"]).run();
        let codes: Vec<_> = allowed.iter_mut().map(|model| model.apply(&Command::Boot)).collect();
        let index = self.is_as_modelled(&allowed.iter().collect::<Vec<_>>());
        assert_eq!(booted.code(), Some(codes[index]), "{booted}");
        self.model = allowed.swap_remove(index);
    }

    fn path_of(&self, lock: Foreign) -> PathBuf {
        let root = RootHome::new(self.env().home());
        match lock {
            Foreign::Profile(name) => root.profile_lock(&name.parse().expect("a valid name")),
            Foreign::Profiles => root.ports_lock(),
            Foreign::Scandir => ScanDir::new(self.env().scandir()).command_lock(),
        }
    }

    /// A command that needs the lock names its holder, and changes no more than an intent; one that fails by itself may
    /// do so first. A boot goes on with what needs no lock.
    fn run_under_lock(&mut self, lock: Foreign, command: &Command) {
        let held = ForeignLock::hold(self.env(), &self.path_of(lock));
        let mut done = self.model.clone();
        let (needed, code) = match command {
            Command::Boot => {
                let needed = done.boot_under(lock);
                (needed, done.clone().apply(command).max(i32::from(needed)))
            }
            _ => (self.model.takes(lock, command), done.apply(command)),
        };
        let hermes = self.hermes(command);
        // The timeout is that of every wait of the command.
        let hermes = if needed { hermes.args(["--timeout", "2"]) } else { hermes };
        let outcome = Self::checked(command, hermes.run());
        if *command == Command::Boot || !needed {
            assert_eq!(outcome.code(), Some(code), "{outcome}");
            self.model = done;
        } else if code == 0 || outcome.code() != Some(code) {
            assert_eq!(outcome.code(), Some(6), "{outcome}");
            self.model.record_intent(lock, command);
        }
        if outcome.code() == Some(6) || (*command == Command::Boot && needed) {
            let holder = format!("process {} (", std::process::id());
            assert!(outcome.stderr.contains(&holder), "{outcome}");
        }
        self.is_as_modelled(&[&self.model]);
        drop(held);
    }

    /// No command touches a gateway that runs elsewhere. A stop records the intent nonetheless.
    fn run_elsewhere(&mut self, name: &str, command: &Command) {
        let Some(profile) = self.model.0.get_mut(name).filter(|profile| !profile.up) else {
            return;
        };
        if let Command::Stop(_) = command {
            profile.wanted = Wanted::Stopped;
        }
        let elsewhere = hold_gateway(self.env(), &self.env().gateway_lock(name), OF_DESCRIPTION);
        let outcome = self.run(command);
        let refused = matches!(outcome.code(), Some(1 | 5));
        // Some fail by themselves.
        let fails = self.model.clone().apply(command) != 0;
        assert!(refused && (fails || outcome.stderr.contains("elsewhere")), "{outcome}");
        drop(elsewhere);
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

    /// Every death counts, whatever the wall clock was and is.
    fn set_clock(&mut self, offset: &str) {
        let names: Vec<_> = self.model.0.keys().copied().collect();
        names.iter().for_each(|name| self.kill_gateway(name));
        let deaths = |up: &Up| names.iter().map(|name| up.status(name)["deaths"].clone()).collect();
        let before: Vec<Value> = deaths(self.up());
        self.up.as_mut().expect("it runs").env.set_clock(offset);
        assert_eq!(deaths(self.up()), before, "deaths of {names:?}");
        names.iter().for_each(|name| self.kill_gateway(name));
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

    fn kill_supervisors(&mut self, name: &'static str, then: &Command) {
        let Some(profile) = self.model.0.get_mut(name).filter(|profile| profile.registered) else {
            return;
        };
        profile.deaths += 2;
        let state = if profile.up { "orphan" } else { "down" };
        // `hermes up` mends an orphan within seconds, but not while a command runs.
        let held = ForeignLock::hold(self.env(), &self.path_of(Foreign::Profile(name)));
        self.env().lose_supervisors(name);
        eventually("it is an orphan", || (self.up().status(name)["state"] == state).then_some(()));
        drop(held);
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
        let is_orderly = matches!(end, End::Orderly);
        let (env, _) = if is_orderly { up.end(Signal::TERM) } else { up.ended() };
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
            let ours = [".hermes.booted", SCANDIR_LOCK];
            names.retain(|name| !name.starts_with(".s6-") && !ours.contains(&name.as_str()));
            // A mark of what an operator removed.
            names.retain(|name| {
                let marked = name.strip_prefix(".hermes.off.");
                let of = marked.and_then(|name| model.0.get(name));
                of.is_none_or(|profile| profile.registered)
            });
            names
        };
        let all = model.0.keys().map(ToString::to_string).collect();
        differ("homes", all, names(&env.home().join("profiles")))
            .or_else(|| differ("slots", model.slots(), slots(names(&env.scandir()))))
            .or_else(|| differ("profiles", model.list(), listed(&profiles)))
            .or_else(|| differ("processes", model.processes(), running(env)))
    }
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
