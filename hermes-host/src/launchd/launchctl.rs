//! Calls `launchctl(1)` and parses the little of its output that is needed.
//!
//! The output of `launchctl print` is for people, "not API in any sense at all". So this file, and only this
//! file, reads as little of it as possible: that a job is loaded (from the exit code), its process, and how
//! the last process ended. A missing value is unknown, never an error. Only lines indented by one tab describe
//! the job; deeper lines describe related objects, with states and numbers of their own.
//!
//! Exit codes are launchd's error numbers (`launchctl error N` prints their names). They don't prove the
//! result of a command, so callers check it afterwards.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use hermes_core::DriverError;
use hermes_core::status::Exit;

use crate::command::{Tool, ToolOutput};

/// The longest timeout of a call.
const ANSWER: Duration = Duration::from_secs(20);
/// `bootout`: no such job (`ESRCH`).
const NO_SUCH_PROCESS: i32 = 3;
/// `bootstrap`: the job is loaded, being removed or disabled, or can't be loaded (`EIO`).
const INPUT_OUTPUT: i32 = 5;
/// The job is being removed (`EINPROGRESS`).
const IN_PROGRESS: i32 = 36;
/// The job is already being removed (`EALREADY`).
const ALREADY: i32 = 37;
/// `print`: no such job.
const NO_SUCH_SERVICE: i32 = 113;
/// `print`: no such domain; the user has no graphical session.
const NO_SUCH_DOMAIN: i32 = 112;
/// The domain does not support the command.
const UNSUPPORTED: i32 = 125;

/// A domain that a user's jobs are loaded into. Both may have a job with the same label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    /// The user's graphical session.
    Gui(u32),
    /// The user's background domain, which needs no session.
    User(u32),
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gui(uid) => write!(f, "gui/{uid}"),
            Self::User(uid) => write!(f, "user/{uid}"),
        }
    }
}

/// A loaded job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    /// Its domain.
    pub(super) domain: Domain,
    /// Its process, if it has one.
    pub(super) pid: Option<u32>,
    /// How its last process ended, if one ended since it was loaded.
    pub(super) last_exit: Option<Exit>,
}

/// The result of a command that launchd may refuse.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// launchd accepted the command.
    Accepted,
    /// The job is still, or again, loaded; with the message of launchctl.
    Busy(String),
    /// launchd refused the command; with the message of launchctl.
    Refused(String),
}

/// The program `launchctl`, for one user.
#[derive(Debug, Clone)]
pub(super) struct Launchctl {
    tool: Tool,
    uid: u32,
    timeout: Duration,
}

impl Launchctl {
    /// Calls `tool` for the user `uid`, with `timeout` for each call. Runs nothing yet.
    pub(super) fn new(tool: Tool, uid: u32, timeout: Duration) -> Self {
        Self { tool, uid, timeout: timeout.min(ANSWER) }
    }

    /// The domain to load jobs into: the graphical session if there is one.
    pub(super) fn domain(&self) -> Result<Domain, DriverError> {
        let gui = Domain::Gui(self.uid);
        let (code, output) = self.run(&["print", &gui.to_string()])?;
        match code {
            Some(0) => Ok(gui),
            Some(NO_SUCH_DOMAIN | NO_SUCH_SERVICE | UNSUPPORTED) => Ok(Domain::User(self.uid)),
            _ => Err(DriverError::new(message(&output))),
        }
    }

    /// The loaded jobs with this label: none, one, or one in each domain.
    pub(super) fn jobs(&self, label: &str) -> Result<Vec<Job>, DriverError> {
        let mut jobs = Vec::new();
        for domain in [Domain::Gui(self.uid), Domain::User(self.uid)] {
            let (code, output) = self.run(&["print", &target(domain, label)])?;
            match code {
                Some(0) => jobs.push(read(domain, &output.stdout)),
                Some(NO_SUCH_PROCESS | NO_SUCH_DOMAIN | NO_SUCH_SERVICE | UNSUPPORTED) => {}
                _ => return Err(DriverError::new(message(&output))),
            }
        }
        Ok(jobs)
    }

    /// Loads the job that the property list at `path` describes. The caller checks the result.
    pub(super) fn bootstrap(&self, domain: Domain, path: &Path) -> Result<Answer, DriverError> {
        let arguments = ["bootstrap", &domain.to_string(), &path.to_string_lossy()];
        let (code, output) = self.run(&arguments)?;
        Ok(match code {
            Some(0) => Answer::Accepted,
            Some(INPUT_OUTPUT | IN_PROGRESS | ALREADY) => Answer::Busy(message(&output)),
            _ => Answer::Refused(message(&output)),
        })
    }

    /// Ends and unloads the job. launchctl returns before that is complete. `Accepted` if the job is not
    /// loaded.
    pub(super) fn bootout(&self, domain: Domain, label: &str) -> Result<Answer, DriverError> {
        let (code, output) = self.run(&["bootout", &target(domain, label)])?;
        Ok(match code {
            Some(0 | NO_SUCH_PROCESS | NO_SUCH_SERVICE) => Answer::Accepted,
            Some(IN_PROGRESS | ALREADY) => Answer::Busy(message(&output)),
            _ => Answer::Refused(message(&output)),
        })
    }

    /// Runs launchctl and returns its exit code and output.
    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, ToolOutput), DriverError> {
        let output = self.tool.run(arguments, self.timeout)?;
        let Some(status) = output.status else {
            let last_seen = "launchctl has not answered";
            return Err(
                DriverError::timed_out(self.timeout, last_seen).with_hint("try again later")
            );
        };
        Ok((status.code(), output))
    }
}

fn target(domain: Domain, label: &str) -> String {
    format!("{domain}/{label}")
}

/// The first line of launchctl's message. Its second line suggests trying as root, which does not help here.
fn message(output: &ToolOutput) -> String {
    let mut lines = output.stderr.lines().chain(output.stdout.lines());
    let line = lines.find(|line| !line.trim().is_empty());
    match (line, output.status) {
        (Some(line), _) => format!("launchctl: {line}"),
        (None, Some(status)) => format!("launchctl: {status}"),
        (None, None) => "launchctl has not answered".to_owned(),
    }
}

fn read(domain: Domain, printed: &str) -> Job {
    let mut job = Job { domain, pid: None, last_exit: None };
    let own = printed.lines().filter_map(|line| line.strip_prefix('\t'));
    for (key, value) in own.filter_map(|line| line.split_once(" = ")) {
        match key {
            "pid" => job.pid = value.parse().ok().filter(|pid| *pid > 0),
            // `78: EX_CONFIG`, `1`, `(never exited)`
            "last exit code" => job.last_exit = leading_number(value).map(Exit::Code),
            // `Killed: 9`, instead of an exit code
            "last terminating signal" => {
                let signal = value.rsplit(": ").next().and_then(|number| number.parse().ok());
                job.last_exit = signal.map(Exit::Signal);
            }
            _ => {}
        }
    }
    job
}

fn leading_number(text: &str) -> Option<i32> {
    text.split(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUI: Domain = Domain::Gui(501);

    /// The output of `print` on macOS 26, without some lines that are not read.
    const RUNNING: &str = "gui/501/ai.hermes.gateway.coder = {
\tactive count = 1
\tpath = /Users/u/Library/LaunchAgents/ai.hermes.gateway.coder.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /opt/homebrew/bin/hermes
\targuments = {
\t\t/opt/homebrew/bin/hermes
\t\tpid = 1
\t}

\tdomain = gui/501 [100005]
\tminimum runtime = 10
\texit timeout = 6
\truns = 3
\tpid = 4242
\timmediate reason = semaphore
\tlast terminating signal = Killed: 9

\tresource coalition = {
\t\tID = 1114
\t\tstate = active
\t\tpid = 7
\t\tlast exit code = 5
\t}
}
";

    #[test]
    fn the_jobs_own_lines_are_read_and_nothing_below_them() {
        let exit = Some(Exit::Signal(9));
        assert_eq!(read(GUI, RUNNING), Job { domain: GUI, pid: Some(4242), last_exit: exit });
    }

    #[test]
    fn every_form_of_the_last_exit_is_read() {
        let cases = [
            ("\tlast exit code = (never exited)", None),
            ("\tlast exit code = 0", Some(Exit::Code(0))),
            ("\tlast exit code = 1", Some(Exit::Code(1))),
            ("\tlast exit code = 78: EX_CONFIG", Some(Exit::Code(78))),
            ("\tlast terminating signal = Segmentation fault: 11", Some(Exit::Signal(11))),
            ("\tlast terminating signal = what is this", None),
            ("\tlast exit reason = JETSAM_REASON", None),
            ("last exit code = 1", None),
            ("", None),
        ];
        for (text, last_exit) in cases {
            let text = format!("a = {{\n\tstate = not running\n{text}\n}}\n");
            assert_eq!(read(GUI, &text), Job { domain: GUI, pid: None, last_exit }, "{text}");
        }
    }

    #[test]
    fn invalid_process_ids_are_ignored() {
        for pid in ["0", "-", "", "12x", "99999999999"] {
            assert_eq!(read(GUI, &format!("\tpid = {pid}\n")).pid, None, "{pid}");
        }
    }

    proptest! {
        /// A change of the output format must cause neither a wrong process id nor a panic.
        #[test]
        fn only_an_integer_on_a_line_of_the_job_is_a_process_id(
            indent in "\t{0,3}",
            key in "(pid|ppid|pid |state)",
            value in "([0-9]{1,10}|[ -~]{0,8})",
        ) {
            let expected = match (indent.as_str(), key.as_str()) {
                ("\t", "pid") => value.parse().ok().filter(|pid| *pid > 0),
                _ => None,
            };
            let printed = format!("a = {{\n{indent}{key} = {value}\n}}\n");
            prop_assert_eq!(read(GUI, &printed).pid, expected);
        }
    }
}
