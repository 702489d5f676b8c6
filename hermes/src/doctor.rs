//! All checks of `hermes doctor` on this machine, and the repairs of `--fix`.
//!
//! ```no_run
//! use hermes::core::diagnostics::Severity;
//!
//! # fn main() -> Result<(), hermes::Error> {
//! let report = hermes::Hermes::detect()?.doctor();
//! for finding in report.findings.iter().filter(|finding| finding.severity == Severity::Error) {
//!     eprintln!("{}: {} (fix: {})", finding.check, finding.problem, finding.remedy);
//! }
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use hermes_core::detect::Facts;
use hermes_core::diagnostics::{Check, Finding, Remedy, Severity, Snapshot};
use hermes_core::doctor::{self, Repaired};
use hermes_core::driver::NoDriver;
use hermes_core::error_chain::in_one_line;
use hermes_core::home::env;
use hermes_core::{Kind, Supervisor};
use serde::Serialize;
use serde_json::Value;

use crate::Hermes;
use crate::error::Error;
use crate::trees;

/// The checks and their findings.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The backend in charge.
    pub backend: Kind,
    /// The facts that detection used.
    pub facts: Facts,
    /// The root home.
    pub home: String,
    /// The directory of the services, if the backend has one outside of the home.
    pub scandir: Option<String>,
    /// How many services there may be and how many there are, as the backend counts; null if there is no
    /// limit or it can't be read.
    pub capacity: Value,
    /// How many profiles there are.
    pub profiles: usize,
    /// How many services there are.
    pub slots: usize,
    /// The repairs, made before the checks.
    pub repaired: Vec<Repaired>,
    /// All checks.
    pub checks: Vec<Check>,
    /// Their findings.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether nothing is an error, and no repair failed.
    pub fn is_success(&self) -> bool {
        self.count(Severity::Error) == 0 && self.repaired.iter().all(|done| done.error.is_none())
    }
}

impl Hermes {
    /// Makes all checks of this machine. Changes nothing. A check that can't be made reports why.
    pub fn doctor(&self) -> Report {
        let kind = self.kind().unwrap_or(Kind::NONE);
        let (supervisor, unusable) = self.supervisor_or_none();
        let client = self.refuse_client().err();
        let options = self.options();
        let mut snapshot = match client.as_ref().or(unusable.as_ref()) {
            None => supervisor.snapshot(&options),
            Some(why) => {
                let mut profiles = Snapshot::of_profiles(self.store(), &options);
                profiles.services = Err(in_one_line(why));
                profiles
            }
        };
        snapshot.client = client.map(|error| error.to_string());
        let examination = supervisor.driver().examine(&snapshot);
        let mut checks = vec![self.backend_check(kind, unusable.as_ref(), &snapshot)];
        checks.extend(doctor::checks(&supervisor, &snapshot, &examination));
        Report {
            backend: kind,
            facts: self.facts().clone(),
            home: self.root().path().display().to_string(),
            scandir: examination.directory.map(|directory| directory.path.display().to_string()),
            capacity: examination.capacity,
            profiles: snapshot.gateways.len(),
            slots: supervisor.list_services().map_or(0, |services| services.len()),
            repaired: Vec::new(),
            findings: checks.iter().flat_map(|check| check.findings().to_vec()).collect(),
            checks,
        }
    }

    /// Makes the repairs that stop no running gateway ([`repair`](doctor::repair)), then all checks. A second
    /// call changes nothing. Blocks until each gateway that it starts was observed to come up or fail.
    pub fn repair(&self) -> Report {
        let supervisor = self.supervisor().unwrap_or_else(|_| self.without_backend());
        let repaired = doctor::repair(&supervisor);
        Report { repaired, ..self.doctor() }
    }

    /// The findings about the backend itself, if it installs services: commands work in spite of them, gateways
    /// do not. Changes nothing.
    pub fn backend_findings(&self, supervisor: &Supervisor) -> Vec<Finding> {
        if !supervisor.supports_installation() {
            return Vec::new();
        }
        let snapshot = Snapshot::of_profiles(self.store(), &self.options());
        let checks = supervisor.driver().examine(&snapshot).backend;
        checks.iter().flat_map(|check| check.findings().to_vec()).collect()
    }

    /// The backend in charge; if none can be used, one without services, and the reason.
    fn supervisor_or_none(&self) -> (Supervisor, Option<Error>) {
        match self.connect() {
            Ok(supervisor) => (supervisor, None),
            Err(error) => (self.without_backend(), Some(error)),
        }
    }

    fn without_backend(&self) -> Supervisor {
        Supervisor::new(Arc::new(NoDriver), self.store().clone())
    }

    fn backend_check(&self, kind: Kind, unusable: Option<&Error>, snapshot: &Snapshot) -> Check {
        let facts = self.facts();
        let init = facts.init.as_deref().unwrap_or("a process whose name can't be read");
        let s6 = kind == trees::KIND;
        let why = if let Some(name) = &facts.requested {
            format!("{kind}, since {} is `{name}`", env::BACKEND)
        } else if let Some(dir) = facts.named_scandir.as_ref().filter(|_| s6) {
            format!("s6, since `{}` is named", dir.display())
        } else if s6 && facts.s6_in_charge() {
            "s6, since process 1 is s6-svscan and /run/s6/basedir exists".to_owned()
        } else if let Some(dir) = facts.user_scandir.as_ref().filter(|_| s6) {
            format!("s6, since `hermes up` runs on `{}`", dir.display())
        } else {
            format!("{kind}, and process 1 is {init}")
        };
        let mut check = Check::new("backend").with_evidence(why);
        if let Some(error) = unusable {
            let hint =
                error.hint().unwrap_or_else(|| format!("check {} and `--system`", env::BACKEND));
            check.error(in_one_line(error), Remedy::Do(hint));
        } else if kind == Kind::NONE {
            let problem = "nothing supervises services here: neither s6 nor systemd nor launchd";
            let missing = trees::obstacle(self.environment());
            let install = missing.as_ref().and_then(|error| error.hint());
            let remedy = match install {
                Some(install) => Remedy::Do(format!("{install}; then `hermes up`")),
                None => snapshot.run("up"),
            };
            check.error(problem, remedy);
        }
        check
    }
}
