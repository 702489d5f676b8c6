//! Many gateways in one namespace, and what they take.

use std::time::Instant;

use hermes_tests::installation::{Installation, variable};
use hermes_tests::suite::Machine;
use hermes_tests::tell;

/// How many gateways run unless `--gateways` says otherwise.
const GATEWAYS: usize = 200;

/// Prints how long a step took, and returns what it gave.
fn timed<T>(what: &str, step: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let value = step();
    tell(format_args!("kube-test: {what}: {:.1} s", begun.elapsed().as_secs_f64()));
    value
}

/// The gateways are made and started in steps, each to ten times as many as before.
#[test]
fn many_gateways_run_in_one_namespace() {
    let installation = Installation::alone();
    let all =
        variable("HERMES_TEST_GATEWAYS").map_or(GATEWAYS, |all| all.parse().expect("a number"));
    let steps = [all / 20, all / 2, all].into_iter().filter(|step| *step > 0);
    let mut before = 0;
    for count in steps {
        let create = format!(
            "for i in $(seq {} {count}); do hermes profile create g$i || exit; done",
            before + 1
        );
        installation.shell(&create).ok();
        timed(&format!("{} of {count} gateways start", count - before), || {
            installation.hermes(&["start", "--all", "--jobs", "20", "--timeout", "600"]).ok()
        });
        let status = timed(&format!("status of {count}"), || {
            installation.hermes(&["status", "--all", "--json"]).run().json()
        });
        let up = status.as_array().expect("a list").iter().filter(|one| one["state"] == "up");
        assert_eq!(up.count(), count);
        let sizes =
            [("/api/v1", "pods"), ("/apis/apps/v1", "statefulsets")].map(|(api, resource)| {
                let list =
                    timed(&format!("list of {resource}"), || installation.list(api, resource));
                format!("{resource} {} bytes", list.len())
            });
        tell(format_args!("kube-test: lists of {count}: {}", sizes.join(", ")));
        before = count;
    }
    timed(&format!("{all} gateways restart"), || {
        installation.hermes(&["restart", "--all", "--jobs", "20", "--timeout", "600"]).ok()
    });
    timed(&format!("{all} gateways stop"), || installation.hermes(&["stop", "--all"]).ok());
    timed(&format!("boot of {all} that are stopped"), || installation.hermes(&["boot"]).ok());
}
