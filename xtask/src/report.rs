//! The steps of a task that goes on after a failure: what each took, and a list of those that failed at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The failed steps, each with the command that runs it alone.
#[derive(Default)]
pub(crate) struct Report {
    failed: Vec<(String, String)>,
}

impl Report {
    /// Runs a step and prints its result.
    pub(crate) fn step(&mut self, name: &str, alone: &str, run: impl FnOnce() -> Result<()>) {
        println!("{name}: {alone}");
        let start = Instant::now();
        let result = run();
        let took = seconds(start.elapsed());
        match result {
            Ok(()) => println!("{name}: passed in {took}"),
            Err(error) => {
                println!("{name}: failed after {took}: {error:#}");
                self.fail(name, alone);
            }
        }
    }

    /// Adds a failed step.
    pub(crate) fn fail(&mut self, name: &str, alone: &str) {
        self.failed.push((name.to_owned(), alone.to_owned()));
    }

    /// Fails if a step failed, and lists all failed steps.
    pub(crate) fn end(&self) -> Result<()> {
        let lines = self.failed.iter().map(|(name, alone)| format!("\n  {name}: {alone}"));
        match self.failed.len() {
            0 => Ok(()),
            1 => bail!("1 step failed; to run it alone:{}", lines.collect::<String>()),
            n => bail!("{n} steps failed; to run each alone:{}", lines.collect::<String>()),
        }
    }
}

/// A time to print.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs_and_the_end_lists_the_failed_ones() {
        let mut report = Report::default();
        let mut ran = 0;
        for (step, passes) in [("fmt", false), ("clippy", true), ("doc", false)] {
            report.step(step, &format!("cargo {step}"), || {
                ran += 1;
                if passes { Ok(()) } else { bail!("broken") }
            });
        }
        assert_eq!(ran, 3);
        assert_eq!(
            report.end().unwrap_err().to_string(),
            "2 steps failed; to run each alone:\n  fmt: cargo fmt\n  doc: cargo doc"
        );
    }

    #[test]
    fn passed_steps_are_no_error() {
        let mut report = Report::default();
        report.step("fmt", "cargo fmt", || Ok(()));
        report.end().unwrap();
    }
}
