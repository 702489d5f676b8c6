//! The steps applied to the model and to the tree: commands and faults.

use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;

/// The profile names: few, so that steps affect the same profiles.
const NAMES: [&str; 3] = ["a", "b", "c"];

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
    /// The tree ends, and another one starts.
    EndTree(End),
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
