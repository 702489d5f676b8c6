//! `gateway.resources` under s6: the limit on descriptors reaches the gateway, and `doctor` names what has no effect.

use hermes_tests::doctor::{finds, finds_nothing, printed_findings};
use hermes_tests::{Svscan, TestEnv, Up, eventually};

/// A gateway that logs its limits on descriptors, with these `resources`.
fn profile(env: &TestEnv, name: &str, resources: &str) {
    env.profile_running(name, "echo files $(ulimit -Sn) $(ulimit -Hn); exec sleep 600");
    let config = env.profile(name).join("config.yaml");
    let text = std::fs::read_to_string(&config).expect("a file");
    env.write(&config, &format!("{text}  resources: {resources}\n"));
}

#[track_caller]
fn logged(env: &TestEnv, name: &str, text: &str) {
    eventually(text, || env.logged(name).iter().any(|line| line.contains(text)).then_some(()));
}

#[test]
fn a_gateway_gets_its_limit_on_descriptors() {
    let up = Up::start();
    let env = &up.env;
    profile(env, "coder", "{files: 96}");
    env.hermes(["gateway", "start", "coder"]).ok();
    logged(env, "coder", "files 96 96");
    finds_nothing(env, "resources");
    let config = env.profile("coder").join("config.yaml");
    let text = std::fs::read_to_string(&config).expect("a file");
    env.write(&config, &text.replace("files: 96", "files: 128"));
    env.hermes(["gateway", "restart", "coder"]).ok();
    logged(env, "coder", "files 128 128");
}

#[test]
fn a_limit_beyond_the_trees_own_is_the_trees_own() {
    let mut env = TestEnv::new();
    env.faster = 10;
    let mut command = env.command("prlimit");
    command.args(["--nofile=512:512"]).arg(hermes_tests::hermes_program()).arg("up");
    let up = Up::launch(env, command).await_up();
    let env = &up.env;
    profile(env, "coder", "{files: 4096}");
    env.hermes(["gateway", "start", "coder"]).ok();
    logged(env, "coder", "`gateway.resources.files` is 4096, and this user may have 512 at most");
    logged(env, "coder", "files 512 512");
    finds(env, "resources", "warning", &["`coder`", "resources.files", "512 files at most"]);
}

#[test]
fn doctor_names_the_limits_without_effect() {
    let tree = Svscan::start();
    let env = &tree.env;
    profile(env, "coder", "{memory: 512M, cpu: 0.5, tasks: 64, files: 1024}");
    let found = printed_findings(env, "resources");
    let problems: Vec<_> = found.iter().map(|finding| finding.problem.as_str()).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (problem, resource) in problems.iter().zip(["memory", "cpu", "tasks"]) {
        assert!(problem.contains(&format!("`gateway.resources.{resource}`")), "{problem}");
    }
}

#[test]
fn an_invalid_limit_is_an_error_of_the_configuration() {
    let tree = Svscan::start();
    let env = &tree.env;
    profile(env, "coder", "{memory: lots}");
    let refused = env.hermes(["gateway", "start", "coder"]).fails_with(1);
    assert!(refused.stderr.contains("invalid `gateway.resources.memory` in "), "{refused}");
    assert!(refused.stderr.contains("line 3 column"), "{refused}");
    finds(env, "config", "error", &["not a size, like 500M or 20G"]);
}
