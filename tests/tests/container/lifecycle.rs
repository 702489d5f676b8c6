//! Profiles and their gateways, from creation to deletion, as the user of production.

use hermes_tests::container::{Base, Start, base};
use hermes_tests::{eventually, pid};

/// s6 is detected without a configured scan directory: by process 1 and s6's directory alone.
const UNTOLD: [&str; 3] = ["env", "--unset=HERMES_SCANDIR", "hermes"];

#[test]
fn s6_is_detected_by_hermes_and_by_root() {
    let container = Start::new().booted();
    let doctor = || UNTOLD.into_iter().chain(["doctor", "--json"]);
    let reason = "detection once worked as root alone, or as anybody else alone";
    for command in [container.exec(doctor()), container.exec_as_root_because(reason, doctor())] {
        let report = command.run().json();
        assert_eq!(report["backend"], "s6", "{report}");
        assert_eq!(report["facts"]["init"], "s6-svscan");
        assert_eq!(report["facts"]["s6_basedir"], true);
        // On s6-overlay only HERMES_SCANDIR leads to the gateways' own s6-svscan.
        let slots = if base() == Base::Overlay { 0 } else { 1 };
        assert_eq!(report["slots"], slots, "the scan directory is the gateways': {report}");
    }
}

#[test]
fn a_gateway_lives_and_ends_as_hermes() {
    let container = Start::new().booted();
    container.hermes(["profile", "create", "coder"]).ok();
    assert_eq!(container.status("coder")["state"], "down");
    container.hermes(["gateway", "start", "coder"]).ok();
    let status = container.status("coder");
    assert_eq!((&status["state"], &status["ready"]), (&"up".into(), &true.into()));
    let first = pid(&status);
    let who = container.exec(["stat", "-c", "%u:%g", &format!("/proc/{first}")]).ok();
    assert_eq!(who.stdout, "10000:10000\n");
    let port = container.hermes(["profile", "port", "coder"]).ok().stdout;
    // The image has no curl, but bash can open a port.
    let get = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3",
        port.trim()
    );
    let health = container.exec(["bash", "-c", &get]).ok();
    assert!(health.stdout.contains("\"profile\":\"coder\""), "{health}");

    container.hermes(["gateway", "restart", "coder"]).ok();
    assert_ne!(pid(&container.status("coder")), first);
    container.hermes(["gateway", "stop", "coder"]).ok();
    assert_eq!(container.status("coder")["state"], "down");
    let supervisors = || {
        let all = container.processes("s6-supervise");
        all.iter().filter(|line| line.contains("gateway-coder")).count()
    };
    assert_eq!(supervisors(), 2);
    container.hermes(["gateway", "unregister", "coder"]).ok();
    assert_eq!(supervisors(), 0);
    container
        .shell("ls -d /run/hermes/service/gateway-coder /run/hermes/service/.hermes-*")
        .fails_with(2);
}

#[test]
fn a_gateway_gets_the_containers_environment() {
    let container =
        Start::new().env("FROM_OUTSIDE", "a b\nc").env("FROM_OUTSIDE_TOO", "/usr/sbin:$x").booted();
    container.profile_running("coder", "pwd; env -0 | tr '\\0\\n' '\\n/'; exec sleep 600");
    container.hermes(["gateway", "start", "coder"]).ok();
    for line in [
        "/opt/data",
        "HOME=/opt/data",
        "HERMES_HOME=/opt/data/profiles/coder",
        "HERMES_PROFILE=coder",
        "FROM_OUTSIDE=a b/c",
        "FROM_OUTSIDE_TOO=/usr/sbin:$x",
    ] {
        container.await_output(&format!("[coder] {line}\n"), 1);
    }
}

#[test]
fn profiles_come_and_go_with_their_services() {
    let container = Start::new().booted();
    container.hermes(["profile", "create", "coder", "--start"]).ok();
    let gateway = pid(&container.status("coder"));
    container.hermes(["profile", "delete", "coder", "-y"]).ok();
    for gone in [
        format!("/proc/{gateway}"),
        "/run/hermes/service/gateway-coder".to_owned(),
        "/opt/data/profiles/coder".to_owned(),
        "/opt/data/logs/gateways/coder".to_owned(),
    ] {
        container.exec(["test", "-e", &gone]).fails_with(1);
    }
    container.hermes(["gateway", "status", "coder"]).fails_with(4);
}

#[test]
fn hermes_may_use_s6s_own_tools_on_the_gateways() {
    let container = Start::new().booted();
    container.exec(["/command/s6-svscanctl", "-an", "/run/hermes/service"]).ok();
    container.exec(["/command/s6-svc", "-u", "/run/hermes/service/gateway-default"]).ok();
    let wait = ["/command/s6-svwait", "-u", "-t", "10000", "/run/hermes/service/gateway-default"];
    container.exec(wait).ok();
    // Only root may control process 1 and its services, unless gateways are among them.
    let (init, tree) = match base() {
        Base::Plain => ("/run/init", "/run/init/gateways"),
        Base::Overlay => ("/run/service", "/run/service/hermes-gateways"),
        Base::OverlayRoot => return,
    };
    container.exec(["/command/s6-svscanctl", "-t", init]).fails_with(111);
    container.exec(["/command/s6-svc", "-d", tree]).fails_with(111);
}

#[test]
fn a_profile_made_on_the_host_can_be_started() {
    let container = Start::new().booted();
    let make = "mkdir /opt/data/profiles/made && cd /opt/data/profiles/made && : >SOUL.md \
                && echo 'gateway: {command: [sleep, \"600\"]}' >config.yaml";
    container.shell(&format!("mkdir -p /opt/data/profiles && {make}")).ok();
    container.hermes(["gateway", "start", "made"]).ok();
    assert_eq!(container.status("made")["state"], "up");
}

#[test]
fn output_is_in_both_logs_with_its_profile() {
    let container = Start::new().booted();
    container.profile_running("coder", "echo to stdout; echo to stderr >&2; exec sleep 600");
    container.hermes(["gateway", "start", "coder"]).ok();
    for words in ["to stdout", "to stderr"] {
        container.await_output(&format!("[coder] {words}\n"), 1);
        eventually("it is in the file", || {
            container.logged("coder").iter().any(|line| line == words).then_some(())
        });
    }
    let logs = container.hermes(["gateway", "logs", "coder"]).ok();
    assert!(logs.stdout.contains("to stderr"), "{logs}");
}

#[test]
fn an_orphaned_grandchild_is_reaped() {
    let container = Start::new().booted();
    let orphan = "sh -c '(sleep 0.2; exit 7) & echo $!; exec >/dev/null 2>&1' ";
    let pid = container.shell(orphan).ok().stdout.trim().to_owned();
    assert!(!pid.is_empty());
    eventually("no zombie is left", || {
        container
            .exec(["test", "-e", &format!("/proc/{pid}")])
            .run()
            .code()
            .filter(|code| *code == 1)
    });
}

#[test]
fn fifty_profiles_are_up_at_once() {
    let container = Start::new().booted();
    let make = "i=0; while [ $i -lt 50 ]; do d=/opt/data/profiles/p$i; mkdir -p $d; : >$d/SOUL.md; \
                echo 'gateway: {command: [sleep, \"600\"]}' >$d/config.yaml; i=$((i+1)); done";
    container.shell(make).ok();
    let names: Vec<_> = (0..50).map(|i| format!("p{i}")).collect();
    container.hermes(["gateway", "start"].into_iter().chain(names.iter().map(String::as_str))).ok();
    let list = container.hermes(["gateway", "list", "--json"]).json();
    let up = list.as_array().expect("a list").iter().filter(|status| status["state"] == "up");
    assert_eq!(up.count(), 50, "{list}");
    container.docker("restart");
    container.await_output("gateways started: 50", 1);
}
