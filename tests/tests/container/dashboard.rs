//! The dashboard as a static service, and the image's health check.

use hermes_tests::container::{Base, Container, Start, base};
use hermes_tests::eventually;

/// These fields of the service from `s6-svstat`.
#[track_caller]
fn slot(container: &Container, fields: &str) -> String {
    let slot = match base() {
        Base::Plain => "/run/init/dashboard",
        Base::Overlay | Base::OverlayRoot => "/run/service/hermes-dashboard",
    };
    let reason = "only root may read the records of static services";
    let stat = ["/command/s6-svstat", "-o", fields, slot];
    container.exec_as_root_because(reason, stat).run().stdout.trim().to_owned()
}

fn dashboards(container: &Container) -> usize {
    let running = container.processes("hermes");
    running.iter().filter(|line| line.ends_with("hermes dashboard")).count()
}

/// The whole response. The image has no curl, but bash can open a port.
#[track_caller]
pub(crate) fn get(container: &Container, host: &str, port: u16, path: &str, token: &str) -> String {
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port} && printf 'GET {path} HTTP/1.0\\r\\nHost: {host}:{port}\\r\\n\
         Authorization: Bearer {token}\\r\\n\\r\\n' >&3 && cat <&3"
    );
    container.exec(["bash", "-c", &script]).run().stdout
}

fn token(container: &Container) -> String {
    container.read("/opt/data/dashboard.token").trim().to_owned()
}

const LISTENING: &str = "the dashboard is at ";

#[test]
fn it_is_off_by_default() {
    for start in [Start::new(), Start::new().env("HERMES_DASHBOARD", "0")] {
        let container = start.booted();
        eventually("its slot is down", || {
            (slot(&container, "up,wantedup") == "false false").then_some(())
        });
        assert_eq!(dashboards(&container), 0);
        assert!(!container.output().contains(LISTENING));
        container.exec(["test", "-e", "/opt/data/dashboard.token"]).fails_with(1);
    }
}

#[test]
fn it_serves_and_is_restarted() {
    let container = Start::new().env("HERMES_DASHBOARD", "1").booted();
    container.await_output(LISTENING, 1);
    assert_eq!(slot(&container, "up,wantedup"), "true true");
    assert!(get(&container, "127.0.0.1", 9119, "/", "").contains("<title>Hermes</title>"));
    let token = token(&container);
    assert!(!container.output().contains(&token), "it is in no log");
    container.hermes(["profile", "create", "coder", "--start"]).ok();
    let answer = get(&container, "127.0.0.1", 9119, "/api/v1/gateways/coder", &token);
    assert!(answer.contains("\"state\":\"up\""), "{answer}");
    let first = slot(&container, "pid");
    let owner = container.exec(["stat", "-c", "%U", &format!("/proc/{first}")]).ok();
    assert_eq!(owner.stdout, "hermes\n");
    container.exec(["sh", "-c", "kill -9 $1", "sh", &first]).ok();
    container.await_output(LISTENING, 2);
    let second = slot(&container, "pid");
    assert!(second != first && second != "-1", "{second}");
    let answer = get(&container, "127.0.0.1", 9119, "/api/v1/gateways/coder", &token);
    assert!(answer.contains("\"state\":\"up\""), "the token is the same: {answer}");
    container.docker("stop");
    assert_eq!(container.exit_code(), 0);
}

#[test]
fn port_and_host_can_be_changed() {
    let container = Start::new()
        .env("HERMES_DASHBOARD", "1")
        .env("HERMES_DASHBOARD_PORT", "9120")
        .env("HERMES_DASHBOARD_HOST", "0.0.0.0")
        .booted();
    container.await_output("the dashboard is at http://0.0.0.0:9120/", 1);
    container.await_output("the dashboard can be reached from other machines", 1);
    let address = container.exec(["hostname", "-i"]).ok().stdout;
    let address = address.split_whitespace().next().expect("an address");
    for given in ["", "wrong"] {
        let refused = get(&container, address, 9120, "/api/v1/gateways", given);
        assert!(refused.starts_with("HTTP/1.0 401 "), "{refused}");
    }
    let answer = get(&container, address, 9120, "/api/v1/gateways", &token(&container));
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

#[test]
fn what_it_refuses_for_good_is_not_tried_again() {
    let container =
        Start::new().env("HERMES_DASHBOARD", "1").env("HERMES_DASHBOARD_PORT", "http").booted();
    let refusal = "invalid value `http` for HERMES_DASHBOARD_PORT";
    container.await_output(refusal, 1);
    eventually("its slot is down", || {
        (slot(&container, "up,wantedup,exitcode") == "false false 78").then_some(())
    });
    // A token that other users may read is permanent, too.
    let container = Start::new().env("HERMES_DASHBOARD", "1").booted();
    container.await_output(LISTENING, 1);
    container.exec(["chmod", "644", "/opt/data/dashboard.token"]).ok();
    container.docker("restart");
    container.await_output("other users have access", 1);
    eventually("its slot is down", || {
        (slot(&container, "up,wantedup,exitcode") == "false false 78").then_some(())
    });
    assert_eq!(container.output().matches("other users have access").count(), 1, "it tries once");
    // The gateways are not affected.
    container.await_boot(2);
    container.hermes(["profile", "create", "coder", "--start"]).ok();
}

#[test]
fn health_follows_the_intents() {
    let quick = ["--health-interval=1s", "--health-start-period=0s", "--health-retries=1"];
    let container = Start::new().options(quick).booted();
    let is = |health: &str| {
        eventually(health, || (container.health() == health).then_some(()));
    };
    is("healthy");
    container.profile_running("broken", "exit 78");
    container.hermes(["gateway", "start", "broken"]).fails_with(1);
    is("unhealthy");
    container.hermes(["gateway", "stop", "broken"]).ok();
    is("healthy");
    let client = Start::new().options(quick).env("HERMES_ROLE", "client").detached();
    eventually("a client is healthy", || (client.health() == "healthy").then_some(()));
}
