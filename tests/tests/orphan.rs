//! One gateway per profile: a second gateway, and one that lost its supervisor.

use hermes_s6::slot::layout::ServiceDir;
use hermes_tests::{Svscan, eventually, is_alive, pid, processes_naming, signal};
use rustix::process::Signal;

#[test]
fn a_second_gateway_is_refused() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    let first = pid(&tree.status("coder"));
    let outcome = env.hermes(["gateway", "start", "coder", "--foreground"]).fails_with(1);
    assert!(outcome.stderr.contains("the gateway of `coder` already runs"), "{outcome}");
    assert!(outcome.stderr.contains(&format!("process {first} holds")), "{outcome}");
    let status = tree.status("coder");
    assert_eq!((pid(&status), &status["deaths"]), (first, &0.into()));
}

#[test]
fn stop_ends_an_orphan() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("lone", "exec sleep 600");
    env.hermes(["gateway", "start", "lone"]).ok();
    let gateway = pid(&tree.status("lone"));
    tree.env.lose_supervisors("lone");
    let status = tree.status("lone");
    assert_eq!(status["state"], "orphan", "{status}");
    assert_eq!(pid(&status), gateway);
    env.hermes(["gateway", "status", "lone"]).fails_with(3);
    let doctor = env.hermes(["doctor", "--json"]).fails_with(1);
    assert!(doctor.stdout.contains("hermes gateway restart lone"), "{doctor}");
    env.hermes(["gateway", "stop", "lone"]).ok();
    assert!(!is_alive(gateway));
    assert_eq!(tree.status("lone")["state"], "down");
}

#[test]
fn the_next_command_replaces_an_orphan() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    // `doctor` still finds fault with the scan directory, which no `hermes up` runs.
    for (line, codes) in [
        ("gateway restart coder", [0, 0]),
        ("gateway start coder", [0, 0]),
        ("boot", [0, 0]),
        ("doctor --fix", [0, 1]),
    ] {
        let orphan = pid(&tree.status("coder"));
        env.lose_supervisors("coder");
        let outcome = env.hermes(line.split(' ')).run();
        assert!(outcome.code().is_some_and(|code| codes.contains(&code)), "{outcome}");
        assert!(!is_alive(orphan), "{outcome}");
        let status = eventually("its successor is up", || {
            Some(tree.status("coder")).filter(|status| status["state"] == "up")
        });
        assert!(pid(&status) != orphan);
    }
}

#[test]
fn delete_ends_an_orphan() {
    let tree = Svscan::start();
    tree.env.profile_serving("coder");
    tree.env.hermes(["gateway", "start", "coder"]).ok();
    let orphan = pid(&tree.status("coder"));
    tree.env.lose_supervisors("coder");
    tree.env.hermes(["profile", "delete", "coder", "-y"]).ok();
    assert!(!is_alive(orphan));
    assert!(!tree.env.profile("coder").exists());
}

#[test]
fn stop_ends_the_process_group() {
    let tree = Svscan::start();
    let env = &tree.env;
    // One child ignores SIGTERM, and one has a different environment.
    let home = env.profile("parent").display().to_string();
    let stubborn = "(trap '' TERM; echo stubborn; exec sleep 6002)";
    let stranger = format!("env -i tail -f {home}/SOUL.md");
    env.profile_running("parent", &format!("{stubborn} & {stranger} & exec sleep 6000"));
    let config = env.profile("parent").join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    env.write(&config, &format!("{text}  stop_timeout: 4\n"));
    env.hermes(["gateway", "start", "parent"]).ok();
    let family = || processes_naming(&home);
    eventually("all three run", || (family().len() == 3).then_some(()));
    env.hermes(["gateway", "stop", "parent"]).ok();
    assert_eq!(family(), [0; 0], "on return none of them lives");
}

#[test]
fn a_process_may_stop_its_own_gateway() {
    let tree = Svscan::start();
    let env = &tree.env;
    let go = env.path().join("go");
    let child = format!(
        "until test -e {}; do sleep 0.05; done\n{} gateway stop coder && exec sleep 6{}",
        go.display(),
        hermes_tests::hermes_program().display(),
        std::process::id(),
    );
    env.write(&env.path().join("child"), &child);
    let command = format!("setsid sh {}/child & exec sleep 6000", env.path().display());
    env.profile_running("coder", &command);
    env.hermes(["gateway", "start", "coder"]).ok();
    env.write(&go, "");
    let left = || processes_naming(&format!("sleep\06{}", std::process::id()));
    eventually("it has stopped its gateway", || (left().len() == 1).then_some(()));
    assert_eq!(tree.status("coder")["state"], "down");
    env.hermes(["gateway", "unregister", "coder"]).ok();
    assert_eq!(left(), [0; 0]);
}

#[test]
fn an_orphaned_logger_is_replaced() {
    let tree = Svscan::start();
    let env = &tree.env;
    let log = ServiceDir::new(env.slot("coder")).log();
    let logger = || log.record().ok().and_then(|record| record.gateway()).map(u64::from);
    env.profile_serving("coder");
    for verb in ["stop", "start"] {
        env.hermes(["gateway", "start", "coder"]).ok();
        env.hermes(["gateway", "stop", "coder"]).ok();
        let lone = eventually("it logs", logger);
        env.lose_supervisors("coder");
        assert!(is_alive(lone), "it has not noticed");
        env.hermes(["gateway", verb, "coder"]).ok();
        assert!(!is_alive(lone), "after {verb}");
        let begun = |line: &&String| line.contains("listens on");
        let said = env.logged("coder").iter().filter(begun).count();
        env.hermes(["gateway", "restart", "coder"]).ok();
        eventually("its successor logs", || {
            let now = env.logged("coder").iter().filter(begun).count();
            (now > said).then_some(())
        });
    }
}

#[test]
fn boot_keeps_the_files_of_an_orphan() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    let file = env.profile("coder").join("gateway.pid");
    env.write(&file, "{}");
    let orphan = env.hermes(["gateway", "start", "coder", "--foreground"]).spawn();
    let status = eventually("an orphan", || {
        Some(tree.status("coder")).filter(|status| status["state"] == "orphan")
    });
    let booted = env.hermes(["boot"]).ok();
    assert!(!booted.stdout.contains("sweep"), "{booted}");
    assert!(file.exists());
    signal(pid(&status), Signal::TERM);
    orphan.wait();
    env.hermes(["boot"]).ok();
    assert!(!file.exists());
}

#[test]
fn a_refused_start_records_no_intent_and_ends_no_orphan() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("coder");
    let orphan = env.hermes(["gateway", "start", "coder", "--foreground"]).spawn();
    let status = eventually("an orphan", || {
        Some(tree.status("coder")).filter(|status| status["state"] == "orphan")
    });
    // The successor would refuse its configuration.
    env.write(&env.profile("coder").join("config.yaml"), "gateway: {port: none}\n");
    for line in ["gateway start coder", "gateway start --all"] {
        let outcome = env.hermes(line.split(' ')).fails_with(1);
        assert!(outcome.stderr.contains("config.yaml"), "{outcome}");
        assert_eq!(tree.status("coder")["intent"], "stopped", "{outcome}");
        assert!(is_alive(pid(&status)), "{outcome}");
    }
    signal(pid(&status), Signal::TERM);
    orphan.wait();
}
