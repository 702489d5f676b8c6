//! What gateways need under a host's service manager: what the backend itself looks at, and the gateways
//! as it has them.

use hermes_core::{Intent, State, Status, Supervisor};

use super::gateways::{again_later, crashing, parked_because};
use super::report::{Check, several};
use super::snapshot::Snapshot;

pub(super) fn checks(snapshot: &Snapshot<'_>, services: &Supervisor) -> Vec<Check> {
    let mut checks: Vec<_> = services.driver().examine().into_iter().map(examined).collect();
    checks.extend(gateways(snapshot));
    checks
}

fn examined(found: hermes_core::diagnostics::Examination) -> Check {
    let mut check = Check::new(found.check).evidence(found.evidence);
    for finding in found.findings {
        match finding.severe {
            true => check.error(finding.problem, finding.remedy),
            false => check.warning(finding.problem, finding.remedy),
        }
    }
    check
}

fn gateways(snapshot: &Snapshot<'_>) -> Vec<Check> {
    let [mut orphans, mut parked, mut backoff, mut wanted] =
        ["orphans", "parked", "backoff", "wanted"].map(Check::new);
    let mut up = 0;
    for profile in &snapshot.profiles {
        let (name, status) = (&profile.profile.name, &profile.status);
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                wanted.partial(error.clone());
                continue;
            }
        };
        up += usize::from(status.state.is_running());
        let is_wanted = status.intent == Some(Intent::Running);
        let verb = if is_wanted { "restart" } else { "stop" };
        match (status.state, status.pid) {
            (State::Orphan, Some(pid)) => {
                let problem = format!("the gateway of `{name}` runs as {pid}, unsupervised");
                orphans.error(problem, snapshot.run(&format!("gateway {verb} {name}")));
            }
            (State::Parked, _) => {
                parked.error(parked_because(status), again_later(snapshot, status))
            }
            (State::Backoff, _) => backoff.warning(crashing(status), again_later(snapshot, status)),
            (State::Down, _) if is_wanted => {
                let problem = format!("the gateway of `{name}` is wanted and down");
                wanted.error(problem, again_later(snapshot, status));
            }
            _ if !is_wanted && runs(status) => {
                let problem = format!("the gateway of `{name}` is not wanted, and runs");
                wanted.warning(problem, snapshot.run(&format!("gateway stop {name}")));
            }
            _ => {}
        }
    }
    let count = |check: &Check| several(check.findings.len(), "gateway");
    let (gave_up, crash) = (count(&parked), count(&backoff));
    let looked = snapshot.profiles.len();
    vec![
        orphans
            .evidence(format!("{} of their profiles' locks looked at", several(looked, "holder"))),
        parked.evidence(format!("{gave_up} gave up")),
        backoff.evidence(format!("{crash} waiting to be started again after a death")),
        wanted.evidence(format!("{} of {} up", up, several(looked, "gateway"))),
    ]
}

fn runs(status: &Status) -> bool {
    status.state.is_running()
}
