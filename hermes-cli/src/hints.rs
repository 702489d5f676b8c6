//! What to type instead of a word that is no command: the words of systemctl, docker, docker compose, pm2 and supervisorctl.

/// The words of other programs, the command group that they stand in (empty: none), and what to type here.
const WORDS: [(&str, &str, &str); 24] = [
    // What they do to services.
    ("add new init", "", "`hermes profile create NAME`"),
    ("create", "", "`hermes profile create NAME`"),
    ("add new", "profile", "`hermes profile create NAME`"),
    ("rm remove delete del destroy purge", "", "`hermes profile delete NAME`"),
    ("rm remove del destroy", "profile", "`hermes profile delete NAME`"),
    (
        "rm remove delete del create add",
        "gateway",
        "`hermes gateway unregister NAME`, or `hermes profile delete NAME`",
    ),
    ("mv", "", "`hermes profile rename OLD NEW`"),
    ("mv", "profile", "`hermes profile rename OLD NEW`"),
    ("rename", "", "`hermes profile rename OLD NEW`"),
    ("cp copy clone", "", "`hermes profile create NAME --clone-from OTHER`"),
    (
        "enable",
        "",
        "`hermes start NAME`, which also starts it after a restart of the machine; `hermes stop NAME` ends that",
    ),
    (
        "enable",
        "gateway",
        "`hermes start NAME`, which also starts it after a restart of the machine",
    ),
    ("disable", "", "`hermes stop NAME`, which holds after a restart of the machine, too"),
    ("disable", "gateway", "`hermes stop NAME`, which holds after a restart of the machine, too"),
    ("kill", "", "`hermes stop NAME`"),
    (
        "reload daemon-reload update reread",
        "",
        "`hermes restart NAME`, which reads the configuration anew",
    ),
    ("resurrect startup", "", "`hermes boot`"),
    ("shutdown", "", "`hermes down`"),
    // What they show.
    ("ls list jlist", "", "`hermes ps`, or `hermes profile list`"),
    ("ls", "profile", "`hermes profile list`"),
    ("ls ps", "gateway", "`hermes gateway list`"),
    ("describe inspect info show", "", "`hermes status NAME`, or `hermes profile show NAME`"),
    ("tail log journalctl attach", "", "`hermes logs NAME --follow`"),
    ("monit monitor stats htop", "", "`hermes top`"),
];

/// The command groups that words stand in.
pub(crate) const GROUPS: [&str; 2] = ["gateway", "profile"];

/// What to type instead of `word` in the command group `group`; empty outside of any.
pub(crate) fn instead_of(group: &str, word: &str) -> Option<&'static str> {
    let fits = |(words, of, _): &&(&str, &str, &str)| {
        *of == group && words.split(' ').any(|known| known == word)
    };
    WORDS.iter().find(fits).map(|(_, _, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Arguments;

    #[test]
    fn what_they_name_is_a_command_and_the_words_are_none() {
        let command = Arguments::command();
        for (words, group, instead) in WORDS {
            let of =
                if group.is_empty() { &command } else { command.find_subcommand(group).unwrap() };
            for word in words.split(' ') {
                assert!(of.find_subcommand(word).is_none(), "{group} {word} is a command");
            }
            for text in instead.split('`').filter(|text| text.starts_with("hermes ")) {
                let mut words = text.split(' ').skip(1);
                let mut command = &command;
                while let Some(next) = words.next().and_then(|word| command.find_subcommand(word)) {
                    command = next;
                }
                assert!(!command.has_subcommands(), "`{text}` is no command");
            }
        }
    }
}
