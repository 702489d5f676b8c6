//! Whether a process runs, is suspended, or has ended.
//!
//! Source: proc(5), the state in `stat`. SIGSTOP suspends a process until SIGCONT: it reads no command, reaps no
//! child and handles no signal but SIGKILL.

use super::Proc;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs, or waits for something.
    Running,
    /// SIGSTOP has suspended it.
    Suspended,
    /// It has ended, and its parent may not have noticed yet.
    Ended,
}

impl Proc {
    /// What `pid` does as a child of `parent`; [`Life::Ended`] if it is none.
    pub fn life_under(&self, parent: u32, pid: u32) -> Life {
        match self.life(pid) {
            Some((life, actual)) if actual == parent => life,
            _ => Life::Ended,
        }
    }

    /// Whether SIGSTOP has suspended `pid`.
    pub fn is_suspended(&self, pid: u32) -> bool {
        self.life(pid).is_some_and(|(life, _)| life == Life::Suspended)
    }

    /// Whether `pid` has ended and its parent has not yet noticed.
    pub fn is_zombie(&self, pid: u32) -> bool {
        self.life(pid).is_some_and(|(life, _)| life == Life::Ended)
    }

    /// When `pid` started, as [`start_time`](Self::start_time); `None` if it has ended.
    pub fn living_since(&self, pid: u32) -> Option<u64> {
        let start = self.start_time(pid).ok()?;
        (!self.is_zombie(pid)).then_some(start)
    }

    /// What `pid` does, and its parent; `None` if there is no such process.
    fn life(&self, pid: u32) -> Option<(Life, u32)> {
        let line = self.stat_line(pid).ok()?;
        let mut words = line.split_ascii_whitespace();
        let life = match words.next()? {
            "T" => Life::Suspended,
            "Z" | "X" => Life::Ended,
            _ => Life::Running,
        };
        Some((life, words.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::process::Signal;

    use super::*;
    use crate::process::Process;
    use crate::wait::{self, Poll};

    /// Blocks until `pid`, a child of this process, does this.
    fn await_life(pid: u32, expected: Life) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let seen = wait::until(deadline, || {
            let life = Proc::default().life_under(std::process::id(), pid);
            Ok::<_, std::convert::Infallible>(match life == expected {
                true => Poll::Done(()),
                false => Poll::Wait,
            })
        });
        assert_eq!(seen, Ok(Some(())), "{expected:?}");
    }

    #[test]
    fn a_child_runs_is_suspended_and_ends() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (pid, proc) = (child.id(), Proc::default());
        let process = Process::open(pid).unwrap().unwrap();
        await_life(pid, Life::Running);
        process.signal(Signal::STOP).unwrap();
        await_life(pid, Life::Suspended);
        assert!(proc.is_suspended(pid) && !proc.is_zombie(pid));
        assert_eq!(proc.life_under(1, pid), Life::Ended, "it is no child of process 1");
        // It gets the signal although it is suspended.
        process.signal(Signal::TERM).unwrap();
        await_life(pid, Life::Ended);
        assert!(!proc.is_suspended(pid) && proc.is_zombie(pid));
        assert_eq!(proc.living_since(pid), None);
        child.wait().unwrap();
        await_life(pid, Life::Ended);
        assert!(!proc.is_zombie(pid));
    }
}
