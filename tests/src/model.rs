//! A model of the expected effect of commands and faults on a live tree. It is small enough to be checked by
//! reading, and independent of the implementation.

mod step;

use std::collections::BTreeMap;
use std::fmt;

pub use step::{Command, End, Step, steps};

/// The intent in a profile's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// `running`.
    Running,
    /// `stopped`.
    Stopped,
    /// An invalid value.
    Corrupt,
}

/// One profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The intent.
    pub wanted: Wanted,
    /// Whether it has a slot with both supervisors.
    pub registered: bool,
    /// Whether its gateway runs supervised.
    pub up: bool,
    /// The deaths of its gateway since its last start; the tenth parks it.
    pub deaths: usize,
}

/// All profiles except `default`, which has a slot and stays down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model(pub BTreeMap<&'static str, Profile>);

impl Profile {
    /// Creates the slot, which starts the gateway if the intent is `running`.
    fn register(&mut self) {
        (self.registered, self.up, self.deaths) = (true, self.wanted == Wanted::Running, 0);
    }

    fn start(&mut self) {
        *self = Self { wanted: Wanted::Running, registered: true, up: true, deaths: 0 };
    }

    /// The state that `status` reports.
    pub fn state(&self) -> &'static str {
        match (self.registered, self.up) {
            (false, _) => "unsupervised",
            (true, true) => "up",
            (true, false) => "down",
        }
    }
}

impl Model {
    /// Applies the expected effect of a command, and returns its exit code.
    pub fn apply(&mut self, command: &Command) -> i32 {
        let profiles = &mut self.0;
        match *command {
            Command::Create(name) if profiles.contains_key(name) => return 1,
            Command::Create(name) => {
                let wanted = Wanted::Stopped;
                let profile = Profile { wanted, registered: true, up: false, deaths: 0 };
                profiles.insert(name, profile);
            }
            Command::Rename(from, to) => match profiles.get(from) {
                None => return 4,
                Some(_) if profiles.contains_key(to) => return 1,
                Some(profile) if profile.wanted == Wanted::Corrupt => return 1,
                Some(_) => {
                    let mut profile = profiles.remove(from).expect("the profile exists");
                    profile.register();
                    profiles.insert(to, profile);
                }
            },
            Command::Boot => self.boot(),
            // There is no slot to remove.
            Command::Unregister(name) if !profiles.contains_key(name) => {}
            Command::Delete(name)
            | Command::Start(name)
            | Command::Stop(name)
            | Command::Restart(name)
            | Command::Register(name)
            | Command::Unregister(name) => {
                let Some(profile) = profiles.get_mut(name) else { return 4 };
                match command {
                    Command::Start(_) | Command::Restart(_) => profile.start(),
                    Command::Stop(_) => (profile.wanted, profile.up) = (Wanted::Stopped, false),
                    Command::Unregister(_) => (profile.registered, profile.up) = (false, false),
                    Command::Register(_) => {
                        if profile.registered || profile.wanted == Wanted::Corrupt {
                            return 1;
                        }
                        profile.register();
                    }
                    _ => drop(profiles.remove(name)),
                }
            }
        }
        0
    }

    /// Applies a boot, which skips profiles with an invalid intent.
    fn boot(&mut self) {
        for profile in self.0.values_mut().filter(|profile| profile.wanted != Wanted::Corrupt) {
            match profile.registered {
                true => profile.up = profile.wanted == Wanted::Running,
                false => profile.register(),
            }
        }
    }

    /// Applies the end of the tree and the start of another, which recreates all slots.
    pub fn begin_again(&mut self) {
        for profile in self.0.values_mut() {
            (profile.registered, profile.up) = (false, false);
        }
        self.boot();
    }

    /// The existing slots.
    pub fn slots(&self) -> Vec<String> {
        let registered = self.0.iter().filter(|(_, profile)| profile.registered);
        let names = registered.map(|(name, _)| *name).chain(["default"]);
        let mut slots: Vec<_> = names.map(|name| format!("gateway-{name}")).collect();
        slots.sort();
        slots
    }

    /// The processes below s6-svscan, each with its parent.
    pub fn processes(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for slot in self.slots() {
            lines.push(format!("s6-supervise {slot} of s6-svscan"));
            lines.push(format!("s6-supervise {slot}/log of s6-svscan"));
            lines.push(format!("s6-log of s6-supervise {slot}/log"));
        }
        let up = self.0.iter().filter(|(_, profile)| profile.up);
        lines.extend(up.map(|(name, _)| format!("{name} of s6-supervise gateway-{name}")));
        lines.sort();
        lines
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, profile)| writeln!(f, "{name}: {profile:?}"))
    }
}
