//! Commands that are killed between any two of their steps, and what must come of it.
//!
//! The steps are the program's own: strace kills it as it enters its n-th system call of a kind that
//! changes something, for every n until it comes to its end without having made so many.

use crate::{Hermes, SOON, Snapshot, TestEnv, answered, eventually};

/// The system calls that change something, and so come between two steps. Commands to s6 go through
/// the last one, and so does the content of files, and what is printed.
pub const CHANGES: [&str; 9] =
    ["renameat2", "renameat", "rename", "unlink", "unlinkat", "mkdir", "mknodat", "fsync", "write"];

/// How often in a row the same has to be seen to be what a clean run leaves.
const LOOKS: usize = 8;

/// Calls `attempt` with what strace is to inject: `fault` into the first call of each kind, then into
/// the second, and so on, until it answers that the fault did not come about. Answers how many did.
pub fn at_every(calls: &[&str], fault: &str, mut attempt: impl FnMut(&str) -> bool) -> usize {
    let reached =
        |call: &&str| (1..).take_while(|n| attempt(&format!("{call}:{fault}:when={n}"))).count();
    calls.iter().map(reached).sum()
}

/// A command and the test environment that it changes.
pub struct Scene<'a> {
    /// The test environment, with a live tree.
    pub env: &'a TestEnv,
    /// Brings the test environment to where the command begins, wherever it is.
    pub prepare: &'a dyn Fn(),
    /// The command.
    pub command: &'a [&'a str],
    /// What it exits with when it is said once more, if that is not 0: it was done already.
    pub again: Option<i32>,
}

impl Scene<'_> {
    /// Kills the command at every step and boots; at every other one the command is said again before.
    /// Afterwards all is as if it had never been said or had not been killed, in the latter case the
    /// second of the two, and a further boot has nothing to do. Answers how many steps there were.
    #[track_caller]
    pub fn killed_at_every_step(&self) -> usize {
        let before = self.clean(None);
        let after = self.clean(Some(self.command));
        let mut steps = 0;
        at_every(&CHANGES, "signal=KILL", |injection| {
            (self.prepare)();
            let killed = self.env.hermes_injected(&[injection], self.command.iter().copied());
            let killed = killed.run();
            if killed.code().is_some() {
                assert_eq!(killed.code(), Some(0), "{injection}: {killed}");
                return false;
            }
            steps += 1;
            let again = (steps % 2 == 0).then(|| self.hermes(self.command).run());
            if let Some(again) = &again {
                let code = again.code();
                assert!(code == Some(0) || code == self.again, "{injection}: {again}\n{killed}");
            }
            let allowed = if again.is_some() { &[&after][..] } else { &[&before, &after] };
            self.boot_makes(allowed, injection);
            true
        })
    }

    /// What there is after the command (or after none) and a boot.
    fn clean(&self, command: Option<&[&str]>) -> Snapshot {
        (self.prepare)();
        command.map(|command| self.hermes(command).ok());
        self.hermes(&["boot"]).ok();
        self.settled()
    }

    #[track_caller]
    fn boot_makes(&self, allowed: &[&Snapshot], injection: &str) {
        let booted = self.hermes(&["boot"]).ok();
        let mut last = None;
        let seen = answered(SOON, || {
            let now = last.insert(Snapshot::of(self.env));
            allowed.contains(&&*now).then_some(())
        });
        if let (None, Some(now)) = (seen, last) {
            let differences = allowed.iter().map(|allowed| now.difference(allowed));
            let differences = differences.collect::<Vec<_>>().join("--- or\n");
            panic!("{injection} of {:?}:\n{differences}\n{booted}", self.command);
        }
        let again = self.hermes(&["boot"]).ok();
        let idle = again.stdout.lines().all(|line| line.starts_with("keep "));
        assert!(idle, "{injection}: {again}\nafter {booted}");
    }

    /// What there is once it stays the same for a while.
    fn settled(&self) -> Snapshot {
        let (mut last, mut looks) = (Snapshot::of(self.env), 0);
        eventually("nothing changes any more", || {
            let now = Snapshot::of(self.env);
            looks = if now == last { looks + 1 } else { 0 };
            last = now;
            (looks == LOOKS).then_some(())
        });
        last
    }

    fn hermes(&self, command: &[&str]) -> Hermes {
        self.env.hermes(command.iter().copied())
    }
}
