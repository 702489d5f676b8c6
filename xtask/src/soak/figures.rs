//! The figures of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::look::Held;

/// Counts, and the extremes.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) rounds: usize,
    /// Commands by kind: how many ran, were killed, and failed.
    pub(super) commands: BTreeMap<&'static str, [usize; 3]>,
    /// What was killed or stopped, by kind.
    pub(super) faults: BTreeMap<String, usize>,
    /// What other programs did to profiles.
    pub(super) by_others: BTreeMap<&'static str, usize>,
    /// How trees ended.
    pub(super) ends: BTreeMap<String, usize>,
    pub(super) mends: usize,
    pub(super) failed_mends: usize,
    /// The longest time from the last act of a round until every promise was kept.
    pub(super) longest: Duration,
    /// What `hermes up` and its s6-svscan held at the first look and at the last.
    pub(super) held: Option<[[Held; 2]; 2]>,
}

impl Figures {
    /// One line about the run so far.
    pub(super) fn line(&self) -> String {
        let [run, killed, _] = self.sum();
        let faults: usize = self.faults.values().sum();
        let others: usize = self.by_others.values().sum();
        let ends: usize = self.ends.values().sum();
        let now = self.held.map_or_else(String::new, |[_, [up, _]]| {
            format!(", hermes up {} KiB and {} descriptors", up.memory, up.descriptors)
        });
        format!(
            "{} rounds, {run} commands ({killed} killed), {faults} faults, {others} changes by others, {ends} trees \
             ended, {} mends, longest convergence {:.1} s{now}",
            self.rounds,
            self.mends,
            self.longest.as_secs_f64()
        )
    }

    fn sum(&self) -> [usize; 3] {
        let mut sum = [0; 3];
        for counts in self.commands.values() {
            sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        sum
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [run, killed, failed] = self.sum();
        writeln!(f, "rounds            {}", self.rounds)?;
        writeln!(f, "commands          {run}, of which {killed} were killed and {failed} failed")?;
        for (word, [run, killed, failed]) in &self.commands {
            writeln!(f, "  {word:<16}{run}, {killed} killed, {failed} failed")?;
        }
        let counts =
            |f: &mut fmt::Formatter<'_>, what: &str, of: &mut dyn Iterator<Item = String>| {
                writeln!(f, "{what:<18}{}", of.collect::<Vec<_>>().join(", "))
            };
        counts(
            f,
            "killed or stopped",
            &mut self.faults.iter().map(|(what, n)| format!("{what} {n}")),
        )?;
        counts(f, "by others", &mut self.by_others.iter().map(|(what, n)| format!("{what} {n}")))?;
        counts(
            f,
            "ends of the tree",
            &mut self.ends.iter().map(|(what, n)| format!("{what} {n}")),
        )?;
        writeln!(f, "mends             {}, and {} failed", self.mends, self.failed_mends)?;
        writeln!(
            f,
            "longest wait      {:.1} s until all was as wanted",
            self.longest.as_secs_f64()
        )?;
        let Some([first, last]) = self.held else { return Ok(()) };
        for (index, program) in ["hermes up", "s6-svscan"].into_iter().enumerate() {
            let (first, last) = (first[index], last[index]);
            writeln!(
                f,
                "{program:<18}{} KiB and {} descriptors at the beginning, {} KiB and {} at the end",
                first.memory, first.descriptors, last.memory, last.descriptors
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_up() {
        let mut figures = Figures { rounds: 2, ..Figures::default() };
        figures.commands.insert("start", [3, 1, 0]);
        figures.commands.insert("stop", [2, 0, 1]);
        figures.faults.insert("Gateway".to_owned(), 4);
        let held = |memory| [Held { memory, descriptors: 9 }, Held { memory: 7, descriptors: 8 }];
        figures.held = Some([held(100), held(101)]);
        assert!(figures.line().starts_with("2 rounds, 5 commands (1 killed), 4 faults, 0 changes"));
        let text = figures.to_string();
        assert!(
            text.contains("commands          5, of which 1 were killed and 1 failed"),
            "{text}"
        );
        assert!(text.contains("hermes up         100 KiB and 9 descriptors at the beginning, 101"));
    }
}
