//! A check: its name, its result, its evidence and its findings.

use serde::Serialize;

use super::{Finding, Remedy, Severity};

/// A check, made or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    /// Whether nothing is wrong; `None` if that is unknown.
    ok: Option<bool>,
    result: Severity,
    evidence: String,
    #[serde(skip)]
    findings: Vec<Finding>,
}

impl Check {
    /// A check that has found nothing wrong so far. `name` is one word.
    pub fn new(name: &'static str) -> Self {
        let (result, evidence) = (Severity::Ok, String::new());
        Self { name, ok: Some(true), result, evidence, findings: Vec::new() }
    }

    /// A check that can't be made, for this reason.
    pub fn unknown(name: &'static str, why: impl Into<String>) -> Self {
        let mut unknown = Self::new(name);
        unknown.partial(why);
        unknown
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its highest severity.
    pub fn result(&self) -> Severity {
        self.result
    }

    /// The evidence.
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// The findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Adds evidence, before the parts that could not be checked.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = match self.evidence.is_empty() {
            true => evidence.into(),
            false => format!("{}; {}", evidence.into(), self.evidence),
        };
        self
    }

    /// Makes it information without a result.
    #[must_use]
    pub fn as_info(mut self) -> Self {
        self.judge(Severity::Info);
        self
    }

    /// Records that a part could not be checked.
    pub fn partial(&mut self, why: impl Into<String>) {
        let why = format!("not checked: {}", why.into());
        self.evidence = match self.evidence.is_empty() {
            true => why,
            false => format!("{}; {why}", self.evidence),
        };
        self.judge(Severity::Unknown);
    }

    /// Adds a finding of [`Severity::Error`].
    pub fn error(&mut self, problem: impl Into<String>, remedy: Remedy) {
        self.find(Severity::Error, problem, remedy);
    }

    /// Adds a finding of [`Severity::Warning`].
    pub fn warning(&mut self, problem: impl Into<String>, remedy: Remedy) {
        self.find(Severity::Warning, problem, remedy);
    }

    /// Adds a finding.
    pub fn find(&mut self, severity: Severity, problem: impl Into<String>, remedy: Remedy) {
        self.judge(severity);
        self.findings.push(Finding { check: self.name, severity, problem: problem.into(), remedy });
    }

    fn judge(&mut self, severity: Severity) {
        self.result = self.result.max(severity);
        self.ok = match self.result {
            Severity::Ok | Severity::Info => Some(true),
            Severity::Unknown => None,
            Severity::Warning | Severity::Error => Some(false),
        };
    }
}

/// `1 slot`, `2 slots`.
pub fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_and_what_could_not_be_seen_is_named_last() {
        let mut check = Check::new("disk");
        check.partial("no access");
        assert_eq!(serde_json::to_value(&check).unwrap()["ok"], serde_json::Value::Null);
        check.warning("little room", Remedy::Do("make room".to_owned()));
        check.partial("no such file");
        let check = check.with_evidence("2 places");
        let expected = serde_json::json!({
            "check": "disk",
            "ok": false,
            "result": "warning",
            "evidence": "2 places; not checked: no access; not checked: no such file",
        });
        assert_eq!(serde_json::to_value(&check).unwrap(), expected);
        let expected = serde_json::json!([{
            "check": "disk",
            "severity": "warning",
            "problem": "little room",
            "remedy": { "how": "do", "what": "make room" },
        }]);
        assert_eq!(serde_json::to_value(check.findings()).unwrap(), expected);
        assert_eq!(Check::new("disk").as_info().result(), Severity::Info);
    }
}
