//! What compose files of the Python agent's users write: they work with the image's name changed.

use hermes_tests::container::{Start, Volume};
use hermes_tests::eventually;

#[test]
fn the_gateway_as_the_command_is_supervised() {
    let container = Start::new().command(["gateway", "run", "--replace"]).booted();
    eventually("it is up", || {
        let status = container.status("default");
        (status["state"] == "up" && status["ready"] == true).then_some(())
    });
    assert_eq!(container.status("default")["intent"], "running");
    eventually("the container is healthy", || (container.health() == "healthy").then_some(()));
    container.docker("stop");
    assert_eq!(container.exit_code(), 0);
}

#[test]
fn a_gateway_that_can_not_start_ends_the_container() {
    let outcome = Start::new().command(["-p", "absent", "gateway", "run"]).run();
    assert_eq!(outcome.code(), Some(4), "{outcome}");
    assert!(outcome.stderr.contains("profile `absent` does not exist"), "{outcome}");
}

#[test]
fn every_spelling_of_a_switch_counts_and_others_are_refused() {
    for value in ["true", "Yes"] {
        let container = Start::new().env("HERMES_DASHBOARD", value).booted();
        container.await_output("the dashboard is at ", 1);
    }
    let container = Start::new().env("HERMES_DASHBOARD", "maybe").detached();
    assert_ne!(container.exit_code(), 0);
    let said = container.output();
    assert!(said.contains("invalid value `maybe` for HERMES_DASHBOARD"), "{said}");
}

#[test]
fn the_dashboard_as_a_second_service_supervises_nothing() {
    let volume = Volume::new();
    let first = Start::new().home(&volume).booted();
    let dashboard = ["dashboard", "--host", "0.0.0.0", "--no-open", "--insecure"];
    let second = Start::new().home(&volume).command(dashboard).detached();
    second.await_output("the dashboard is at ", 1);
    assert_eq!(second.processes("s6-svscan").len(), 1, "process 1 alone");
    eventually("it is healthy", || (second.health() == "healthy").then_some(()));
    assert!(first.is_running() && second.is_running());
}

#[test]
fn the_agents_commands_need_the_agent() {
    for command in [&["setup"][..], &["chat", "-q", "hello"], &["login"]] {
        let outcome = Start::new().command(command.iter().copied()).run();
        assert_eq!(outcome.code(), Some(2), "{outcome}");
        assert!(outcome.stderr.contains("the Python agent was found nowhere"), "{outcome}");
    }
}
