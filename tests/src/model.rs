//! What the commands and the faults on a live tree should come to: a model small enough to be seen to be
//! right, which knows nothing of how the product does it.

mod step;

use std::collections::BTreeMap;
use std::fmt;

pub use step::{Command, End, Step, steps};

/// What an operator wants, or a file that says neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// `running`.
    Running,
    /// `stopped`.
    Stopped,
    /// Nothing that makes sense.
    Corrupt,
}

/// One profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What its file says.
    pub wanted: Wanted,
    /// It has a slot, and both supervisors.
    pub registered: bool,
    /// Its gateway runs, and is supervised.
    pub up: bool,
    /// How often its gateway died since an operator started it: ten times are too often.
    pub deaths: usize,
}

/// All profiles but `default`, which has a slot and stays down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model(pub BTreeMap<&'static str, Profile>);

impl Profile {
    /// A slot is made of what is wanted.
    fn register(&mut self) {
        (self.registered, self.up, self.deaths) = (true, self.wanted == Wanted::Running, 0);
    }

    fn start(&mut self) {
        *self = Self { wanted: Wanted::Running, registered: true, up: true, deaths: 0 };
    }

    /// The word of `status`.
    pub fn state(&self) -> &'static str {
        match (self.registered, self.up) {
            (false, _) => "unsupervised",
            (true, true) => "up",
            (true, false) => "down",
        }
    }
}

impl Model {
    /// Does what the command should do, and answers its exit code.
    pub fn apply(&mut self, command: &Command) -> i32 {
        let profiles = &mut self.0;
        match *command {
            Command::Create(name) if profiles.contains_key(name) => return 1,
            Command::Create(name) => {
                let wanted = Wanted::Stopped;
                let made = Profile { wanted, registered: true, up: false, deaths: 0 };
                profiles.insert(name, made);
            }
            Command::Rename(from, to) => match profiles.get(from) {
                None => return 4,
                Some(_) if profiles.contains_key(to) => return 1,
                Some(profile) if profile.wanted == Wanted::Corrupt => return 1,
                Some(_) => {
                    let mut profile = profiles.remove(from).expect("it is there");
                    profile.register();
                    profiles.insert(to, profile);
                }
            },
            Command::Boot => self.boot(),
            // There is nothing to take away.
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

    /// What every boot makes of it. A profile whose intent makes no sense is left as it is.
    fn boot(&mut self) {
        for profile in self.0.values_mut().filter(|profile| profile.wanted != Wanted::Corrupt) {
            match profile.registered {
                true => profile.up = profile.wanted == Wanted::Running,
                false => profile.register(),
            }
        }
    }

    /// A tree ends, however, and another one begins, which makes all slots anew.
    pub fn begin_again(&mut self) {
        for profile in self.0.values_mut() {
            (profile.registered, profile.up) = (false, false);
        }
        self.boot();
    }

    /// The slots that there are.
    pub fn slots(&self) -> Vec<String> {
        let registered = self.0.iter().filter(|(_, profile)| profile.registered);
        let names = registered.map(|(name, _)| *name).chain(["default"]);
        let mut slots: Vec<_> = names.map(|name| format!("gateway-{name}")).collect();
        slots.sort();
        slots
    }

    /// The processes that there are below s6-svscan, each with what started it.
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
