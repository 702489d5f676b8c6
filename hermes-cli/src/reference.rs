//! What no option explains: exit codes, environment variables, states, files and examples. It is the end of `hermes
//! --help` and of the manual page, and `hermes help TOPIC` prints a part of it.

use hermes_core::State;

use crate::states;

/// The text after the options. It is written out, since every command builds the command line's definition.
pub(crate) const TEXT: &str = "\
The Python agent, whose program is called `hermes`, too:
  It runs each command or option that it alone has, like `chat`, `setup` or `-z`, if it is found.
  `hermes agent` has it run any other, like `hermes agent doctor`. This program, called as
  `hermesctl`, passes on nothing but that.

Exit codes:
  0   done, and the result observed
  1   any other failure
  2   invalid command line, or invalid value of a variable
  3   `gateway status`: the gateway does not run
  4   the profile does not exist
  5   the supervisor does not answer, or permission denied
  6   the deadline passed; the operation continues
  78  the configuration is wrong, and a restart can't help
  130 Ctrl-C ended a wait; what was begun continues, or was undone
  143 SIGTERM ended a wait; likewise

Environment:
  HERMES_HOME                 the root home, or a profile's home below it
  HERMES_BACKEND              the backend to use, instead of the detected one
  HERMES_AGENT                the Python agent's program
  HERMES_SCANDIR              the s6 scan directory
  HERMES_ROLE                 `client` to supervise nothing here, `owner` to supervise
  HERMES_OWNER_WAIT           how many seconds `up` waits for another owner of the home
  HERMES_OWNER_LOCK           `off` if the home's file system has no locks
  HERMES_OPEN_HOME            `1` to use homes that other users may write to
  HERMES_AS_ROOT              `1` to keep a command of root running as root
  HERMES_DASHBOARD            `1` or `true` to run the dashboard as a service of the image
  HERMES_DASHBOARD_HOST       the address that the dashboard listens on
  HERMES_DASHBOARD_PORT       the port that it listens on
  HERMES_DASHBOARD_ORIGIN     its URLs behind reverse proxies, separated by commas
  HERMES_KUBERNETES_IMAGE     under Kubernetes, the image of the gateways' Pods
  HERMES_KUBERNETES_CLAIM     under Kubernetes, the claim of the volume with the root home
  HERMES_PROFILE              set for a gateway: its profile
  HERMES_BIN                  set for the Python agent: its program
  HERMES_AGENT_DEPTH          set for the Python agent in a shell: how deep it is nested
  HERMES_S6_SUPERVISED_CHILD  set for a gateway: tells the Python agent that it is supervised
  HERMES_EVENT                set for `notify.command`: the event
  HERMES_EVENT_PROFILE        set for `notify.command`: the profile of the event
  HERMES_EVENT_WHY            set for `notify.command`: the reason of the event, in one line
  HERMES_UP                   set in a tree of `up`: services keep their user and HOME
  HERMES_UP_NOFILE            set in a tree of `up`: the limit on open files that gateways get back

`hermes help states`, `hermes help exit-codes` and `hermes help environment` print these parts alone.
";

/// Where Hermes keeps what, below the root home.
pub(crate) const FILES: [(&str, &str); 9] = [
    ("~/.hermes", "the root home, if HERMES_HOME names no other; the home of profile `default`"),
    ("~/.hermes/profiles/NAME", "the home of every other profile"),
    ("config.yaml", "in a home: the configuration of the gateway, below `gateway`"),
    (".env", "in a home: variables and secrets of the gateway"),
    ("gateway.intent", "in a home: whether the gateway is to run; only commands write it"),
    (
        "logs/gateways/NAME/current",
        "in the root home: the log of a gateway, with archives beside it",
    ),
    ("logs/events.jsonl", "in the root home: what happened to gateways"),
    ("logs/up.log", "in the root home: the messages of `hermes up -d`"),
    ("logs/container-boot.log", "in the root home: what a boot did"),
];

/// What people do first.
pub(crate) const EXAMPLES: [(&str, &str); 6] = [
    ("hermes up -d", "runs a supervision tree in the background"),
    ("hermes profile create coder --start", "makes a profile, and starts its gateway"),
    ("hermes status", "shows all gateways"),
    ("hermes status coder", "shows one, with why it does not run and its last log lines"),
    ("hermes logs coder --follow", "prints its log as it grows"),
    ("hermes adopt", "takes over the gateways of the Python agent that run"),
];

/// The text of `hermes help TOPIC`; `None` if that is no topic.
pub(crate) fn topic(name: &str) -> Option<String> {
    match name {
        "states" => Some(states()),
        "exit-codes" => Some(section("Exit codes:")),
        "environment" => Some(section("Environment:")),
        _ => None,
    }
}

/// Every state of a gateway, and what it means.
fn states() -> String {
    let line = |state: State| format!("  {state:13} {}\n", states::meaning(state));
    let states: String = State::ALL.into_iter().map(line).collect();
    format!(
        "States of gateways:\n{states}\nA gateway that is up and does not answer is shown as `unresponsive`. \
         `hermes status NAME` prints\nwhy a gateway is in its state, and what to do.\n"
    )
}

/// The part of [`TEXT`] below `heading`, with it.
fn section(heading: &str) -> String {
    let lines = TEXT.lines().skip_while(|line| *line != heading);
    lines.take_while(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hermes_core::home::env;

    use super::*;
    use crate::error::exit;

    fn entries(heading: &str) -> BTreeSet<&str> {
        let list = TEXT.lines().skip_while(|line| *line != heading).skip(1);
        list.map_while(|line| line.split_whitespace().next()).collect()
    }

    #[test]
    fn every_topic_has_its_part() {
        for (name, expected) in
            [("states", "  parked  "), ("exit-codes", "\n  78 "), ("environment", "\n  HERMES_UP ")]
        {
            let text = topic(name).unwrap();
            assert!(text.contains(expected) && text.ends_with('\n'), "{text}");
        }
        assert_eq!(topic("chat"), None);
    }

    #[test]
    fn every_exit_code_is_listed() {
        let codes = [
            exit::SUCCESS,
            exit::FAILURE,
            exit::USAGE,
            exit::NOT_RUNNING,
            exit::NOT_FOUND,
            exit::OUT_OF_REACH,
            exit::OUT_OF_TIME,
            exit::CONFIG,
            exit::INTERRUPTED,
            exit::TERMINATED,
        ]
        .map(|code| code.to_string());
        assert_eq!(entries("Exit codes:"), codes.iter().map(String::as_str).collect());
    }

    #[test]
    fn every_variable_is_listed() {
        let variables = [
            env::HOME,
            env::PROFILE,
            env::AGENT,
            env::AGENT_BIN,
            env::AGENT_DEPTH,
            env::SCANDIR,
            env::BACKEND,
            env::UP,
            env::UP_NOFILE,
            env::SUPERVISED_CHILD,
            env::EVENT,
            env::EVENT_PROFILE,
            env::EVENT_WHY,
            env::ROLE,
            env::OWNER_WAIT,
            env::OWNER_LOCK,
            env::OPEN_HOME,
            env::AS_ROOT,
            env::DASHBOARD,
            env::DASHBOARD_PORT,
            env::DASHBOARD_HOST,
            env::DASHBOARD_ORIGIN,
            env::KUBERNETES_IMAGE,
            env::KUBERNETES_CLAIM,
        ];
        assert_eq!(entries("Environment:"), BTreeSet::from(variables));
    }
}
