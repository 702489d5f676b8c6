//! Several containers on one volume: one of them runs the gateways.

use hermes_tests::container::{Base, Container, Start, Volume, base};
use hermes_tests::{eventually, pid};

fn first(volume: &Volume) -> Container {
    let first = Start::new().home(volume).options(["--hostname", "first"]).booted();
    first.profile_running("coder", "exec sleep 600");
    first.hermes(["gateway", "start", "coder"]).ok();
    first
}

#[test]
fn a_second_container_waits_and_then_names_the_owner() {
    let volume = Volume::new();
    let first = first(&volume);
    let gateway = pid(&first.status("coder"));
    let second = Start::new().home(&volume).env("HERMES_OWNER_WAIT", "1").detached();
    // s6-overlay has its own message about a service that did not start.
    assert_eq!(second.exit_code(), if base() == Base::Plain { 5 } else { 1 });
    let said = second.output();
    assert!(said.contains("waiting up to 1 s") && said.contains("container=first"), "{said}");
    assert_eq!(said.matches("error:").count(), 1, "it tries once: {said}");
    assert_eq!(pid(&first.status("coder")), gateway);
}

#[test]
fn a_second_container_takes_over_when_the_first_is_killed() {
    let volume = Volume::new();
    let first = first(&volume);
    let second = Start::new().home(&volume).env("HERMES_OWNER_WAIT", "600").detached();
    second.await_output("waiting up to 600 s", 1);
    first.docker("kill");
    second.await_boot(1);
    eventually("its gateway is up", || (second.status("coder")["state"] == "up").then_some(()));
}

#[test]
fn a_client_container_supervises_nothing() {
    let volume = Volume::new();
    let first = first(&volume);
    let client = Start::new().home(&volume).env("HERMES_ROLE", "client");
    let client = client.command(["sh", "-c", "hermes profile list; exec sleep 600"]).detached();
    client.await_output("coder", 1);
    let refused = client.hermes(["gateway", "status", "coder"]).fails_with(5);
    assert!(refused.stderr.contains("container=first"), "{refused}");
    client.shell("ls /run/hermes/service/gateway-coder").fails_with(2);
    client.docker("stop");
    assert_eq!(first.status("coder")["state"], "up");
}

#[test]
fn a_tree_that_dies_is_made_again() {
    let container = Start::new().booted();
    container.profile_running("coder", "exec sleep 600");
    container.hermes(["gateway", "start", "coder"]).ok();
    let old = pid(&container.status("coder"));
    // Under root's s6-svscan only the process that supervises the gateways can be killed.
    let name = if base() == Base::OverlayRoot { "hermes" } else { "s6-svscan" };
    let kill = "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = \"$1\" ] && \
                grep -q '^Uid:.10000' $p/status && ! grep -q foreground $p/cmdline && kill -9 ${p#/proc/}; done; true";
    container.exec(["sh", "-c", kill, "sh", name]).ok();
    container.await_boot(2);
    let status = container.status("coder");
    assert_eq!(status["state"], "up");
    assert_eq!(pid(&status) == old, base() == Base::OverlayRoot, "{status}");
}

#[test]
fn another_process_1_is_no_hindrance() {
    if base() != Base::Plain {
        let refused = Start::new().options(["--init"]).command(["--help"]).run();
        assert!(refused.stderr.contains("can only run as pid 1"), "{refused}");
        return;
    }
    let container = Start::new().options(["--init"]).booted();
    container.profile_running("coder", "exec sleep 600");
    container.hermes(["gateway", "start", "coder"]).ok();
    container.docker("stop");
    assert_eq!(container.exit_code(), 0);
    let help = Start::new().options(["--init"]).command(["--help"]).run();
    assert_eq!(help.code(), Some(0), "{help}");
}
