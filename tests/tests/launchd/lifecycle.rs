//! From install to uninstall: starts, restarts after deaths and logins, and stops.

use hermes_tests::{eventually, is_alive, kill, pid, processes_naming};

use crate::mac::Mac;

#[test]
fn from_install_to_uninstall() {
    let mac = Mac::new();
    mac.serving("coder");
    assert!(mac.agent("coder").exists());
    assert!(mac.job("gui", "coder").is_none(), "what is not wanted is not loaded");
    let status = mac.status("coder");
    assert_eq!((&status["state"], &status["registered"]), (&"down".into(), &true.into()));

    mac.hermes(["gateway", "start", "coder"]).ok();
    let status = mac.status("coder");
    assert_eq!((&status["state"], &status["ready"]), (&"up".into(), &true.into()), "{status}");
    let first = pid(&status);
    let said = format!("\tpid = {first}\n");
    assert!(mac.job("gui", "coder").expect("a job").contains(&said));

    let told = mac.commands(0).len();
    mac.hermes(["gateway", "start", "coder"]).ok();
    assert_eq!(pid(&mac.status("coder")), first, "starting what runs changes nothing");
    assert_eq!(mac.commands(told), [""; 0]);

    kill(first);
    let status = eventually("it is back", || {
        Some(mac.status("coder")).filter(|status| status["state"] == "up" && pid(status) != first)
    });
    assert_eq!(
        (&status["deaths"], &status["last_exit"]["signal"]),
        (&1.into(), &9.into()),
        "{status}"
    );

    mac.hermes(["gateway", "restart", "coder"]).ok();
    let again = mac.status("coder");
    assert!(pid(&again) != pid(&status) && !is_alive(pid(&status)));
    assert_eq!(again["deaths"], 0, "an operator's restart is no death");

    mac.hermes(["gateway", "stop", "coder"]).ok();
    let status = mac.status("coder");
    assert_eq!((&status["state"], &status["intent"]), (&"down".into(), &"stopped".into()));
    assert!(mac.job("gui", "coder").is_none() && !is_alive(pid(&again)));
    mac.hermes(["gateway", "stop", "coder"]).ok();

    mac.hermes(["gateway", "start", "coder"]).ok();
    let last = pid(&mac.status("coder"));
    mac.hermes(["gateway", "uninstall", "coder"]).ok();
    assert!(!mac.agent("coder").exists() && mac.job("gui", "coder").is_none() && !is_alive(last));
    mac.hermes(["gateway", "uninstall", "coder"]).ok();
    assert_eq!(mac.status("coder")["state"], "unsupervised");
}

#[test]
fn login_starts_no_gateway_in_a_home_that_others_may_write() {
    let mac = Mac::new();
    mac.running("coder", "exec sleep 600");
    mac.hermes(["gateway", "start", "coder"]).ok();
    hermes_tests::chmod(&mac.env.profile("coder"), 0o775);
    mac.log_out();
    mac.log_in();
    let parked = mac.await_state("coder", "parked");
    let reason = parked["parked"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("other users may write to"), "{parked}");
    mac.hermes(["gateway", "start", "coder"]).fails_with(5);
    mac.hermes(["gateway", "start", "coder"]).env("HERMES_OPEN_HOME", "1").ok();
    // A command without the variable takes nothing back.
    mac.hermes(["gateway", "stop", "coder"]).ok();
    hermes_tests::chmod(&mac.env.profile("coder"), 0o755);
    mac.hermes(["gateway", "start", "coder"]).ok();
    hermes_tests::chmod(&mac.env.profile("coder"), 0o775);
    mac.log_out();
    mac.log_in();
    mac.await_state("coder", "up");
}

#[test]
fn login_starts_the_running_intents() {
    let mac = Mac::new();
    let trace = |name: &str| mac.env.path().join(name);
    for name in ["wanted", "unwanted"] {
        let command = format!("echo x >> {}; exec sleep 600", trace(name).display());
        mac.running(name, &command);
        mac.hermes(["gateway", "start", name]).ok();
    }
    mac.hermes(["gateway", "stop", "unwanted"]).ok();
    let before = pid(&mac.status("wanted"));
    mac.log_out();
    assert!(!is_alive(before));
    assert_eq!(mac.status("wanted")["intent"], "running", "the end of a session is no intent");

    mac.log_in();
    let status = mac.await_state("wanted", "up");
    assert_eq!(status["deaths"], 0, "{status}");
    eventually("the other has left", || mac.job("gui", "unwanted").is_none().then_some(()));
    assert_eq!(mac.status("unwanted")["state"], "down");
    let runs = |name| std::fs::read_to_string(trace(name)).unwrap().lines().count();
    eventually("it has run again", || (runs("wanted") == 2).then_some(()));
    assert_eq!(runs("unwanted"), 1);
}

#[test]
fn installing_what_is_wanted_starts_it() {
    let mac = Mac::new();
    mac.hermes(["profile", "create", "coder"]).ok();
    mac.configure("coder", "exec sleep 600", 8);
    mac.env.write(&mac.env.profile("coder").join("gateway.intent"), "running\n");
    mac.hermes(["gateway", "install", "coder"]).ok();
    assert_eq!(mac.status("coder")["state"], "up");
    let told = mac.commands(0).len();
    mac.hermes(["gateway", "install", "coder"]).ok();
    assert_eq!(mac.commands(told), [""; 0], "once more changes nothing");
}

#[test]
fn a_deaf_gateway_is_killed() {
    let mac = Mac::new();
    mac.running("deaf", "exec sleep 600");
    mac.configure("deaf", "trap '' TERM; sleep 600 & while :; do wait; done", 4);
    mac.hermes(["gateway", "start", "deaf"]).ok();
    let deaf = pid(&mac.status("deaf"));
    mac.hermes(["gateway", "stop", "deaf"]).ok();
    assert!(!is_alive(deaf));
    let env = mac.env.path().to_str().unwrap();
    let left = processes_naming(env);
    let sleeps = left.iter().filter(|pid| {
        std::fs::read(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == b"sleep\n")
    });
    assert_eq!(sleeps.count(), 0, "its children go with it");
}

#[test]
fn without_a_screen_a_job_is_the_users_own() {
    let mac = Mac::without_screen();
    mac.serving("coder");
    mac.hermes(["gateway", "start", "coder"]).ok();
    assert!(mac.job("user", "coder").is_some() && mac.job("gui", "coder").is_none());
    assert_eq!(mac.status("coder")["state"], "up");
    // After a graphical login the job is found in its old domain, and ended there.
    mac.set("gui", "");
    assert_eq!(mac.status("coder")["state"], "up");
    mac.hermes(["gateway", "restart", "coder"]).ok();
    assert!(mac.job("gui", "coder").is_some() && mac.job("user", "coder").is_none());
}

#[test]
fn what_a_gateway_says_is_read_like_any_log() {
    let mac = Mac::new();
    mac.running("coder", "echo one; echo two >&2; exec sleep 600");
    mac.hermes(["gateway", "start", "coder"]).ok();
    let logs = mac.hermes(["gateway", "logs", "coder"]).ok();
    assert_eq!(logs.stdout, "one\ntwo\n");
    let last = mac.hermes(["gateway", "logs", "coder", "-n", "1"]).ok();
    assert_eq!(last.stdout, "two\n");
}

#[test]
fn a_last_line_without_a_newline_is_not_joined_to_the_next_life() {
    let mac = Mac::new();
    mac.running("coder", "echo one; printf half; exit 1");
    mac.hermes(["gateway", "start", "coder"]).fails_with(1);
    let lines = || {
        let logs = mac.hermes(["gateway", "logs", "coder"]).run().stdout;
        logs.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let lines_after_death =
        eventually("it has run twice", || Some(lines()).filter(|lines| lines.len() >= 4));
    let marked = "half -- no newline at the end";
    assert_eq!(lines_after_death[..3], ["one", marked, "one"]);
    mac.hermes(["gateway", "stop", "coder"]).ok();

    mac.running("stopped", "printf half; exec sleep 600");
    mac.hermes(["gateway", "start", "stopped"]).ok();
    mac.hermes(["gateway", "restart", "stopped"]).ok();
    let logs = mac.hermes(["gateway", "logs", "stopped"]).ok();
    assert_eq!(logs.stdout, format!("{marked}\nhalf…\n"));
}
