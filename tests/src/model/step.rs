//! The steps applied to the model and to the tree: commands and faults.

use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;

/// The profile names: few, so that steps affect the same profiles.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// The differences of the wall clock from the machine's.
const CLOCKS: [&str; 6] = ["-400d", "-1h", "-5s", "+0", "+1h", "+400d"];

/// A command that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `profile create`
    Create(&'static str),
    /// `profile delete -y`
    Delete(&'static str),
    /// `profile rename`
    Rename(&'static str, &'static str),
    /// `gateway start`
    Start(&'static str),
    /// `gateway stop`
    Stop(&'static str),
    /// `gateway restart`
    Restart(&'static str),
    /// `gateway register`
    Register(&'static str),
    /// `gateway unregister`
    Unregister(&'static str),
    /// `boot`
    Boot,
}

impl Command {
    /// The profile that it changes; the former name of a renamed one.
    pub fn profile(self) -> Option<&'static str> {
        match self {
            Self::Create(name)
            | Self::Delete(name)
            | Self::Rename(name, _)
            | Self::Start(name)
            | Self::Stop(name)
            | Self::Restart(name)
            | Self::Register(name)
            | Self::Unregister(name) => Some(name),
            Self::Boot => None,
        }
    }
}

/// How a tree ends before another one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `hermes up` gets SIGTERM.
    Orderly,
    /// s6-svscan is killed.
    SvscanKilled,
    /// `hermes up` is killed.
    UpKilled,
    /// Both are killed, so that every supervisor becomes a stray.
    BothKilled,
}

/// A lock that a process other than `hermes` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// The lock of a profile, which every change to it takes.
    Profile(&'static str),
    /// The lock on the profiles, which is held while one is created, moved or removed.
    Profiles,
    /// The lock on the scan directory, which is held while a slot appears or disappears.
    Scandir,
}

/// A step of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A command runs.
    Run(Command),
    /// A command runs while the disk is full; then the disk has room again, and a boot runs.
    RunOnFullDisk(Command),
    /// The intent of a profile becomes invalid.
    Corrupt(&'static str),
    /// A gateway is killed.
    KillGateway(&'static str),
    /// A logger is killed.
    KillLogger(&'static str),
    /// Both supervisors of a profile are killed, so its gateway becomes an orphan; then a command runs that
    /// ends orphans.
    KillSupervisors(&'static str, Command),
    /// The wall clock is set to differ by this from the machine's, between two deaths of each gateway.
    SetClock(&'static str),
    /// A command runs while another process holds a lock all the time.
    RunUnderLock(Foreign, Command),
    /// A command runs while another process holds a lock, which lets it go when the command wants it.
    RunAfterLock(Foreign, Command),
    /// A command runs while a process elsewhere holds the lock of a profile's gateway, which is down.
    RunElsewhere(&'static str, Command),
    /// The tree ends, and another one starts.
    EndTree(End),
}

/// The steps that every run begins with, so that a short one has these faults, too.
pub fn first_steps() -> [Step; 6] {
    [
        Step::Run(Command::Create("a")),
        Step::Run(Command::Start("a")),
        Step::SetClock("+400d"),
        Step::Run(Command::Create("b")),
        Step::RunElsewhere("b", Command::Start("b")),
        Step::RunAfterLock(Foreign::Profile("b"), Command::Start("b")),
    ]
}

/// Random steps.
pub fn steps() -> impl Strategy<Value = Step> {
    let name = || select(&NAMES[..]);
    let ends = [End::Orderly, End::SvscanKilled, End::UpKilled, End::BothKilled];
    prop_oneof![
        24 => command().prop_map(Step::Run),
        4 => command().prop_map(Step::RunOnFullDisk),
        2 => name().prop_map(Step::Corrupt),
        4 => name().prop_map(Step::KillGateway),
        2 => name().prop_map(Step::KillLogger),
        4 => (name(), name()).prop_flat_map(|(name, other)| {
            let ends_orphans = vec![
                Command::Stop(name),
                Command::Restart(name),
                Command::Unregister(name),
                Command::Delete(name),
                Command::Rename(name, other),
            ];
            (Just(name), select(ends_orphans))
        }).prop_map(|(name, then)| Step::KillSupervisors(name, then)),
        2 => select(ends.to_vec()).prop_map(Step::EndTree),
        6 => select(&CLOCKS[..]).prop_map(Step::SetClock),
        4 => (foreign(), command()).prop_map(|(lock, command)| Step::RunUnderLock(lock, command)),
        6 => (foreign(), command()).prop_map(|(lock, command)| Step::RunAfterLock(lock, command)),
        6 => (name(), name()).prop_flat_map(|(name, other)| {
            let refused = vec![
                Command::Start(name),
                Command::Stop(name),
                Command::Restart(name),
                Command::Delete(name),
                Command::Rename(name, other),
            ];
            (Just(name), select(refused))
        }).prop_map(|(name, command)| Step::RunElsewhere(name, command)),
    ]
}

fn foreign() -> impl Strategy<Value = Foreign> {
    prop_oneof![
        2 => select(&NAMES[..]).prop_map(Foreign::Profile),
        1 => Just(Foreign::Profiles),
        1 => Just(Foreign::Scandir),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let name = || select(&NAMES[..]);
    prop_oneof![
        4 => name().prop_map(Command::Create),
        1 => name().prop_map(Command::Delete),
        4 => (name(), name()).prop_map(|(from, to)| Command::Rename(from, to)),
        4 => name().prop_map(Command::Start),
        2 => name().prop_map(Command::Stop),
        2 => name().prop_map(Command::Restart),
        2 => name().prop_map(Command::Register),
        3 => name().prop_map(Command::Unregister),
        1 => Just(Command::Boot),
    ]
}
