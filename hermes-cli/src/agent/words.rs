//! Whose a command line is: this program's, or the Python agent's, which has the same name.
//!
//! The agent's are the lines with a command or an option that this program does not have and the agent does, such as
//! `chat`, and `profile create --clone`, and
//! those after the word `agent`. A word that neither knows is an error of ours. (hermes-agent 0.19.0:
//! `hermes_cli/_parser.py`, `hermes_cli/subcommands/`; `tests/tests/agent_shell.rs` compares.)

use std::ffi::OsString;

use hermes_core::ProfileName;

/// The command whose arguments are the agent's.
pub(crate) const AGENT: &str = "agent";

/// The agent's commands, by the command that they belong to.
pub(crate) const COMMANDS: [(&str, &str); 4] = [
    (
        "",
        "acp auth backup bundles chat checkpoints claw completion computer-use config console cron \
         curator dashboard debug desktop doctor dump fallback gateway gui hooks import insights \
         journey kanban learning login logout logs lsp mcp memory memory-graph migrate moa model \
         pairing pets plugins portal postinstall profile project prompt-size proxy secrets \
         security send serve sessions setup skills slack status tools uninstall update version \
         webhook whatsapp whatsapp-cloud",
    ),
    ("config", "check edit env-path get migrate path set show unset"),
    (
        "gateway",
        "enroll install list migrate migrate-legacy restart run setup start status stop uninstall",
    ),
    (
        "profile",
        "alias create delete describe export import info install list rename show update use",
    ),
];

/// The agent's options before a command.
const OPTIONS: &str = "-c -m -r -s -t -w -z --accept-hooks --cli --continue --dev --ignore-rules --ignore-user-config \
    --model --no-restore-cwd --oneshot --pass-session-id --provider --resume --safe-mode --skills \
    --toolsets --tui --usage-file --worktree --yolo";

/// The agent's options of a command that both have.
const CREATE_OPTIONS: (&str, &str) =
    ("create", "--clone --clone-all --description --no-alias --no-skills");

/// Whose a command line is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// This program's.
    Ours,
    /// This program's, without a command: it asks for help or is an error.
    Bare,
    /// The agent's, with these arguments.
    Agents(Vec<OsString>),
}

/// Whose the line with the arguments `line` is, if `command` is our definition. `is_asked` leaves the agent only what
/// stands after `agent`.
pub(crate) fn whose(command: &clap::Command, line: &[OsString], is_asked: bool) -> Line {
    let agents = || if is_asked { Line::Ours } else { Line::Agents(line.to_owned()) };
    let mut group = command;
    let mut words = line.iter().enumerate();
    while let Some((place, word)) = words.next() {
        let word = word.to_string_lossy();
        let at_root = std::ptr::eq(group, command);
        if let Some(takes_value) = option(command, &word) {
            if takes_value {
                words.next();
            }
        } else if word.starts_with('-') {
            return match at_root {
                true if has(OPTIONS, name(&word)) => agents(),
                true => Line::Bare,
                false => Line::Ours,
            };
        } else if at_root && word == AGENT {
            return Line::Agents([&line[..place], &line[place + 1..]].concat());
        } else if at_root && word == "help" {
            return Line::Bare;
        } else if let Some(ours) = group.find_subcommand(&*word) {
            group = ours;
            if !group.has_subcommands() {
                let (command, options) = CREATE_OPTIONS;
                let is_agents =
                    |(_, word): (_, &OsString)| has(options, name(&word.to_string_lossy()));
                let is_agents = group.get_name() == command && words.any(is_agents);
                return if is_agents { agents() } else { Line::Ours };
            }
        } else {
            let of_group = if at_root { "" } else { group.get_name() };
            let known = COMMANDS.iter().find(|(name, _)| *name == of_group);
            let is_agents = known.is_some_and(|(_, words)| has(words, &word));
            return if is_agents { agents() } else { Line::Ours };
        }
    }
    if std::ptr::eq(group, command) { Line::Bare } else { Line::Ours }
}

fn has(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// Whether the next word is the value of the option `word`; `None` if `word` is no option of ours for every command.
fn option(command: &clap::Command, word: &str) -> Option<bool> {
    let is_named = |option: &&clap::Arg| match word.strip_prefix("--") {
        Some(_) => option.get_long() == name(word).strip_prefix("--"),
        None => option.get_short().is_some_and(|short| name(word) == format!("-{short}")),
    };
    let option = command.get_arguments().find(is_named)?;
    Some(option.get_action().takes_values() && name(word) == word)
}

/// The option in `word`, which may have a value behind it.
fn name(word: &str) -> &str {
    match word.strip_prefix("--") {
        Some(_) => word.split('=').next().unwrap_or(word),
        None => word.char_indices().nth(2).map_or(word, |(end, _)| &word[..end]),
    }
}

/// The profile that the agent takes from its arguments: the first that is named, wherever.
pub(crate) fn profile(arguments: &[OsString]) -> Option<ProfileName> {
    let mut words = arguments.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        match &*word {
            "--" => return None,
            "-p" | "--profile" => return words.next()?.parse().ok(),
            word => {
                if let Some(value) = word.strip_prefix("--profile=") {
                    return value.parse().ok();
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Arguments;

    fn of(line: &str, is_asked: bool) -> Line {
        let line: Vec<_> =
            line.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect();
        whose(&Arguments::command(), &line, is_asked)
    }

    #[test]
    fn what_the_agent_alone_has_is_the_agents() {
        for line in [
            "chat",
            "chat --help",
            "-p coder chat -q x",
            "--profile=coder --json sessions list --json",
            "--scandir gateway cron list",
            "-pcoder setup",
            "-z gateway",
            "-zgateway",
            "--tui",
            "--model=x gateway",
            "-p coder --cli --accept-hooks chat -q x",
            "config get model",
            "completion bash",
            "gateway setup",
            "gateway -p coder enroll --help",
            "profile describe coder",
            "profile create coder --clone-all --clone-from=other",
            "profile create coder --no-skills --description x",
        ] {
            assert_eq!(of(line, false), Line::Agents(line.split(' ').map(Into::into).collect()));
            assert_ne!(of(line, true), of(line, false), "hermesctl {line}");
        }
    }

    #[test]
    fn what_both_have_or_neither_is_ours() {
        for line in [
            "gateway start chat",
            "gateway run",
            "-p chat gateway status",
            "--timeout 5 doctor",
            "profile list chat",
            "profile nope",
            "profile create coder --port 1",
            "profile create coder --clone-from=other",
            "profile delete coder --clone",
            "nope",
            "nope chat",
            "completions bash",
            "gateway --tui start",
            "gateway after-death",
        ] {
            assert_eq!(of(line, false), Line::Ours, "{line}");
        }
        for line in ["", "--help", "-h", "help", "help chat", "--version", "-p a", "--nope chat"] {
            assert_eq!(of(line, false), Line::Bare, "{line}");
        }
    }

    #[test]
    fn the_word_agent_is_all_that_is_left_out() {
        for is_asked in [false, true] {
            for (line, expected) in [
                ("agent doctor", "doctor"),
                ("agent", ""),
                ("-p coder agent gateway stop --all", "-p coder gateway stop --all"),
                ("agent --help", "--help"),
                ("agent agent", "agent"),
            ] {
                let expected = expected.split(' ').filter(|word| !word.is_empty());
                let expected = Line::Agents(expected.map(Into::into).collect());
                assert_eq!(of(line, is_asked), expected, "{line}");
            }
        }
    }

    #[test]
    fn the_profile_is_the_one_that_the_agent_takes() {
        for (line, expected) in [
            ("chat -p coder", Some("coder")),
            ("--profile=coder chat -p b", Some("coder")),
            ("chat --profile coder", Some("coder")),
            ("chat -p Bad", None),
            ("chat -- -p coder", None),
            ("chat", None),
        ] {
            let line: Vec<_> = line.split(' ').map(Into::into).collect();
            assert_eq!(profile(&line).as_ref().map(ProfileName::as_str), expected);
        }
    }
}
