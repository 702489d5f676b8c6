//! The end of a command whose wait Ctrl-C or SIGTERM has cut off: one sentence about what goes on without it.

use hermes_core::interruption;
use hermes_core::waiting::{self, Goal};
use hermes_core::{ProfileName, RootHome};

use crate::args::{Command, Gateway};
use crate::error::{CliError, exit};

/// Whether an interruption ends the command's waits. Others end in their own order, or at once.
pub(crate) fn ends_waits_of(command: &Command) -> bool {
    match command {
        Command::Start(args) | Command::Gateway(Gateway::Start(args)) => {
            !args.foreground && args.launchd.is_none()
        }
        Command::Stop(_) | Command::Restart(_) | Command::Profile(_) => true,
        Command::Gateway(command) => matches!(
            command,
            Gateway::Stop(_)
                | Gateway::Restart(_)
                | Gateway::Register { .. }
                | Gateway::Unregister(_)
                | Gateway::Install { .. }
                | Gateway::Uninstall(_)
        ),
        _ => false,
    }
}

/// Whether the command shows what it waits for.
pub(crate) fn shows_waits_of(command: &Command) -> bool {
    let others = matches!(
        command,
        Command::Boot { delegate: false, .. } | Command::Adopt(_) | Command::Doctor { .. }
    );
    others || ends_waits_of(command)
}

/// The error of an interrupted command, whose own error says less; `None` if it was not interrupted.
pub(crate) fn instead_of(error: &CliError) -> Option<CliError> {
    let code = code()?;
    if error.code() == code {
        // It has its sentence.
        return None;
    }
    let goal = waiting::cut_off().pop();
    Some(interrupted(
        code,
        &match goal {
            Some(Goal::Ready(name)) => {
                format!("`{name}` goes on starting; `hermes gateway status {name}` shows it")
            }
            Some(goal) => format!(
                "stopped waiting for {goal}; `hermes gateway status` shows what was done, and what goes on"
            ),
            None => format!("{error}; `hermes gateway status` shows what was done"),
        },
    ))
}

/// The error of an interrupted command on `outcomes`: for each profile whether it is `done` ("up").
pub(crate) fn of_gateways(
    root: &RootHome,
    done: &str,
    outcomes: &[(&ProfileName, bool)],
) -> Option<CliError> {
    let code = code().filter(|_| outcomes.iter().any(|(_, is_done)| !is_done))?;
    let goals = waiting::cut_off();
    Some(interrupted(
        code,
        &match outcomes {
            [(name, _)] => of_one(root, done, name, goals.last()),
            _ => of_many(done, outcomes, &goals),
        },
    ))
}

fn of_one(root: &RootHome, done: &str, name: &ProfileName, goal: Option<&Goal>) -> String {
    let shows = format!("`hermes gateway status {name}` shows it");
    match goal {
        Some(Goal::Ready(_)) => format!("`{name}` goes on starting; {shows}"),
        Some(Goal::End(_) | Goal::Leftovers) if done == "up again" => {
            format!("`{name}` goes on ending, and is then started again; {shows}")
        }
        Some(Goal::End(_) | Goal::Leftovers) => format!("`{name}` goes on ending; {shows}"),
        // The locks of profiles and ports are taken before anything is changed.
        Some(Goal::Lock(path)) if path.starts_with(root.path()) => "nothing was changed".to_owned(),
        Some(Goal::Default(_)) => "nothing was changed".to_owned(),
        _ => format!("`{name}` is not {done} yet; {shows}"),
    }
}

fn of_many(done: &str, outcomes: &[(&ProfileName, bool)], goals: &[Goal]) -> String {
    let count = |is: &dyn Fn(&ProfileName) -> bool| {
        outcomes.iter().filter(|(name, is_done)| !is_done && is(name)).count()
    };
    let starting = count(&|name| goals.contains(&Goal::Ready(name.clone())));
    let ending = count(&|name| goals.contains(&Goal::End(name.clone())));
    let finished = outcomes.iter().filter(|(_, is_done)| *is_done).count();
    let left = outcomes.len() - finished - starting - ending;
    let goes = |count| if count == 1 { "goes" } else { "go" };
    let mut sentence = format!("{finished} of {} gateways are {done}", outcomes.len());
    for (count, doing) in [(starting, "starting"), (ending, "ending")] {
        if count > 0 {
            sentence += &format!(", {count} {} on {doing}", goes(count));
        }
    }
    if left > 0 {
        sentence += &format!(", {left} {} left as before", if left == 1 { "is" } else { "are" });
    }
    sentence + "; `hermes gateway status` shows them"
}

fn interrupted(code: u8, what: &str) -> CliError {
    CliError::new(format!("interrupted: {what}")).with_code(code)
}

/// The exit code of a process that this signal interrupted.
fn code() -> Option<u8> {
    let signal = interruption::signal()?;
    Some(match signal {
        signal_hook::consts::SIGTERM => exit::TERMINATED,
        _ => exit::INTERRUPTED,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_counted_by_what_they_do() {
        let names = ["a", "b", "c", "d"].map(|name| name.parse::<ProfileName>().unwrap());
        let outcomes: Vec<_> = names.iter().zip([true, false, false, false]).collect();
        let goals = [Goal::Ready(names[1].clone()), Goal::Ready(names[2].clone())];
        assert_eq!(
            of_many("up", &outcomes, &goals),
            "1 of 4 gateways are up, 2 go on starting, 1 is left as before; `hermes gateway status` shows them"
        );
        let goals = names.clone().map(Goal::End);
        assert_eq!(
            of_many("down", &outcomes, &goals),
            "1 of 4 gateways are down, 3 go on ending; `hermes gateway status` shows them"
        );
    }
}
