//! Kills a command between any two of its steps, and checks that a boot repairs the result.
//!
//! strace kills the program when it enters its n-th system call of a kind that changes something, for every n
//! until the command completes with fewer calls.

use crate::{Hermes, SOON, Snapshot, TestEnv, answered, eventually};

/// The system calls that change something, and so separate steps. `write` also sends commands to s6, and
/// writes files and output.
pub const CHANGES: [&str; 9] =
    ["renameat2", "renameat", "rename", "unlink", "unlinkat", "mkdir", "mknodat", "fsync", "write"];

/// How many equal snapshots in a row count as settled.
const SETTLED: usize = 8;

/// Calls `attempt` with injections for strace: `fault` in the first call of each kind, then in the second,
/// and so on, until `attempt` returns that the fault did not occur. Returns the number of faults.
pub fn at_every(calls: &[&str], fault: &str, mut attempt: impl FnMut(&str) -> bool) -> usize {
    let reached =
        |call: &&str| (1..).take_while(|n| attempt(&format!("{call}:{fault}:when={n}"))).count();
    calls.iter().map(reached).sum()
}

/// A command to kill, and its test environment.
pub struct Scene<'a> {
    /// The test environment, with a live tree.
    pub env: &'a TestEnv,
    /// Restores the state before the command, from any state.
    pub prepare: &'a dyn Fn(),
    /// The command.
    pub command: &'a [&'a str],
    /// The exit code of a repeated command that was done already, if not 0.
    pub again: Option<i32>,
}

impl Scene<'_> {
    /// Kills the command at every step and boots; at every other step the command is repeated before the boot.
    /// Afterwards the state must be that before or that after the command (after a repeated command only the
    /// latter), and another boot must have nothing to do. Returns the number of steps.
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

    /// The state after the command, if any, and a boot.
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

    /// The state once it no longer changes.
    fn settled(&self) -> Snapshot {
        let (mut last, mut equal) = (Snapshot::of(self.env), 0);
        eventually("nothing changes any more", || {
            let now = Snapshot::of(self.env);
            equal = if now == last { equal + 1 } else { 0 };
            last = now;
            (equal == SETTLED).then_some(())
        });
        last
    }

    fn hermes(&self, command: &[&str]) -> Hermes {
        self.env.hermes(command.iter().copied())
    }
}
