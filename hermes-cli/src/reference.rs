//! The end of `hermes --help` and of its manual page: exit codes and environment variables.

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
  HERMES_DASHBOARD_ORIGIN     its origin behind a proxy
  HERMES_PROFILE              set for a gateway: its profile
  HERMES_BIN                  set for the Python agent: its program
  HERMES_AGENT_DEPTH          set for the Python agent in a shell: how deep it is nested
  HERMES_S6_SUPERVISED_CHILD  set for a gateway: tells the Python agent that it is supervised
  HERMES_EVENT                set for `notify.command`: the event
  HERMES_EVENT_PROFILE        set for `notify.command`: the profile of the event
  HERMES_EVENT_WHY            set for `notify.command`: the reason of the event, in one line
  HERMES_UP                   set in a tree of `up`: services keep their user and HOME
  HERMES_UP_NOFILE            set in a tree of `up`: the limit on open files that gateways get back
";

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
        ];
        assert_eq!(entries("Environment:"), BTreeSet::from(variables));
    }
}
