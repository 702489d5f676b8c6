//! What the checks say, and how it is printed.

use hermes_core::Kind;
use hermes_core::detect::Facts;
pub(super) use hermes_core::diagnostics::Remedy;
use hermes_s6::tree::capacity::Capacity;
use serde::Serialize;

use crate::error::CliError;
use crate::escape::escaped;
use crate::output::{self, Severity};

/// Something that is wrong, and what mends it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) severity: Severity,
    pub(super) problem: String,
    pub(super) remedy: Remedy,
}

/// One check that was made, or could not be.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) check: &'static str,
    /// Whether nothing is wrong; `None` if that could not be seen.
    ok: Option<bool>,
    pub(super) result: Severity,
    /// What was seen.
    evidence: String,
    #[serde(skip)]
    pub(super) findings: Vec<Finding>,
}

impl Check {
    /// A check that has found nothing wrong so far.
    pub(super) fn new(check: &'static str) -> Self {
        let (result, evidence) = (Severity::Ok, String::new());
        Self { check, ok: Some(true), result, evidence, findings: Vec::new() }
    }

    /// A check that can't be made, and why.
    pub(super) fn unknown(check: &'static str, why: impl Into<String>) -> Self {
        let mut unknown = Self::new(check);
        unknown.partial(why);
        unknown
    }

    /// With what it saw.
    pub(super) fn evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = match self.evidence.is_empty() {
            true => evidence.into(),
            false => format!("{}; {}", evidence.into(), self.evidence),
        };
        self
    }

    /// Says that nothing is to be judged here, and only known.
    pub(super) fn info(mut self) -> Self {
        self.judge(Severity::Info);
        self
    }

    /// Some of it could not be seen.
    pub(super) fn partial(&mut self, why: impl Into<String>) {
        let why = format!("not checked: {}", why.into());
        self.evidence = match self.evidence.is_empty() {
            true => why,
            false => format!("{}; {why}", self.evidence),
        };
        self.judge(Severity::Unknown);
    }

    pub(super) fn error(&mut self, problem: impl Into<String>, remedy: Remedy) {
        self.find(Severity::Error, problem.into(), remedy);
    }

    pub(super) fn warning(&mut self, problem: impl Into<String>, remedy: Remedy) {
        self.find(Severity::Warning, problem.into(), remedy);
    }

    pub(super) fn find(&mut self, severity: Severity, problem: String, remedy: Remedy) {
        self.judge(severity);
        self.findings.push(Finding { check: self.check, severity, problem, remedy });
    }

    fn judge(&mut self, judgement: Severity) {
        self.result = self.result.max(judgement);
        self.ok = match self.result {
            Severity::Ok | Severity::Info => Some(true),
            Severity::Unknown => None,
            Severity::Warning | Severity::Error => Some(false),
        };
    }
}

/// What `--fix` did, or tried.
#[derive(Debug, Serialize)]
pub(super) struct Repaired {
    pub(super) what: String,
    /// Why it failed; `None` if it is done.
    pub(super) error: Option<String>,
}

/// What was looked at, and what is wrong.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) backend: Kind,
    pub(super) facts: Facts,
    pub(super) home: String,
    pub(super) scandir: Option<String>,
    pub(super) capacity: Option<Capacity>,
    pub(super) profiles: usize,
    pub(super) slots: usize,
    pub(super) repaired: Vec<Repaired>,
    pub(super) checks: Vec<Check>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// How many findings are of this severity.
    pub(super) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Prints it for people.
    pub(super) fn print(&self) -> Result<(), CliError> {
        for Repaired { what, error } in &self.repaired {
            match error {
                None => output::judged(Severity::Ok, &format!(": repaired: {what}"))?,
                Some(error) => {
                    output::judged(Severity::Error, &format!(": not repaired: {what}: {error}"))?
                }
            }
        }
        if !self.repaired.is_empty() {
            output::line("")?;
        }
        self.print_facts()?;
        output::line("")?;
        for Check { check, result, evidence, .. } in &self.checks {
            let gap = " ".repeat(9 - result.word().len());
            output::judged(*result, &format!("{gap}{check:<14} {evidence}"))?;
        }
        for Finding { check, severity, problem, remedy } in &self.findings {
            output::line("")?;
            output::judged(*severity, &format!(": {check}: {problem}"))?;
            output::line(format_args!("  fix: {}", escaped(&remedy.to_string())))?;
        }
        output::line(format_args!("\n{}", self.closing()))
    }

    fn print_facts(&self) -> Result<(), CliError> {
        let line =
            |name: &str, value: &str| output::line(format_args!("{name:<10} {}", escaped(value)));
        line("backend", &self.backend.to_string())?;
        line("process 1", self.facts.init.as_deref().unwrap_or("can't be read"))?;
        line("s6 basedir", if self.facts.s6_basedir { "there" } else { "absent" })?;
        line("home", &self.home)?;
        if let Some(scandir) = &self.scandir {
            line("scandir", scandir)?;
        }
        line("profiles", &self.profiles.to_string())?;
        line("slots", &self.slots.to_string())
    }

    fn closing(&self) -> String {
        let unseen = self.checks.iter().filter(|check| check.result == Severity::Unknown).count();
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let closing = match (errors, warnings) {
            (0, 0) => "nothing is wrong".to_owned(),
            _ => format!("{}, {}", several(errors, "error"), several(warnings, "warning")),
        };
        match unseen {
            0 => closing,
            _ => format!("{closing}; {} could not be made", several(unseen, "check")),
        }
    }
}

/// `1 slot`, `2 slots`.
pub(super) fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
