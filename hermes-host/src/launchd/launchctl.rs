//! What is said to launchd, and the little that is read of its answers (`launchctl(1)`).
//!
//! `launchctl print` is for people, "not API in any sense at all". So as little as possible is read of it,
//! and only here: that a job is loaded (the exit code says so), its process, and how that ended last. What
//! is not found is unknown and never an error. Only lines with one tab before them are the job's; deeper
//! ones are of what it belongs to, and have states and numbers of their own.
//!
//! Exit codes are launchd's error numbers (`launchctl error N` names them), and not what counts: whatever a
//! command exits with, whoever gave it looks afterwards.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use hermes_core::DriverError;
use hermes_core::status::Exit;

use crate::command::{Said, Tool};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// No such job, as `bootout` says it (`ESRCH`).
const NO_SUCH_PROCESS: i32 = 3;
/// The job is loaded, or still being removed, or disabled, or can't be (`EIO`).
const INPUT_OUTPUT: i32 = 5;
/// The job is about to be removed (`EINPROGRESS`).
const IN_PROGRESS: i32 = 36;
/// The same of a job that is told twice (`EALREADY`).
const ALREADY: i32 = 37;
/// No such job, as `print` says it.
const NO_SUCH_SERVICE: i32 = 113;
/// No such domain, as `print` says it: nobody has logged in at the screen.
const NO_SUCH_DOMAIN: i32 = 112;
/// The domain can't do that.
const UNSUPPORTED: i32 = 125;

/// Where jobs of a user are loaded. There may be jobs of one name in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    /// The user's session at the screen.
    Gui(u32),
    /// The user's own, with or without a screen.
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
    /// Where it is loaded.
    pub(super) domain: Domain,
    /// Its process, if it has one.
    pub(super) pid: Option<u32>,
    /// How its last process ended, if one ended since it was loaded.
    pub(super) last_exit: Option<Exit>,
}

/// What came of a command that launchd may refuse.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was taken.
    Taken,
    /// Not now: the job is there still, or again. This is what launchctl said.
    Busy(String),
    /// No, for this reason.
    Refused(String),
}

/// launchd, by way of the program `launchctl`, for one user.
#[derive(Debug, Clone)]
pub(super) struct Launchctl {
    tool: Tool,
    uid: u32,
    timeout: Duration,
}

impl Launchctl {
    /// By way of `tool`, for the user `uid`. No answer is waited for longer than `timeout`. Nothing is asked
    /// yet.
    pub(super) fn new(tool: Tool, uid: u32, timeout: Duration) -> Self {
        Self { tool, uid, timeout: timeout.min(ANSWER) }
    }

    /// Where a job is to be loaded: into the session at the screen, if there is one.
    pub(super) fn domain(&self) -> Result<Domain, DriverError> {
        let gui = Domain::Gui(self.uid);
        let (code, said) = self.ask(&["print", &gui.to_string()])?;
        match code {
            Some(0) => Ok(gui),
            Some(NO_SUCH_DOMAIN | NO_SUCH_SERVICE | UNSUPPORTED) => Ok(Domain::User(self.uid)),
            _ => Err(DriverError::new(words(&said))),
        }
    }

    /// The jobs called `label`: none, one, or one in each domain.
    pub(super) fn jobs(&self, label: &str) -> Result<Vec<Job>, DriverError> {
        let mut jobs = Vec::new();
        for domain in [Domain::Gui(self.uid), Domain::User(self.uid)] {
            let (code, said) = self.ask(&["print", &target(domain, label)])?;
            match code {
                Some(0) => jobs.push(read(domain, &said.stdout)),
                Some(NO_SUCH_PROCESS | NO_SUCH_DOMAIN | NO_SUCH_SERVICE | UNSUPPORTED) => {}
                _ => return Err(DriverError::new(words(&said))),
            }
        }
        Ok(jobs)
    }

    /// Loads the job that the property list at `path` describes.
    pub(super) fn bootstrap(&self, domain: Domain, path: &Path) -> Result<Answer, DriverError> {
        let arguments = ["bootstrap", &domain.to_string(), &path.to_string_lossy()];
        let (code, said) = self.ask(&arguments)?;
        Ok(match code {
            Some(0) => Answer::Taken,
            Some(INPUT_OUTPUT | IN_PROGRESS | ALREADY) => Answer::Busy(words(&said)),
            _ => Answer::Refused(words(&said)),
        })
    }

    /// Has the job ended and removed. launchd answers before that is done. A job that is not there is
    /// done.
    pub(super) fn bootout(&self, domain: Domain, label: &str) -> Result<Answer, DriverError> {
        let (code, said) = self.ask(&["bootout", &target(domain, label)])?;
        Ok(match code {
            Some(0 | NO_SUCH_PROCESS | NO_SUCH_SERVICE) => Answer::Taken,
            Some(IN_PROGRESS | ALREADY) => Answer::Busy(words(&said)),
            _ => Answer::Refused(words(&said)),
        })
    }

    /// What it exits with and says.
    fn ask(&self, arguments: &[&str]) -> Result<(Option<i32>, Said), DriverError> {
        let said = self.tool.run(arguments, self.timeout)?;
        let Some(status) = said.status else {
            let saw = "launchctl has not answered".to_owned();
            return Err(DriverError::timed_out(self.timeout, saw).with_hint("try again later"));
        };
        Ok((status.code(), said))
    }
}

fn target(domain: Domain, label: &str) -> String {
    format!("{domain}/{label}")
}

/// What launchctl said, for people. In a second line it advises to try as root, which helps nobody here.
fn words(said: &Said) -> String {
    let mut lines = said.stderr.lines().chain(said.stdout.lines());
    let line = lines.find(|line| !line.trim().is_empty());
    match (line, said.status) {
        (Some(line), _) => format!("launchctl says: {line}"),
        (None, Some(status)) => format!("launchctl said nothing: {status}"),
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
            // `Killed: 9`, in the other's place
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

    /// As macOS 26 prints a job, shortened where nothing is read.
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
    fn every_way_to_say_how_it_ended() {
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
    fn no_process_is_no_number() {
        for pid in ["0", "-", "", "12x", "99999999999"] {
            assert_eq!(read(GUI, &format!("\tpid = {pid}\n")).pid, None, "{pid}");
        }
    }

    proptest! {
        /// What is printed next year must not make a number out of nothing, nor a panic.
        #[test]
        fn only_a_whole_number_on_a_line_of_the_job_is_a_process(
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
