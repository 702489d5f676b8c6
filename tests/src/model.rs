//! A model of the expected effect of commands and faults on a live tree. It is small enough to be checked by
//! reading, and independent of the implementation.

mod step;

use std::collections::BTreeMap;
use std::fmt;

pub use step::{Command, End, Foreign, Step, first_steps, steps};

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
    fn state(&self) -> &'static str {
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
            Command::Boot => {
                self.boot();
                return self.code_of_boot();
            }
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

    /// The model after a command that failed, but has stopped the gateway.
    #[must_use]
    pub fn stopped_for_now(&self, command: &Command) -> Self {
        let mut model = self.clone();
        if let Command::Stop(name) | Command::Delete(name) | Command::Unregister(name) = command
            && let Some(profile) = model.0.get_mut(name)
        {
            profile.up = false;
        }
        model
    }

    /// Whether a command other than a boot takes this lock, if it succeeds.
    pub fn takes(&self, lock: Foreign, command: &Command) -> bool {
        let registered = |name| self.0.get(name).is_some_and(|profile| profile.registered);
        match (lock, *command) {
            (Foreign::Profile(name), Command::Rename(from, to)) => name == from || name == to,
            // Nothing is left to do.
            (Foreign::Profile(_), Command::Unregister(name)) if !self.0.contains_key(name) => false,
            (Foreign::Profile(name), command) => command.profile() == Some(name),
            (Foreign::Profiles, command) => {
                matches!(command, Command::Create(_) | Command::Delete(_) | Command::Rename(..))
            }
            (Foreign::Scandir, Command::Start(name) | Command::Restart(name)) => !registered(name),
            (Foreign::Scandir, Command::Unregister(name) | Command::Delete(name)) => {
                registered(name)
            }
            (Foreign::Scandir, command) => !matches!(command, Command::Stop(_)),
        }
    }

    /// Records the intent of a command that did not get the lock. The intent comes before everything but the profile's
    /// lock.
    pub fn record_intent(&mut self, lock: Foreign, command: &Command) {
        if let (Foreign::Scandir, Command::Start(name) | Command::Restart(name)) = (lock, command)
            && let Some(profile) = self.0.get_mut(name)
        {
            profile.wanted = Wanted::Running;
        }
    }

    /// Applies a boot while another process holds a lock: the profiles that need no lock are booted. Returns whether it
    /// needed the lock. A boot always looks for leftovers among the profiles.
    pub fn boot_under(&mut self, lock: Foreign) -> bool {
        let before = self.clone();
        self.boot();
        let mut needed = lock == Foreign::Profiles;
        for (name, prior) in before.0 {
            let now = &self.0[name];
            let blocked = match lock {
                Foreign::Profile(locked) => locked == name && *now != prior,
                Foreign::Profiles => false,
                Foreign::Scandir => now.registered && !prior.registered,
            };
            if blocked {
                self.0.insert(name, prior);
                needed = true;
            }
        }
        needed
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

    /// The exit code of a boot: an invalid intent is an error.
    fn code_of_boot(&self) -> i32 {
        i32::from(self.0.values().any(|profile| profile.wanted == Wanted::Corrupt))
    }

    /// Applies the end of the tree and the start of another, which recreates all slots.
    pub fn begin_again(&mut self) {
        for profile in self.0.values_mut() {
            (profile.registered, profile.up) = (false, false);
        }
        self.boot();
    }

    /// The expected output of `profile list`, without `default`.
    pub fn list(&self) -> Vec<String> {
        let line = |(name, profile): (&&str, &Profile)| {
            let wanted = match profile.wanted {
                Wanted::Running => "running",
                Wanted::Stopped => "stopped",
                Wanted::Corrupt => "null",
            };
            format!("{name} {wanted} {}", profile.state())
        };
        self.0.iter().map(line).collect()
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
