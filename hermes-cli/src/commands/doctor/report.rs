//! How a report is printed for people.

use hermes::doctor::Report;
use hermes_core::diagnostics::{Check, Finding, Severity, several};
use hermes_core::doctor::Repaired;

use crate::error::CliError;
use crate::escape::escaped;
use crate::output;

pub(super) fn print(report: &Report) -> Result<(), CliError> {
    for Repaired { what, error } in &report.repaired {
        match error {
            None => output::judged(Severity::Ok, &format!(": repaired: {what}"))?,
            Some(error) => {
                output::judged(Severity::Error, &format!(": not repaired: {what}: {error}"))?
            }
        }
    }
    if !report.repaired.is_empty() {
        output::line("")?;
    }
    print_facts(report)?;
    output::line("")?;
    print_checks(&report.checks)?;
    for Finding { check, severity, problem, remedy } in &report.findings {
        output::line("")?;
        output::judged(*severity, &format!(": {check}: {problem}"))?;
        output::line(format_args!("  fix: {}", escaped(&remedy.to_string())))?;
    }
    output::line(format_args!("\n{}", closing(report)))
}

fn print_facts(report: &Report) -> Result<(), CliError> {
    let line =
        |name: &str, value: &str| output::line(format_args!("{name:<10} {}", escaped(value)));
    line("backend", &report.backend.to_string())?;
    line("process 1", report.facts.init.as_deref().unwrap_or("can't be read"))?;
    line("s6 basedir", if report.facts.s6_basedir { "there" } else { "absent" })?;
    line("home", &report.home)?;
    if let Some(scandir) = &report.scandir {
        line("scandir", scandir)?;
    }
    line("profiles", &report.profiles.to_string())?;
    line("slots", &report.slots.to_string())
}

/// One line for each check; those that can't be made for one reason share a line.
fn print_checks(checks: &[Check]) -> Result<(), CliError> {
    for check in checks {
        let names = unmade_like(check, checks);
        match names.as_slice() {
            [first, _, ..] if *first == check.name() => {
                let evidence = format!("{} ({})", check.evidence(), names.join(", "));
                print_check(check.result(), &several(names.len(), "check"), &evidence)?;
            }
            [_, _, ..] => {}
            _ => print_check(check.result(), check.name(), check.evidence())?,
        }
    }
    Ok(())
}

/// The checks that can't be made for the reason why `check` can't; none if it was made.
fn unmade_like(check: &Check, checks: &[Check]) -> Vec<&'static str> {
    let is_unmade = |other: &&Check| {
        other.result() == Severity::Unknown && other.evidence() == check.evidence()
    };
    match check.result() {
        Severity::Unknown => checks.iter().filter(is_unmade).map(Check::name).collect(),
        _ => Vec::new(),
    }
}

fn print_check(result: Severity, name: &str, evidence: &str) -> Result<(), CliError> {
    let gap = " ".repeat(9 - result.word().len());
    output::judged(result, &format!("{gap}{name:<14} {evidence}"))
}

fn closing(report: &Report) -> String {
    let unmade = report.checks.iter().filter(|check| check.result() == Severity::Unknown).count();
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let closing = match (errors, warnings) {
        (0, 0) => "no problems found".to_owned(),
        _ => format!("{}, {}", several(errors, "error"), several(warnings, "warning")),
    };
    match unmade {
        0 => closing,
        _ => format!("{closing}; {} could not be made", several(unmade, "check")),
    }
}
