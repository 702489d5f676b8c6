//! Which gateways a restarted container starts.

use hermes_tests::container::{Container, Start};
use hermes_tests::pid;

/// A gateway whose intent is `running`, one that is `stopped`, a profile that can't be read, and files of the
/// Python implementation's gateways.
fn scene() -> Container {
    let container = Start::new().booted();
    for name in ["wanted", "unwanted", "bad"] {
        container.profile_running(name, "exec sleep 600");
        container.hermes(["gateway", "start", name]).ok();
    }
    container.hermes(["gateway", "stop", "unwanted"]).ok();
    container.write("/opt/data/profiles/bad/gateway.intent", "perhaps\n");
    for file in ["gateway.pid", "processes.json"] {
        container.write(&format!("/opt/data/profiles/wanted/{file}"), "{}");
        container.write(&format!("/opt/data/{file}"), "{}");
    }
    container.shell(": >/opt/data/logs/container-boot.log").ok();
    container
}

#[track_caller]
fn came_back(container: &Container) {
    container.await_boot(2);
    let status = container.status("wanted");
    assert_eq!((&status["state"], &status["intent"]), (&"up".into(), &"running".into()));
    pid(&status);
    let status = container.status("unwanted");
    assert_eq!((&status["state"], &status["intent"]), (&"down".into(), &"stopped".into()));
    container.exec(["test", "-e", "/run/hermes/service/gateway-unwanted/down"]).ok();
    for home in ["/opt/data", "/opt/data/profiles/wanted"] {
        for file in ["gateway.pid", "processes.json"] {
            container.exec(["test", "-e", &format!("{home}/{file}")]).fails_with(1);
        }
    }
    let log = container.read("/opt/data/logs/container-boot.log");
    for line in [
        "profile=default prior=stopped action=registered",
        "profile=wanted prior=running action=started",
        "profile=unwanted prior=stopped action=registered",
        "action=unreadable detail=\"bad: ",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}:\n{log}");
    }
}

#[test]
fn intents_outlive_a_restart() {
    let container = scene();
    container.docker("restart");
    came_back(&container);
}

#[test]
fn intents_outlive_a_kill() {
    let container = scene();
    container.docker("kill");
    container.docker("start");
    came_back(&container);
}
