//! The compose file that hermes-agent publishes, with only the image's name changed.

use hermes_tests::agent::{Agent, TIMEOUT};
use hermes_tests::compose::Compose;
use hermes_tests::container::Container;
use hermes_tests::{eventually, within};
use serde_json::Value;

use crate::dashboard::get;

/// The keys of the published file.
const PUBLISHED: &str = "\
services:
  gateway:
    build: .
    image: hermes-agent
    container_name: hermes
    restart: unless-stopped
    network_mode: host
    volumes:
      - ~/.hermes:/opt/data
    environment:
      - HERMES_UID=${HERMES_UID:-10000}
      - HERMES_GID=${HERMES_GID:-10000}
    command: [\"gateway\", \"run\"]

  dashboard:
    image: hermes-agent
    container_name: hermes-dashboard
    restart: unless-stopped
    network_mode: host
    depends_on:
      - gateway
    volumes:
      - ~/.hermes:/opt/data
    environment:
      - HERMES_UID=${HERMES_UID:-10000}
      - HERMES_GID=${HERMES_GID:-10000}
    command: [\"dashboard\", \"--host\", \"127.0.0.1\", \"--no-open\"]
";

#[test]
fn the_published_file_runs_a_home_of_the_agents() {
    let compose = Compose::new(PUBLISHED);
    compose.agent(["config", "set", "timezone", "UTC"]).ok();
    let enable = format!("echo API_SERVER_KEY={} >>/opt/data/.env", Agent::KEY);
    compose.agent(["sh", "-c", &enable]).ok();
    compose.up();
    is_healthy(&compose);
    let before = serves(compose.gateway());
    compose.gateway().shell(&format!("kill -9 {}", before["pid"])).ok();
    eventually("another process serves", || {
        let status = compose.gateway().status("default");
        (status["ready"] == true && status["pid"] != before["pid"]).then_some(())
    });
    serves(compose.gateway());
    runs_the_agents_commands(&compose);

    compose.stop();
    assert_eq!((compose.gateway().exit_code(), compose.dashboard().exit_code()), (0, 0));
    compose.down();
    assert_eq!(compose.read(".hermes/gateway.intent"), "running\n");
    compose.up();
    is_healthy(&compose);
    serves(compose.gateway());
}

#[test]
fn a_new_home_is_the_agents() {
    let compose = Compose::new(PUBLISHED);
    compose.up();
    is_healthy(&compose);
    let status = compose.gateway().status("default");
    assert_eq!((&status["kind"], &status["state"]), (&"hermes-agent".into(), &"up".into()));
    let hint = "CONTAINER hermes setup";
    assert!(compose.gateway().output().contains(hint), "{}", compose.gateway().output());
    compose.down();
    compose.up();
    compose.gateway().await_output("`default` is up", 1);
    assert!(!compose.gateway().output().contains(hint), "{}", compose.gateway().output());
}

/// A fork's file names a role and a time zone, and passes the agent's `.env`, which the user wrote first.
#[test]
fn the_file_of_a_fork_runs() {
    let mut text = PUBLISHED.to_owned();
    for role in ["gateway", "dashboard"] {
        let variables = format!(
            "    env_file:\n      - ~/.hermes/.env\n    environment:\n      - HERMES_TIMEZONE=Europe/Berlin\n      \
             - HERMES_CONTAINER_ROLE={role}\n"
        );
        text = text.replacen(
            "    environment:\n      - HERMES_UID",
            &format!("{variables}      - HERMES_UID"),
            1,
        );
    }
    let compose = Compose::new(&text);
    compose.write(".hermes/.env", &format!("API_SERVER_KEY={}\n", Agent::KEY));
    compose.up();
    is_healthy(&compose);
    let status = serves(compose.gateway());
    let environ = compose.gateway().read(&format!("/proc/{}/environ", status["pid"]));
    assert!(environ.contains("HERMES_TIMEZONE=Europe/Berlin\0"), "{environ}");
}

/// Both containers get healthy, without having been started twice, and the dashboard serves its page.
#[track_caller]
fn is_healthy(compose: &Compose) {
    for container in [compose.gateway(), compose.dashboard()] {
        within(TIMEOUT, "it is healthy", || (container.health() == "healthy").then_some(()));
        assert_eq!(container.restarts(), "0");
    }
    // The services share a network, as they share the host's.
    let page = get(compose.gateway(), "127.0.0.1", 9119, "/", "");
    assert!(page.contains("<title>Hermes</title>"), "{page}");
    assert_eq!(compose.dashboard().processes("s6-svscan").len(), 1, "process 1 alone");
}

/// The agent's own API server answers, from the supervised gateway; its status.
#[track_caller]
fn serves(gateway: &Container) -> Value {
    let health = get(gateway, "127.0.0.1", 8642, "/health", "");
    assert!(health.contains("\"platform\": \"hermes-agent\""), "{health}");
    let status = gateway.status("default");
    assert_eq!(
        (&status["kind"], &status["state"], &status["ready"]),
        (&"hermes-agent".into(), &"up".into(), &true.into())
    );
    status
}

/// `docker compose exec gateway hermes …`, as root, runs the agent's commands as the owner of the home.
#[track_caller]
fn runs_the_agents_commands(compose: &Compose) {
    let status = compose.hermes(["agent", "status"]).ok();
    assert!(status.stdout.contains("Hermes Agent Status"), "{status}");
    let logs = compose.hermes(["agent", "logs", "-n", "200"]).ok();
    assert!(logs.stdout.contains("gateway.run"), "{logs}");
    // Both have these: the supervised gateway's status and log.
    let ours = compose.hermes(["status"]).ok();
    assert!(ours.stdout.contains("hermes-agent"), "{ours}");
    let chat = compose.hermes(["chat", "-q", "hello"]).run();
    assert!(chat.to_string().contains("hermes config set model.provider"), "{chat}");
    let of_root = compose.gateway().shell("find /opt/data -user 0").ok();
    assert_eq!(of_root.stdout, "", "files of root");
}
