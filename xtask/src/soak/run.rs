//! Carries out the rounds of a run: commands, faults, changes by others, and the wait until the tree is as wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;

use super::command::{Outcome, line};
use super::figures::Figures;
use super::gateways::{self, Ports};
use super::look::Held;
use super::model::{Command, Kind, Name, Profile, World, Worlds};
use super::seen::Seen;
use super::step::{Act, Choice, Part};
use super::tree::{POLL, Tree};
use crate::wait;

/// How long the tree may take until it is as wanted. A gateway may wait for half a minute before its next start.
const CONVERGENCE: Duration = Duration::from_secs(120);
/// The pause between two looks at the tree.
const LOOK: Duration = Duration::from_millis(100);
/// One round of this many only runs commands to their ends, which then may not fail.
const CALM_OF: u8 = 4;
/// The steps of a round at most.
const STEPS: usize = 10;
/// A round ends early with so many possible worlds.
const WORLDS: usize = 100;
/// A gateway with so many deaths since its last start is left alone: the tenth parks it.
const DEATHS: usize = 5;
/// The starts that fail while there is no home: the service of a profile that is gone is removed after two seconds.
const DEATHS_WITHOUT_HOME: usize = 2;
/// How much more memory in KiB, and how many more descriptors, `hermes up` and s6-svscan may hold than at the first
/// look.
const GROWTH: Held = Held { memory: 8192, descriptors: 8 };
/// s6-svscan holds two descriptors for each service with a logger.
const PER_SERVICE: u64 = 2;

/// A run.
pub(super) struct Soak {
    pub(super) tree: Tree,
    rng: Rng,
    worlds: Worlds,
    /// The deaths of each gateway since its last start, or more.
    wear: BTreeMap<Name, usize>,
    /// The gateways that may have been parked before they got a configuration that works.
    may_park: BTreeSet<Name>,
    /// The kinds that the profiles got last, also those that are gone.
    kinds: BTreeMap<Name, Kind>,
    ports: Ports,
    pub(super) figures: Figures,
    /// What this tree held at the first look.
    first_held: Option<[Held; 2]>,
    profiles: u8,
    pub(super) interrupted: Arc<AtomicBool>,
}

impl Soak {
    /// Without a tree yet.
    pub(super) fn new(
        hermes: &Path,
        seed: u64,
        profiles: u8,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Self> {
        Ok(Self {
            tree: Tree::new(hermes)?,
            rng: Rng::with_seed(seed),
            worlds: Worlds::new(),
            wear: BTreeMap::new(),
            may_park: BTreeSet::new(),
            kinds: BTreeMap::new(),
            ports: Ports::new(),
            figures: Figures::default(),
            first_held: None,
            profiles,
            interrupted,
        })
    }

    /// Carries out rounds for `time`, and ends the tree. Fails at the first broken promise.
    pub(super) fn play(&mut self, time: Duration) -> Result<()> {
        let (begun, mut minute) = (Instant::now(), 1);
        self.tree.up()?;
        while begun.elapsed() < time {
            self.round()?;
            if begun.elapsed() >= Duration::from_secs(60 * minute) {
                minute = begun.elapsed().as_secs() / 60 + 1;
                println!("{:>3} min: {}", minute - 1, self.figures.line());
            }
        }
        self.tree.end_without_traces()
    }

    /// Takes some steps, and waits until the tree is as wanted.
    fn round(&mut self) -> Result<()> {
        let calm = self.rng.u8(0..CALM_OF) == 0;
        for _ in 0..self.rng.usize(1..=STEPS) {
            ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
            let tired = self.wear.iter().filter(|(_, deaths)| **deaths >= DEATHS);
            let tired = tired.map(|(name, _)| *name).collect();
            let world = self.worlds.one();
            let choice = Choice { world, tired: &tired, profiles: self.profiles, calm };
            let step = choice.step(&mut self.rng);
            self.take(&step, calm)?;
            if self.worlds.all().count() > WORLDS {
                break;
            }
        }
        self.figures.rounds += 1;
        self.converge()
    }

    /// Carries out acts at the same time, and records what became of them.
    fn take(&mut self, acts: &[Act], calm: bool) -> Result<()> {
        let mut running = Vec::new();
        for act in acts {
            self.tree.note(&format!("{act:?}"))?;
            match *act {
                Act::Run(command, kill_after) => {
                    let port = self.ports.next().to_string();
                    let line = line(command, &port);
                    let args: Vec<_> = line.split(' ').collect();
                    running.push((command, kill_after, self.tree.run(&args)?));
                }
                act => self.change(act)?,
            }
        }
        for (command, kill_after, running) in running {
            let outcome = running.finish(kill_after)?;
            self.record(command, &outcome, calm)?;
        }
        Ok(())
    }

    /// Carries out an act that is no command.
    fn change(&mut self, act: Act) -> Result<()> {
        match act {
            Act::Run(..) => {}
            Act::Kill(name, part) => {
                if self.tree.kill(name, part)? {
                    *self.figures.faults.entry(format!("{part:?}")).or_default() += 1;
                }
                // The successors of an orphan die, too.
                let deaths = match part {
                    Part::Logger | Part::LoggersSupervisor => 0,
                    Part::Gateway => 1,
                    Part::Supervisor | Part::AllButGateway => 3,
                };
                *self.wear.entry(name).or_default() += deaths;
            }
            Act::Hang(name) => {
                if self.tree.hang(name)? {
                    *self.figures.faults.entry("hung".to_owned()).or_default() += 1;
                }
                *self.wear.entry(name).or_default() += 1;
            }
            Act::Make(name, kind, wanted) => {
                if self.tree.home(name).exists() {
                    // In one of the possible worlds it does not exist.
                    return Ok(());
                }
                self.count_other("made");
                let former = self.former_kind(name);
                let kind = former.unwrap_or(kind);
                self.kinds.insert(name, kind);
                gateways::make(&self.tree.home(name), kind, self.ports.next(), wanted)?;
                let profile = Profile { kind, wanted, registered: true };
                self.worlds.change(|world| {
                    world.0.insert(name, profile);
                });
                self.take_over(name);
            }
            Act::Move(from, to) => {
                if !self.tree.home(from).exists() || self.tree.home(to).exists() {
                    return Ok(());
                }
                let kind = self.kinds.get(&from).copied();
                if self.former_kind(to).is_some_and(|former| kind != Some(former)) {
                    return Ok(());
                }
                self.count_other("renamed");
                self.kinds.extend(kind.map(|kind| (to, kind)));
                fs::rename(self.tree.home(from), self.tree.home(to))?;
                self.worlds.change(|world| {
                    if let Some(profile) = world.0.remove(&from) {
                        world.0.insert(to, Profile { registered: true, ..profile });
                    }
                });
                self.tree.abandoned_logs.insert(from);
                self.take_over(to);
            }
            Act::Remove(name) => {
                if !self.tree.home(name).exists() {
                    return Ok(());
                }
                self.count_other("removed");
                self.remove_home(name)?;
                self.worlds.change(|world| {
                    world.0.remove(&name);
                });
                self.tree.abandoned_logs.insert(name);
            }
            Act::Configure(name, kind) => {
                self.count_other("configured");
                self.configure(name, kind)?;
            }
            Act::Restart(end) => {
                *self.figures.ends.entry(format!("{end:?}")).or_default() += 1;
                self.tree.end(end)?;
                self.tree.up()?;
                self.worlds.begin_again();
                self.wear.clear();
                self.may_park.clear();
                self.first_held = None;
            }
        }
        Ok(())
    }

    fn count_other(&mut self, what: &'static str) {
        *self.figures.by_others.entry(what).or_default() += 1;
    }

    /// Removes a home file by file, until a process that writes there has ended.
    fn remove_home(&self, name: Name) -> Result<()> {
        let home = self.tree.home(name);
        wait::until(CONVERGENCE, POLL, "the home is removed", || match fs::remove_dir_all(&home) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) => {
                Err(error).with_context(|| format!("failed to remove {}", home.display()))
            }
        })
    }

    /// The kind of a former profile, if its service is still there: a gateway that runs keeps its configuration until its
    /// next start.
    fn former_kind(&self, name: Name) -> Option<Kind> {
        self.kinds.get(&name).copied().filter(|_| self.tree.has_slot(name))
    }

    fn configure(&mut self, name: Name, kind: Kind) -> Result<()> {
        self.kinds.insert(name, kind);
        gateways::configure(&self.tree.home(name), kind, self.ports.next())?;
        let crashed = self
            .worlds
            .all()
            .any(|world| world.0.get(&name).is_some_and(|profile| profile.kind == Kind::Crashing));
        if crashed {
            self.may_park.insert(name);
        }
        self.worlds.change(|world| {
            world.0.entry(name).and_modify(|profile| profile.kind = kind);
        });
        // Its next start is a death more, if the new program ends.
        *self.wear.entry(name).or_default() += 1;
        Ok(())
    }

    /// Records what became of a command.
    fn record(&mut self, command: Command, outcome: &Outcome, calm: bool) -> Result<()> {
        let Outcome { line, status, killed, output } = outcome;
        self.tree.note(&format!("  {line}: {status}; {}", output.trim().replace('\n', " | ")))?;
        let counts = self.figures.commands.entry(command.word()).or_default();
        counts[0] += 1;
        counts[1] += usize::from(*killed);
        counts[2] += usize::from(!killed && !status.success());
        let is_orderly = *killed || status.code().is_some_and(|code| (0..=7).contains(&code));
        ensure!(
            is_orderly && !output.contains("panicked"),
            "`{line}` ended with {status}: {output}"
        );
        if status.success() {
            if self.worlds.succeeded(command).is_err() {
                bail!("`{line}` should have been refused: {output}\n{:?}", self.worlds);
            }
            if !matches!(command, Command::Stop(_) | Command::Unregister(_) | Command::Port(_)) {
                command.names().into_iter().for_each(|name| self.forget(name));
            }
        } else {
            // One whose gateway dies fails, too, and a rename to a name whose logs another program left.
            let to_old_logs = |command| match command {
                Command::Rename(_, to) => self.tree.abandoned_logs.contains(&to),
                _ => false,
            };
            let may_fail = *killed || !calm || self.has_crashing(command) || to_old_logs(command);
            if !may_fail && self.worlds.must_succeed(command) {
                bail!("`{line}` failed: {output}\n{:?}", self.worlds);
            }
            self.worlds.interrupted(command);
        }
        match command {
            // A gateway that runs keeps the kind that it has.
            Command::Create { name, kind, .. }
                if gateways::is_made_by(&self.tree.home(name), line) =>
            {
                self.configure(name, kind)?;
            }
            Command::Port(name) => *self.wear.entry(name).or_default() += 1,
            Command::Rename(from, to) => {
                let kind = self.kinds.get(&from).copied();
                self.kinds.extend(kind.map(|kind| (to, kind)));
            }
            _ => {}
        }
        Ok(())
    }

    fn has_crashing(&self, command: Command) -> bool {
        let (names, all) = (command.names(), command == Command::Boot);
        self.worlds.all().any(|world: &World| {
            world.0.iter().any(|(name, it)| it.kind.dies() && (all || names.contains(name)))
        })
    }

    /// Another program made the profile. The service of a former one, if it is still there, keeps its deaths.
    fn take_over(&mut self, name: Name) {
        match self.tree.has_slot(name) {
            true => *self.wear.entry(name).or_default() += DEATHS_WITHOUT_HOME,
            false => self.forget(name),
        }
    }

    /// The gateway has a new service, or was started.
    fn forget(&mut self, name: Name) {
        self.wear.remove(&name);
        self.may_park.remove(&name);
    }

    /// Blocks until the tree is as one of the possible worlds wants it.
    fn converge(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut differences = Vec::new();
        let mut found = None;
        let waited = wait::until(CONVERGENCE, LOOK, "the tree is as wanted", || {
            ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
            let seen: Seen = self.tree.look()?;
            differences.clear();
            for world in self.worlds.all() {
                let differs = seen.differences(world, &self.may_park);
                if differs.is_empty() {
                    found = Some(world.clone());
                    return Ok(true);
                }
                differences.push((differs, world.clone()));
            }
            Ok(false)
        });
        waited.with_context(|| nearest(&mut differences))?;
        let took = begun.elapsed();
        self.tree.note(&format!("as wanted after {:.1} s", took.as_secs_f64()))?;
        self.figures.longest = self.figures.longest.max(took);
        self.worlds.settle(found.expect("the wait ended because it was found"));
        self.figures.mends = self.tree.count("mended: ")?;
        self.figures.failed_mends = self.tree.count("warning: not mended: ")?;
        self.check_growth()
    }

    fn check_growth(&mut self) -> Result<()> {
        let services =
            u64::try_from(self.worlds.one().0.values().filter(|it| it.registered).count())?;
        let mut held = self.tree.held()?;
        held[1].descriptors = held[1].descriptors.saturating_sub(PER_SERVICE * services);
        let first = *self.first_held.get_or_insert(held);
        self.figures.held = Some([self.figures.held.map_or(held, |[first, _]| first), held]);
        for (program, first, now) in
            [("hermes up", first[0], held[0]), ("s6-svscan", first[1], held[1])]
        {
            ensure!(
                now.memory <= first.memory + GROWTH.memory
                    && now.descriptors <= first.descriptors + GROWTH.descriptors,
                "{program} grows: {first:?}, now {now:?}"
            );
        }
        Ok(())
    }
}

/// The differences from the world that is most like what was seen.
fn nearest(differences: &mut [(Vec<String>, World)]) -> String {
    differences.sort_by_key(|(differs, _)| differs.len());
    let count = differences.len();
    differences.first().map_or_else(String::new, |(differs, world)| {
        format!(
            "of {count} possible worlds the nearest is {world:?}, and differs:\n  {}",
            differs.join("\n  ")
        )
    })
}
