//! The findings of `doctor`.

use hermes_core::diagnostics::Check;

use super::*;

#[test]
fn doctor_finds_what_belongs_to_no_profile_and_what_does_not_start() {
    let stage = Stage::new();
    let write = |gateway: &Gateway, config: &str| {
        std::fs::write(gateway.home().config(), config).unwrap();
    };
    let [coder, gone, stuck] = ["coder", "gone", "stuck"].map(|name| stage.gateway(name));
    for gateway in [&coder, &gone, &stuck] {
        write(gateway, "gateway: {port: 8650}\n");
        stage
            .driver
            .create(gateway, &CreateOptions { up: true, ..CreateOptions::default() })
            .unwrap();
    }
    let findings = || {
        let snapshot = Snapshot::of_profiles(&stage.driver.store, "");
        let checks = stage.driver.examine(&snapshot).backend;
        let findings = checks.iter().flat_map(Check::findings);
        findings
            .map(|finding| format!("{}: {}", finding.check, finding.problem))
            .collect::<Vec<_>>()
    };
    assert_eq!(findings(), [""; 0]);
    std::fs::remove_dir_all(gone.home().path()).unwrap();
    write(&coder, "gateway: {port: 8650, host: 127.0.0.1, stop_timeout: 20}\n");
    stage.with(|objects| {
        let pod = objects.pods.get_mut("hermes-stuck-0").unwrap();
        pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        let waiting =
            json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } });
        pod["status"]["containerStatuses"][0]["state"] = waiting;
        objects.sets.get_mut("hermes-stuck").unwrap()["spec"]["template"]["spec"]["containers"]
            [0]["image"] = "old".into();
    });
    let path = coder.home().config();
    let path = path.display();
    assert_eq!(
        findings(),
        [
            "services: the gateway of `gone` has a service, and there is no such profile".to_owned(),
            "fields: the StatefulSet of `coder` differs from what a start makes of its profile".to_owned(),
            "pods: the gateway of `stuck` does not start: its container waits: ImagePullBackOff: no such image".to_owned(),
            format!(
                "addresses: the gateway of `coder` listens on `127.0.0.1` (`{path}` line 1 column 29): no other Pod can reach it"
            ),
        ]
    );
}
