//! The program of the image is linked statically: it needs no library, and no module of a name service.

use hermes_tests::container::Start;

/// The program alone, without a service manager, in an image whose libraries are hidden.
fn without_libraries() -> Start {
    let hidden = ["--tmpfs=/usr/lib", "--tmpfs=/usr/lib64", "--tmpfs=/command"];
    Start::new().options(hidden).options(["--entrypoint=/usr/local/bin/hermes"])
}

#[test]
fn the_program_needs_no_library() {
    let sh = Start::new().options(["--tmpfs=/usr/lib", "--entrypoint=/bin/sh"]);
    let outcome = sh.command(["-c", "true"]).run();
    assert_ne!(outcome.code(), Some(0), "a program that is linked dynamically starts: {outcome}");
    let outcome = without_libraries().command(["--version"]).run();
    assert!(outcome.stdout.starts_with("hermes "), "{outcome}");
    assert_eq!(outcome.code(), Some(0), "{outcome}");
}

#[test]
fn an_account_is_found_in_its_file_alone() {
    // An empty variable counts as unset, so that the account decides where the root home is.
    let unset = ["HOME=", "HERMES_HOME=", "HERMES_SCANDIR="].map(|name| format!("--env={name}"));
    let create = ["profile", "create", "coder", "--json"];
    let outcome = without_libraries()
        .options(["--user=10000:10000"])
        .options(unset.iter().map(String::as_str))
        .command(create)
        .run();
    assert!(outcome.stdout.contains("\"/opt/data/.hermes/profiles/coder\""), "{outcome}");
    assert_eq!(outcome.code(), Some(0), "{outcome}");
}

#[test]
fn a_gateway_listens_on_a_name_of_the_hosts_file() {
    let container = Start::new().options(["--add-host=agent.test:127.0.0.1"]).booted();
    container.hermes(["profile", "create", "coder"]).ok();
    let config = "gateway: {host: agent.test, port: 8700}\n";
    container.write("/opt/data/profiles/coder/config.yaml", config);
    container.hermes(["gateway", "start", "coder"]).ok();
    container.hermes(["gateway", "stop", "coder"]).ok();
}

#[test]
fn a_name_that_nobody_knows_is_an_error() {
    let options = ["--entrypoint=/usr/local/bin/hermes", "--network=none", "--user=10000:10000"];
    let dashboard = ["dashboard", "--host", "agent.test"];
    let outcome = Start::new().options(options).command(dashboard).run();
    assert!(outcome.stderr.contains("agent.test"), "{outcome}");
    assert_eq!(outcome.code(), Some(1), "{outcome}");
}
