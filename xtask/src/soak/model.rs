//! The profiles that may exist after commands that were done, refused or killed.
//!
//! A killed command leaves the state before it or the state after it. So the model is a set of worlds, of which a look
//! at the tree leaves those that match. Everything here is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// The name of a profile: `p` and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) u8);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.strip_prefix('p').and_then(|number| number.parse().ok());
        number.map(Self).filter(|name| name.to_string() == text).ok_or(())
    }
}

/// The program of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The built-in gateway, which is killed if it does not answer.
    Serving,
    /// It has helpers in its process group and outside of it.
    Forking,
    /// It prints, and starts a process for each line.
    Chatty,
    /// It ignores SIGTERM.
    Stubborn,
    /// It dies again and again, and leaves a helper behind.
    Crashing,
    /// It asks for a restart again and again.
    Asking,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Serving, Self::Forking, Self::Chatty, Self::Stubborn, Self::Crashing, Self::Asking];

    /// Whether the gateway ends by itself.
    pub(super) fn dies(self) -> bool {
        matches!(self, Self::Crashing | Self::Asking)
    }
}

/// One profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Profile {
    pub(super) kind: Kind,
    /// Whether its intent is `running`.
    pub(super) wanted: bool,
    /// Whether it has a service; no operator has removed it.
    pub(super) registered: bool,
}

/// A command that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Create { name: Name, kind: Kind, start: bool },
    Delete(Name),
    Rename(Name, Name),
    Start(Name),
    Stop(Name),
    Restart(Name),
    Register(Name),
    Unregister(Name),
    Port(Name),
    Boot,
}

impl Command {
    /// Its name in the figures.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Delete(_) => "delete",
            Self::Rename(..) => "rename",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Restart(_) => "restart",
            Self::Register(_) => "register",
            Self::Unregister(_) => "unregister",
            Self::Port(_) => "port",
            Self::Boot => "boot",
        }
    }

    /// The profiles that it changes; none if it may change all.
    pub(super) fn names(self) -> Vec<Name> {
        match self {
            Self::Rename(from, to) => vec![from, to],
            Self::Boot => vec![],
            Self::Create { name, .. }
            | Self::Delete(name)
            | Self::Start(name)
            | Self::Stop(name)
            | Self::Restart(name)
            | Self::Register(name)
            | Self::Unregister(name)
            | Self::Port(name) => vec![name],
        }
    }
}

/// All profiles except `default`, which has a service and stays down.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct World(pub(super) BTreeMap<Name, Profile>);

impl World {
    /// The world after the command; `None` if the command is refused.
    pub(super) fn after(&self, command: Command) -> Option<Self> {
        let mut world = self.clone();
        let profiles = &mut world.0;
        match command {
            Command::Boot => {
                world.begin_again();
                return Some(world);
            }
            Command::Create { name, kind, start } => {
                let profile = Profile { kind, wanted: start, registered: true };
                return profiles.insert(name, profile).is_none().then_some(world);
            }
            Command::Rename(from, to) => {
                let profile = profiles.remove(&from)?;
                let profile = Profile { registered: true, ..profile };
                return profiles.insert(to, profile).is_none().then_some(world);
            }
            Command::Delete(name) => {
                profiles.remove(&name)?;
            }
            Command::Start(name) | Command::Restart(name) => {
                let profile = profiles.get_mut(&name)?;
                (profile.wanted, profile.registered) = (true, true);
            }
            Command::Stop(name) => profiles.get_mut(&name)?.wanted = false,
            // One that another program has just made has no service yet.
            Command::Register(name) => profiles.get_mut(&name)?.registered = true,
            Command::Unregister(name) => {
                // There is nothing to remove without the profile.
                let profile = profiles.get_mut(&name);
                profile.into_iter().for_each(|profile| profile.registered = false);
            }
            Command::Port(name) => {
                profiles.get(&name)?;
            }
        }
        Some(world)
    }

    /// The worlds that the command leaves if it is killed or fails.
    fn interrupted(&self, command: Command) -> Vec<Self> {
        let mut worlds: Vec<_> =
            [Some(self.clone()), self.after(command)].into_iter().flatten().collect();
        let mut with = |name: Name, change: fn(&mut Profile)| {
            let mut world = self.clone();
            if let Some(profile) = world.0.get_mut(&name) {
                change(profile);
                worlds.push(world);
            }
        };
        match command {
            // The intent comes first.
            Command::Start(name) | Command::Restart(name) => with(name, |it| it.wanted = true),
            Command::Create { start: true, .. } => {
                let not_started = |mut world: Self| {
                    command.names().iter().for_each(|name| {
                        world.0.entry(*name).and_modify(|profile| profile.wanted = false);
                    });
                    world
                };
                worlds.extend(self.after(command).map(not_started));
            }
            // What is undone is registered.
            Command::Rename(name, _) => with(name, |it| it.registered = true),
            Command::Boot => {
                let missing = self.0.iter().filter(|(_, profile)| !profile.registered);
                for name in missing.map(|(name, _)| *name) {
                    let registered = |mut world: Self| {
                        world.0.entry(name).and_modify(|profile| profile.registered = true);
                        world
                    };
                    let more: Vec<_> = worlds.iter().cloned().map(registered).collect();
                    worlds.extend(more);
                }
            }
            _ => {}
        }
        worlds
    }

    /// Every profile gets a service, as at the start of a tree.
    fn begin_again(&mut self) {
        self.0.values_mut().for_each(|profile| profile.registered = true);
    }
}

/// The worlds that are possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worlds(BTreeSet<World>);

impl Worlds {
    /// The empty world.
    pub(super) fn new() -> Self {
        Self(BTreeSet::from([World::default()]))
    }

    /// One of them.
    pub(super) fn one(&self) -> &World {
        self.0.first().expect("a set of worlds is never empty")
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &World> {
        self.0.iter()
    }

    /// Takes a command that reported success; fails if that is possible in no world.
    pub(super) fn succeeded(&mut self, command: Command) -> Result<(), ()> {
        let after: BTreeSet<_> = self.0.iter().filter_map(|world| world.after(command)).collect();
        if after.is_empty() {
            return Err(());
        }
        self.0 = after;
        Ok(())
    }

    /// Whether the command must succeed if nothing else goes wrong.
    pub(super) fn must_succeed(&self, command: Command) -> bool {
        let is_registered = |world: &World, name| world.0.get(name).is_some_and(|it| it.registered);
        self.0.iter().all(|world| match &command {
            Command::Register(name) if is_registered(world, name) => false,
            command => world.after(*command).is_some(),
        })
    }

    /// Takes a command that was killed or failed.
    pub(super) fn interrupted(&mut self, command: Command) {
        self.0 = self.0.iter().flat_map(|world| world.interrupted(command)).collect();
    }

    /// Takes the start of another tree.
    pub(super) fn begin_again(&mut self) {
        self.change(World::begin_again);
    }

    /// Applies a change that is certain.
    pub(super) fn change(&mut self, change: impl Fn(&mut World)) {
        let changed = |mut world: World| {
            change(&mut world);
            world
        };
        self.0 = std::mem::take(&mut self.0).into_iter().map(changed).collect();
    }

    /// Keeps the world that was seen.
    pub(super) fn settle(&mut self, seen: World) {
        self.0 = BTreeSet::from([seen]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Name = Name(0);
    const B: Name = Name(1);

    fn worlds(profiles: &[(Name, bool, bool)]) -> Worlds {
        let profile = |(name, wanted, registered): &(Name, bool, bool)| {
            (*name, Profile { kind: Kind::Forking, wanted: *wanted, registered: *registered })
        };
        Worlds(BTreeSet::from([World(profiles.iter().map(profile).collect())]))
    }

    fn lines(worlds: &Worlds) -> Vec<String> {
        let of = |world: &World| {
            let line = |(name, it): (&Name, &Profile)| {
                format!(
                    "{name}{}{}",
                    if it.wanted { "+" } else { "-" },
                    if it.registered { "" } else { "!" }
                )
            };
            world.0.iter().map(line).collect::<Vec<_>>().join(" ")
        };
        worlds.0.iter().map(of).collect()
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        assert_eq!("p12".parse(), Ok(Name(12)));
        for text in ["", "p", "p012", "q1", ".p1", "p256", "default"] {
            assert_eq!(text.parse::<Name>(), Err(()), "{text}");
        }
    }

    #[test]
    fn a_command_has_one_result() {
        let create = Command::Create { name: A, kind: Kind::Forking, start: true };
        for (before, command, after) in [
            (&[][..], create, Some("p0+")),
            (&[(A, false, true)], create, None),
            (&[(A, true, false)], Command::Rename(A, B), Some("p1+")),
            (&[(A, true, true), (B, true, true)], Command::Rename(A, B), None),
            (&[(B, true, true)], Command::Rename(A, B), None),
            (&[(A, false, false)], Command::Start(A), Some("p0+")),
            (&[(A, true, true)], Command::Stop(A), Some("p0-")),
            (&[(A, true, false)], Command::Register(A), Some("p0+")),
            (&[(A, true, true)], Command::Unregister(A), Some("p0+!")),
            (&[], Command::Unregister(A), Some("")),
            (&[], Command::Delete(A), None),
            (&[(A, true, false), (B, false, false)], Command::Boot, Some("p0+ p1-")),
            (&[(A, true, true)], Command::Port(A), Some("p0+")),
        ] {
            let mut worlds = worlds(before);
            assert_eq!(worlds.must_succeed(command), after.is_some(), "{command:?}");
            let done = worlds.succeeded(command).is_ok().then(|| lines(&worlds).join("|"));
            assert_eq!(done.as_deref(), after, "{before:?} {command:?}");
        }
    }

    #[test]
    fn a_service_that_another_program_lets_come_may_be_there() {
        let mut worlds = worlds(&[(A, true, true)]);
        assert!(!worlds.must_succeed(Command::Register(A)));
        worlds.succeeded(Command::Register(A)).unwrap();
        assert_eq!(lines(&worlds), ["p0+"]);
    }

    #[test]
    fn a_killed_command_leaves_the_world_before_or_after_or_a_step_between() {
        for (before, command, expected) in [
            (
                &[][..],
                Command::Create { name: A, kind: Kind::Forking, start: true },
                &["", "p0-", "p0+"][..],
            ),
            (&[(A, false, true)], Command::Delete(A), &["", "p0-"]),
            (&[(A, false, true)], Command::Rename(A, B), &["p0-", "p1-"]),
            (&[(A, false, false)], Command::Rename(A, B), &["p0-!", "p0-", "p1-"]),
            (&[(A, false, false)], Command::Start(A), &["p0-!", "p0+!", "p0+"]),
            (
                &[(A, true, false), (B, true, false)],
                Command::Boot,
                &["p0+! p1+!", "p0+! p1+", "p0+ p1+!", "p0+ p1+"],
            ),
        ] {
            let mut worlds = worlds(before);
            worlds.interrupted(command);
            assert_eq!(lines(&worlds), expected, "{before:?} {command:?}");
        }
    }

    #[test]
    fn a_later_success_excludes_worlds() {
        let mut worlds = worlds(&[(A, true, true)]);
        worlds.interrupted(Command::Rename(A, B));
        worlds.succeeded(Command::Stop(B)).unwrap();
        assert_eq!(lines(&worlds), ["p1-"]);
        assert_eq!(worlds.succeeded(Command::Stop(A)), Err(()));
        worlds.change(|world| {
            world.0.remove(&B);
        });
        assert_eq!(lines(&worlds), [""]);
    }

    #[test]
    fn another_tree_has_every_service() {
        let mut worlds = worlds(&[(A, true, false)]);
        worlds.begin_again();
        assert_eq!(lines(&worlds), ["p0+"]);
    }
}
