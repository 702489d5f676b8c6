//! Gateways of the Python agent's that run outside of any supervisor: nothing ends them, and nothing runs beside them.

use std::fs;
use std::process::{Command, Stdio};

use hermes_tests::{Helper, TestEnv, Up, doctor, eventually, is_alive, pid};
use serde_json::json;

/// The profile `coder`, whose home is the agent's.
fn create(env: &TestEnv) {
    env.hermes(["profile", "create", "coder"]).env_remove("HERMES_SCANDIR").ok();
    let program = env.path().join("agent");
    env.write_program(&program, "#!/bin/sh\nexec sleep 600\n");
    let config = format!("gateway: {{kind: hermes-agent, program: {}}}\n", program.display());
    env.write(&env.profile("coder").join("config.yaml"), &config);
}

/// A process that holds the lock of the agent's gateway of `coder`.
fn foreign(env: &TestEnv) -> Helper {
    let lock = env.profile("coder").join("gateway.lock");
    let helper = Helper::start(env.command("flock").arg("-F").arg(&lock).args(["sleep", "600"]));
    eventually("it holds the lock", || {
        let mut probe = Command::new("flock");
        let probe = probe.arg("-n").arg(&lock).arg("true").stderr(Stdio::null()).status();
        probe.is_ok_and(|status| !status.success()).then_some(())
    });
    helper
}

#[test]
fn it_is_named_and_nothing_touches_it() {
    let tree = Up::start_in({
        let env = TestEnv::new();
        create(&env);
        env
    });
    let env = &tree.env;
    let helper = foreign(env);
    let stale = env.profile("coder").join("gateway.pid");
    env.write(&stale, "{}");
    let status = tree.status("coder");
    assert_eq!((&status["state"], pid(&status)), (&json!("foreign"), helper.pid().into()));
    assert_eq!(status["reason"]["kind"], "foreign");
    assert_eq!((&status["healthy"], &status["attention"]), (&json!(false), &json!(true)));
    let list = env.hermes(["gateway", "list"]).ok().stdout;
    assert!(list.contains("foreign"), "{list}");
    let found = doctor::finds(env, "foreign", "error", &["coder", &helper.pid().to_string()]);
    assert!(found.remedy.starts_with("hermes adopt coder"), "{found:?}");

    let refused = [
        vec!["gateway", "start", "coder"],
        vec!["gateway", "restart", "coder"],
        vec!["gateway", "stop", "coder"],
        vec!["gateway", "start", "coder", "--foreground"],
        vec!["profile", "rename", "coder", "writer"],
        vec!["profile", "delete", "coder", "-y"],
    ];
    for args in refused {
        let error = env.hermes(args.clone()).fails_with(1).stderr;
        assert!(error.contains(&format!("process {}", helper.pid())), "{args:?}: {error}");
        assert!(error.contains("hint: `hermes adopt coder`"), "{args:?}: {error}");
    }
    assert_eq!(tree.status("coder")["intent"], "stopped", "a start that is refused changes none");
    env.write(&env.profile("coder").join("gateway.intent"), "running\n");
    let boot = env.hermes(["boot"]).ok();
    assert!(boot.stdout.contains("leave coder: process"), "{boot}");
    assert!(boot.stderr.contains("`coder` is left alone: process"), "{boot}");
    env.hermes(["doctor", "--fix"]).run();
    assert_eq!(tree.status("coder")["state"], "foreign");
    assert!(stale.exists(), "its file is in use");
    drop(tree);
    assert!(is_alive(helper.pid().into()), "the end of the tree is not its end");
}

#[test]
fn status_names_it_where_no_tree_runs() {
    let env = TestEnv::new();
    create(&env);
    let commands = [
        vec!["gateway", "status", "coder"],
        vec!["gateway", "status", "--all"],
        vec!["gateway", "list"],
    ];
    for args in &commands {
        let outcome = env.hermes(args.clone()).fails_with(5);
        assert!(!outcome.stderr.contains("adopt"), "{outcome}");
    }
    let helper = foreign(&env);
    let line = format!(
        "`coder` is foreign: process {} is the gateway, outside of any supervisor\n",
        helper.pid()
    );
    for args in &commands {
        let outcome = env.hermes(args.clone()).fails_with(5);
        assert!(outcome.stderr.starts_with(&line), "{outcome}");
        assert!(
            outcome.stderr.contains("hint: `hermes adopt coder` has it supervised"),
            "{outcome}"
        );
    }
    // Another profile's status is none of its business.
    let other = env.hermes(["gateway", "status", "default"]).fails_with(5);
    assert!(!other.stderr.contains("adopt"), "{other}");
}

#[test]
fn a_tree_starts_nothing_beside_it_and_what_starts_gives_way() {
    let env = TestEnv::new();
    create(&env);
    env.write(&env.profile("coder").join("gateway.intent"), "running\n");
    let helper = foreign(&env);
    let tree = Up::start_in(env);
    let log = tree.log();
    assert!(log.contains("`coder` is not started: process"), "{log}");
    assert!(log.contains("gateways started: 0, not started: 1"), "{log}");
    // A slot that starts by itself, as after a death, finds it and waits.
    let slot = tree.env.slot("coder");
    let up = tree.env.s6("s6-svc").arg("-u").arg(&slot).status();
    assert!(up.is_ok_and(|status| status.success()));
    eventually("the gateway gave way", || {
        let log = tree.env.logged("coder").join("\n");
        log.contains("already runs as process").then_some(())
    });
    let status = tree.status("coder");
    assert_eq!((&status["state"], pid(&status)), (&json!("foreign"), helper.pid().into()));
    assert!(is_alive(helper.pid().into()));

    drop(helper);
    fs::write(tree.env.profile("coder").join("gateway.lock"), "{}").expect("a file");
    eventually("it runs once the other has ended", || {
        (tree.status("coder")["state"] == "up").then_some(())
    });
}

/// What the agent's image has in a slot of its own: its run script, and none of the files that Hermes writes beside it.
fn make_agents_slot(tree: &Up) {
    let env = &tree.env;
    let program = env.path().join("agent");
    env.write_program(
        &program,
        "#!/usr/bin/python3
import fcntl, os, signal
lock = open(os.environ['HERMES_HOME'] + '/gateway.lock', 'a')
fcntl.flock(lock, fcntl.LOCK_EX)
signal.pause()
",
    );
    let staged = env.scandir().join(".agents");
    env.make_directory(&staged);
    env.make_directory(&staged.join("log"));
    let run = format!(
        "#!/bin/sh\nset -e\nexport HERMES_HOME={} HERMES_S6_SUPERVISED_CHILD=1\n\
         exec {} -p coder gateway run --replace\n",
        env.profile("coder").display(),
        program.display()
    );
    env.write_program(&staged.join("run"), &run);
    env.write_program(&staged.join("log/run"), "#!/bin/sh\nexec cat >/dev/null\n");
    env.write(&staged.join("type"), "longrun\n");
    fs::rename(staged, env.slot("coder")).expect("a free name");
    let scan = env.s6("s6-svscanctl").arg("-a").arg(env.scandir()).status();
    assert!(scan.is_ok_and(|status| status.success()));
}

#[test]
fn a_slot_of_the_agents_own_is_named_and_replaced() {
    let tree = Up::start_in({
        let env = TestEnv::new();
        create(&env);
        env
    });
    let env = &tree.env;
    env.hermes(["gateway", "unregister", "coder"]).ok();
    env.write(&env.profile("coder").join("gateway.intent"), "running\n");
    make_agents_slot(&tree);
    let lock = env.profile("coder").join("gateway.lock");
    let first = eventually("it holds the agent's lock", || {
        let pid = tree.status("coder")["pid"].as_u64()?;
        hermes_tests::is_open_in(pid, &lock).then_some(pid)
    });
    let found = doctor::finds(env, "stale-slots", "warning", &["`coder`", "an unknown version"]);
    // To stop it would be in vain: its slot starts it again.
    for args in [vec!["adopt", "--dry-run"], vec!["adopt"]] {
        let refused = env.hermes(args).fails_with(1).stderr;
        assert!(refused.contains(&format!("process {first} runs in the slot ")), "{refused}");
        assert!(refused.contains("hint: `hermes gateway register --refresh coder`"), "{refused}");
    }
    assert!(is_alive(first) && !env.home().join("hermes-adopted").exists());

    doctor::run_remedy(env, &found.remedy);
    doctor::finds_nothing(env, "stale-slots");
    let status = tree.status("coder");
    assert_eq!(status["state"], "up", "{status}");
    assert!(pid(&status) != first && !is_alive(first), "{status}");
    env.hermes(["adopt"]).ok();
    assert_eq!(pid(&tree.status("coder")), pid(&status), "nothing is left to be adopted");
}
