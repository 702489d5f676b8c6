//! Renders the measurements as JSON for `bench/latest.json` and as a table for `docs/performance.md`.
//!
//! The table replaces the text between two marks in the page, so that every figure there is from a measurement.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::jobs::{Job, Rule};
use super::sample::{Figure, Side};

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench` -->";
const END: &str = "<!-- end of figures -->";

/// All measurements of a run, and where and when they were taken.
pub(super) struct About {
    /// Facts about machine and versions, by name.
    pub(super) facts: BTreeMap<&'static str, String>,
    pub(super) jobs: Vec<Job>,
}

/// Whether a rule holds.
pub(super) struct Verdict {
    /// The rule as text.
    pub(super) rule: String,
    /// The measured value divided by the allowed one. None if the other side was not measured.
    pub(super) of_allowed: Option<f64>,
}

impl Job {
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let ours = self.figures.get(&Side::Hermes).map(|figure| figure.median);
        let verdict = |rule: &Rule| {
            let (text, allowed) = match *rule {
                Rule::AtMost(limit) => (format!("{} {}", short(limit), self.unit), Some(limit)),
                Rule::Of(times, what, value) => {
                    let text = format!(
                        "{} × {what}: {} {}",
                        short(times),
                        short(times * value),
                        self.unit
                    );
                    (text, Some(times * value))
                }
                Rule::Flat(limit) => (format!("flat: {} {}", short(limit), self.unit), Some(limit)),
                Rule::Times(side, times) => {
                    let text = match times < 1.0 {
                        true => format!("{} / {}", side.name(), short(1.0 / times)),
                        false => format!("{} × {}", short(times), side.name()),
                    };
                    (text, self.figures.get(&side).map(|figure| figure.median * times))
                }
            };
            let of_allowed = ours.zip(allowed).map(|(ours, allowed)| ours / allowed);
            Verdict { rule: format!("≤ {text}"), of_allowed }
        };
        self.rules.iter().map(verdict).collect()
    }

    fn json(&self) -> Value {
        let figure =
            |f: &Figure| json!({"median": f.median, "q1": f.low, "q3": f.high, "runs": f.runs});
        let sides: BTreeMap<_, _> =
            self.figures.iter().map(|(side, f)| (side.name(), figure(f))).collect();
        let ours = self.figures.get(&Side::Hermes).map(|figure| figure.median);
        // The time of each other side, divided by Hermes's.
        let others = self.figures.iter().filter(|(side, _)| **side != Side::Hermes);
        let ratios: BTreeMap<_, _> =
            others.map(|(side, f)| (side.name(), ours.map(|ours| f.median / ours))).collect();
        let rules = self.verdicts().into_iter().map(|verdict| {
            let met = verdict.of_allowed.map(|part| part <= 1.0);
            json!({"rule": verdict.rule, "met": met, "of_allowed": verdict.of_allowed})
        });
        json!({
            "job": self.name,
            "profiles": self.profiles,
            "unit": self.unit,
            "sides": sides,
            "times_hermes": ratios,
            "rules": rules.collect::<Vec<_>>(),
        })
    }
}

impl About {
    pub(super) fn json(&self) -> Value {
        json!({"about": self.facts, "jobs": self.jobs.iter().map(Job::json).collect::<Vec<_>>()})
    }

    /// All jobs as a table, with medians and quartiles.
    pub(super) fn table(&self) -> String {
        let mut text = String::from(
            "| job | profiles | Hermes | floor | s6 tools | supervisord | Python | limit | kept |\n\
             |---|--:|--:|--:|--:|--:|--:|---|---|\n",
        );
        for job in &self.jobs {
            let profiles = job.profiles.map_or_else(String::new, |profiles| profiles.to_string());
            let _ = write!(text, "| {} | {profiles} |", job.name);
            for side in Side::ALL {
                let figure = job.figures.get(&side).map(|figure| cell(figure, job.unit));
                let _ = write!(text, " {} |", figure.unwrap_or_default());
            }
            let (rules, kept): (Vec<_>, Vec<_>) =
                job.verdicts().iter().map(|v| (v.rule.clone(), shown(v))).unzip();
            let _ = writeln!(text, " {} | {} |", rules.join("; "), kept.join("; "));
        }
        text
    }

    /// The facts in one line.
    pub(super) fn line(&self) -> String {
        let facts = self.facts.iter().map(|(name, fact)| format!("{name}: {fact}"));
        facts.collect::<Vec<_>>().join(" · ")
    }
}

fn cell(figure: &Figure, unit: &str) -> String {
    let median = format!("{} {unit}", short(figure.median));
    match figure.runs > 1 {
        true => format!("{median} ({}–{})", short(figure.low), short(figure.high)),
        false => median,
    }
}

fn shown(verdict: &Verdict) -> String {
    match verdict.of_allowed {
        None => "not measured".to_owned(),
        Some(part) if part <= 1.0 => "yes".to_owned(),
        Some(part) => format!("no: {} × the limit", short(part)),
    }
}

/// The value with three significant digits.
pub(super) fn short(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a figure")]
    let before_point = value.abs().max(0.001).log10().floor() as i32 + 1;
    let decimals = usize::try_from(3 - before_point).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Replaces the text between the marks in `page` with `figures`.
pub(super) fn fill(page: &str, figures: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("missing mark: begin of the figures")?;
    let (_, after) = rest.split_once(END).context("missing mark: end of the figures")?;
    Ok(format!("{before}{BEGIN}\n\n{figures}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(rules: Vec<Rule>) -> Job {
        let figure = |median| Figure { median, low: median * 0.9, high: median * 1.1, runs: 20 };
        let figures = BTreeMap::from([(Side::Hermes, figure(3.0)), (Side::Floor, figure(2.0))]);
        Job { name: "profile list", profiles: Some(10), unit: "ms", figures, rules }
    }

    #[test]
    fn a_verdict_is_yes_or_the_excess_or_not_measured() {
        let rules = vec![
            Rule::Times(Side::Floor, 2.0),
            Rule::AtMost(1.0),
            Rule::Times(Side::Peer, 0.01),
            Rule::Flat(4.0),
            Rule::Of(2.0, "another", 1.0),
        ];
        let verdicts = job(rules).verdicts();
        let shown: Vec<_> = verdicts.iter().map(|v| format!("{} {}", v.rule, shown(v))).collect();
        assert_eq!(
            shown,
            [
                "≤ 2 × floor yes",
                "≤ 1 ms no: 3 × the limit",
                "≤ python / 100 not measured",
                "≤ flat: 4 ms yes",
                "≤ 2 × another: 2 ms no: 1.5 × the limit"
            ]
        );
    }

    #[test]
    fn an_unmeasured_side_has_an_empty_cell() {
        let about = About { facts: BTreeMap::new(), jobs: vec![job(Vec::new())] };
        let row = about.table().lines().last().unwrap().to_owned();
        assert_eq!(row, "| profile list | 10 | 3 ms (2.7–3.3) | 2 ms (1.8–2.2) |  |  |  |  |  |");
        assert!(about.json()["jobs"][0]["sides"].get("python").is_none());
    }

    #[test]
    fn figures_have_three_significant_digits() {
        let shown = [0.01234, 1.0, 1.2345, 12.345, 123.45, 1234.5, 20.0, 0.0].map(short);
        assert_eq!(shown, ["0.0123", "1", "1.23", "12.3", "123", "1234", "20", "0"]);
    }

    #[test]
    fn filling_keeps_the_text_around_the_marks() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(fill(&page, "new").unwrap(), format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        fill("a", "new").unwrap_err();
    }
}
