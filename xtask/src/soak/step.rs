//! Chooses the steps of a run: commands, faults, and what other programs do to profiles. Pure but for the random numbers.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use super::model::{Command, Kind, Name, Profile, World};

/// One command of this many is killed, if it still runs then.
const KILLED_OF: u32 = 2;
/// A killed command is killed within one of these times: many take some milliseconds, and some wait for seconds.
const KILLED_WITHIN: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(40), Duration::from_millis(2500)];
/// How many commands run at the same time at most.
const AT_ONCE: usize = 3;

/// A process of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Gateway,
    Supervisor,
    Logger,
    LoggersSupervisor,
    /// All but the gateway, which becomes an orphan.
    AllButGateway,
}

/// How a tree ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// `hermes down`.
    Down,
    /// SIGTERM to `hermes up`.
    Term,
    /// SIGKILL to `hermes up`.
    UpKilled,
    /// SIGKILL to s6-svscan.
    SvscanKilled,
    /// SIGKILL to both.
    BothKilled,
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Runs a command, and kills it after a time if it still runs then.
    Run(Command, Option<Duration>),
    /// Kills processes of a service.
    Kill(Name, Part),
    /// Stops the process of a gateway that is asked for its liveness.
    Hang(Name),
    /// Makes a profile, as another program does.
    Make(Name, Kind, bool),
    /// Renames a profile likewise.
    Move(Name, Name),
    /// Removes a profile likewise.
    Remove(Name),
    /// Gives a profile another configuration likewise.
    Configure(Name, Kind),
    /// Ends the tree and starts another.
    Restart(End),
}

impl Act {
    /// The profiles that it concerns; none if it may concern all.
    fn names(self) -> Vec<Name> {
        match self {
            Self::Run(command, _) => command.names(),
            Self::Move(from, to) => vec![from, to],
            Self::Restart(_) => vec![],
            Self::Kill(name, _)
            | Self::Hang(name)
            | Self::Make(name, ..)
            | Self::Remove(name)
            | Self::Configure(name, _) => vec![name],
        }
    }
}

/// What the choice depends on.
pub(super) struct Choice<'a> {
    pub(super) world: &'a World,
    /// The profiles whose next death may park their gateway.
    pub(super) tired: &'a BTreeSet<Name>,
    /// How many profiles there should be at most.
    pub(super) profiles: u8,
    /// Whether nothing is killed and nobody else changes profiles.
    pub(super) calm: bool,
}

impl Choice<'_> {
    /// Acts to carry out at the same time: on different profiles, or one alone.
    pub(super) fn step(&self, rng: &mut Rng) -> Vec<Act> {
        let count = if self.calm { 1 } else { rng.usize(1..=AT_ONCE) };
        let mut acts: Vec<Act> = Vec::new();
        for _ in 0..count {
            let act = self.act(rng);
            let names = act.names();
            if acts.is_empty() && names.is_empty() {
                return vec![act];
            }
            let taken = |name: &Name| acts.iter().any(|act| act.names().contains(name));
            if !names.is_empty() && !names.iter().any(taken) {
                acts.push(act);
            }
        }
        acts
    }

    fn act(&self, rng: &mut Rng) -> Act {
        if self.calm {
            return Act::Run(self.command(rng), None);
        }
        match rng.u32(0..100) {
            0..60 => {
                let within = KILLED_WITHIN[rng.usize(0..KILLED_WITHIN.len())].as_micros();
                let within = u64::try_from(within).unwrap_or(u64::MAX);
                let killed = rng.u32(0..KILLED_OF) == 0;
                Act::Run(
                    self.command(rng),
                    killed.then(|| Duration::from_micros(rng.u64(0..within))),
                )
            }
            60..80 => self.fault(rng),
            80..99 => self.by_others(rng),
            _ => {
                let ends =
                    [End::Down, End::Term, End::UpKilled, End::SvscanKilled, End::BothKilled];
                Act::Restart(ends[rng.usize(0..ends.len())])
            }
        }
    }

    fn command(&self, rng: &mut Rng) -> Command {
        // Now and then one that is refused.
        let (name, other) = (self.existing(rng), self.free(rng));
        let (name, other) = if rng.u8(0..16) == 0 { (other, name) } else { (name, other) };
        match rng.u32(0..100) {
            0..18 if self.has_room() => {
                Command::Create { name: other, kind: kind(rng), start: rng.bool() }
            }
            0..18 => Command::Delete(name),
            18..22 => Command::Delete(name),
            22..36 => Command::Rename(name, other),
            36..54 => Command::Start(name),
            54..66 => Command::Stop(name),
            66..80 => Command::Restart(name),
            80..86 => Command::Unregister(name),
            86..92 => Command::Register(self.unregistered(rng).unwrap_or(name)),
            92..96 => Command::Port(name),
            _ => Command::Boot,
        }
    }

    fn fault(&self, rng: &mut Rng) -> Act {
        let fresh = self
            .world
            .0
            .iter()
            .filter(|(name, it)| it.registered && it.wanted && !self.tired.contains(name));
        let fresh: Vec<_> = fresh.collect();
        let Some((name, profile)) = pick(rng, &fresh) else {
            return Act::Run(Command::Boot, None);
        };
        let parts = [
            Part::Gateway,
            Part::Gateway,
            Part::Logger,
            Part::LoggersSupervisor,
            Part::Supervisor,
            Part::AllButGateway,
        ];
        match profile.kind {
            Kind::Serving if rng.bool() => Act::Hang(*name),
            _ => Act::Kill(*name, parts[rng.usize(0..parts.len())]),
        }
    }

    fn by_others(&self, rng: &mut Rng) -> Act {
        let (name, other) = (self.existing(rng), self.free(rng));
        let Some(profile) = self.world.0.get(&name) else {
            return Act::Make(name, kind(rng), rng.bool());
        };
        match rng.u8(0..4) {
            0 if self.has_room() => Act::Make(other, kind(rng), rng.bool()),
            0 | 1 => Act::Remove(name),
            2 => Act::Move(name, other),
            // A gateway that runs reports readiness, or dies by itself, until it is restarted.
            _ => {
                let is_plain = |kind: Kind| kind != Kind::Serving && !kind.dies();
                let other = kind(rng);
                let other = Some(other).filter(|it| is_plain(*it) && is_plain(profile.kind));
                Act::Configure(name, other.unwrap_or(profile.kind))
            }
        }
    }

    fn has_room(&self) -> bool {
        self.world.0.len() < usize::from(self.profiles)
    }

    /// A profile; a free name if there is none.
    fn existing(&self, rng: &mut Rng) -> Name {
        let names: Vec<_> = self.world.0.keys().copied().collect();
        pick(rng, &names).unwrap_or_else(|| self.free(rng))
    }

    fn unregistered(&self, rng: &mut Rng) -> Option<Name> {
        let is_free = |(name, it): (&Name, &Profile)| (!it.registered).then_some(*name);
        let names: Vec<_> = self.world.0.iter().filter_map(is_free).collect();
        pick(rng, &names)
    }

    /// A name without a profile. There are more names than profiles.
    fn free(&self, rng: &mut Rng) -> Name {
        let names = (0..=self.profiles.saturating_add(self.profiles / 2)).map(Name);
        let names: Vec<_> = names.filter(|name| !self.world.0.contains_key(name)).collect();
        pick(rng, &names).unwrap_or(Name(u8::MAX))
    }
}

fn kind(rng: &mut Rng) -> Kind {
    Kind::ALL[rng.usize(0..Kind::ALL.len())]
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> Option<T> {
    (!from.is_empty()).then(|| from[rng.usize(0..from.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(count: u8) -> World {
        let profile = Profile { kind: Kind::Serving, wanted: true, registered: true };
        World((0..count).map(|number| (Name(number), profile)).collect())
    }

    fn steps(seed: u64, world: &World, tired: &BTreeSet<Name>, calm: bool) -> Vec<Vec<Act>> {
        let mut rng = Rng::with_seed(seed);
        let choice = Choice { world, tired, profiles: 8, calm };
        (0..2000).map(|_| choice.step(&mut rng)).collect()
    }

    #[test]
    fn a_seed_gives_the_same_steps() {
        let steps = |seed| steps(seed, &world(5), &BTreeSet::new(), false);
        assert_eq!(steps(1), steps(1));
        assert_ne!(steps(1), steps(2));
    }

    #[test]
    fn acts_at_the_same_time_concern_different_profiles() {
        for step in steps(3, &world(5), &BTreeSet::new(), false) {
            let mut names: Vec<_> = step.iter().flat_map(|act| act.names()).collect();
            assert!(!step.is_empty());
            assert!(step.len() == 1 || step.iter().all(|act| !act.names().is_empty()), "{step:?}");
            names.sort();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{step:?}");
        }
    }

    #[test]
    fn every_kind_of_act_occurs_and_a_share_of_the_commands_is_killed() {
        let acts: Vec<_> =
            steps(4, &world(5), &BTreeSet::new(), false).into_iter().flatten().collect();
        let word = |act: &Act| match act {
            Act::Run(command, _) => command.word().to_owned(),
            Act::Kill(_, part) => format!("{part:?}"),
            Act::Restart(end) => format!("{end:?}"),
            other => format!("{other:?}").split('(').next().unwrap_or_default().to_owned(),
        };
        let words: BTreeSet<_> = acts.iter().map(word).collect();
        assert_eq!(words.len(), 10 + 5 + 5 + 5, "{words:?}");
        let killed = acts.iter().filter(|act| matches!(act, Act::Run(_, Some(_)))).count();
        let run = acts.iter().filter(|act| matches!(act, Act::Run(..))).count();
        assert!((run / 3..run / 2 + run / 10).contains(&killed), "{killed} of {run}");
    }

    #[test]
    fn a_calm_step_is_one_command_to_its_end() {
        for step in steps(5, &world(5), &BTreeSet::new(), true) {
            assert!(matches!(step.as_slice(), [Act::Run(_, None)]), "{step:?}");
        }
    }

    #[test]
    fn a_tired_gateway_is_not_killed_and_a_full_home_gets_no_profile() {
        let full = world(8);
        let tired = full.0.keys().copied().filter(|name| name.0 != 3).collect();
        for act in steps(6, &full, &tired, false).into_iter().flatten() {
            match act {
                Act::Kill(name, _) | Act::Hang(name) => assert_eq!(name, Name(3)),
                Act::Make(..) => panic!("{act:?}"),
                Act::Run(Command::Create { name, .. }, _) => panic!("{name}"),
                _ => {}
            }
        }
        assert!(!steps(7, &world(0), &BTreeSet::new(), false).is_empty());
    }
}
