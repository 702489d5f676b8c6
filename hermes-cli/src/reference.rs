//! The end of `hermes --help` and of its manual page: exit codes and environment variables.

use std::fmt::Write;

use hermes_core::home::env;

use crate::error::exit;

const EXIT_CODES: [(u8, &str); 8] = [
    (exit::SUCCESS, "done, and the result observed"),
    (exit::FAILURE, "any other failure"),
    (exit::USAGE, "invalid command line, or invalid value of a variable"),
    (exit::NOT_RUNNING, "`gateway status`: the gateway does not run"),
    (exit::NOT_FOUND, "the profile does not exist"),
    (exit::OUT_OF_REACH, "the supervisor does not answer, or permission denied"),
    (exit::OUT_OF_TIME, "the deadline passed; the operation continues"),
    (exit::CONFIG, "the configuration is wrong, and a restart can't help"),
];

const VARIABLES: [(&str, &str); 15] = [
    (env::HOME, "the root home, or a profile's home below it"),
    (env::BACKEND, "the backend to use, instead of the detected one"),
    (env::SCANDIR, "the s6 scan directory"),
    (env::ROLE, "`client` to supervise nothing here, `owner` to supervise"),
    (env::OWNER_WAIT, "how many seconds `up` waits for another owner of the home"),
    (env::OWNER_LOCK, "`off` if the home's file system has no locks"),
    (env::AS_ROOT, "`1` to keep a command of root running as root"),
    (env::DASHBOARD, "`1` to run the dashboard as a service of the image"),
    (env::DASHBOARD_HOST, "the address that the dashboard listens on"),
    (env::DASHBOARD_PORT, "the port that it listens on"),
    (env::DASHBOARD_ORIGIN, "its origin behind a proxy"),
    (env::PROFILE, "set for a gateway: its profile"),
    (env::SUPERVISED_CHILD, "set for a gateway: tells the Python agent that it is supervised"),
    (env::UP, "set in a tree of `up`: services keep their user and HOME"),
    (env::UP_NOFILE, "set in a tree of `up`: the limit on open files that gateways get back"),
];

/// The text after the options.
pub(crate) fn text() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(text, "  {code:<2}  {meaning}");
    }
    text.push_str("\nEnvironment:\n");
    for (name, meaning) in VARIABLES {
        let _ = writeln!(text, "  {name:<26}  {meaning}");
    }
    text
}
