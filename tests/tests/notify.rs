//! `notify.command`: `hermes up` runs a program on chosen events.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use hermes_tests::{TestEnv, Up, eventually, kill, pid};
use rustix::process::Signal;
use serde_json::Value;

/// Has `script` run on the events `died` and `parked`, with `more` lines below `notify`.
fn notify(env: &TestEnv, script: &str, more: &str) {
    let script = serde_json::to_string(script).expect("a string");
    let text = format!("notify:\n  command: [/bin/sh, -c, {script}]\n  {more}\n");
    env.write(&env.home().join("config.yaml"), &text);
}

/// Appends deaths of `burst` to the journal, each with its number as the reason.
fn record_deaths(env: &TestEnv, count: usize) {
    let event = |number| {
        let time = "2999-01-01T00:00:00Z";
        let why = format!("number {number}");
        serde_json::json!({"time": time, "profile": "burst", "event": "died", "why": why})
    };
    let text: String = (0..count).map(|number| format!("{}\n", event(number))).collect();
    let journal = fs::OpenOptions::new().append(true).open(env.home().join("logs/events.jsonl"));
    journal.and_then(|mut journal| journal.write_all(text.as_bytes())).expect("a journal");
}

/// The lines of a file in the test's directory.
fn lines(env: &TestEnv, name: &str) -> Vec<String> {
    let text = fs::read_to_string(env.path().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn await_lines(env: &TestEnv, name: &str, count: usize) -> Vec<String> {
    let what = format!("`{name}` has {count} lines");
    eventually(&what, || Some(lines(env, name)).filter(|lines| lines.len() >= count))
}

/// A gateway that is up.
fn start(env: &TestEnv, name: &str) {
    env.profile_serving(name);
    env.hermes(["gateway", "start", name]).ok();
}

#[test]
fn the_program_gets_the_chosen_events_and_no_secret() {
    let env = TestEnv::new();
    let here = env.path().display().to_string();
    let script = format!(
        "cat >>{here}/notices; env | LC_ALL=C sort >{here}/env; pwd >{here}/pwd; touch {here}/owned; echo x >>{here}/done"
    );
    notify(&env, &script, "events: [died, unresponsive]");
    env.profile_for_later("early", "exec sleep 600", "running");
    let mut command = env.command(hermes_tests::hermes_program());
    command.arg("up").env("API_TOKEN", "secret").env("TZ", "UTC");
    let up = Up::launch(env, command).await_up();
    let env = &up.env;
    start(env, "a");
    kill(pid(&up.status("a")));
    await_lines(env, "done", 1);
    let notices = lines(env, "notices");
    let journal = env.hermes(["events", "--json"]).ok().stdout;
    let died = journal.lines().find(|line| line.contains("\"died\"")).expect("a death");
    let mut expected: Value = serde_json::from_str(died).expect("an object");
    expected["missed"] = 0.into();
    let notice: Value = serde_json::from_str(&notices[0]).expect("an object");
    assert_eq!((notices.len(), &notice), (1, &expected));
    let variables = lines(env, "env");
    let home = env.home().display().to_string();
    for line in [
        "HERMES_EVENT=died".to_owned(),
        "HERMES_EVENT_PROFILE=a".to_owned(),
        "HERMES_EVENT_WHY=SIGKILL".to_owned(),
        format!("HERMES_HOME={home}"),
        "TZ=UTC".to_owned(),
    ] {
        assert!(variables.contains(&line), "{line}: {variables:?}");
    }
    assert!(!variables.iter().any(|line| line.contains("secret")), "{variables:?}");
    assert_eq!(lines(env, "pwd"), [home]);
    let owner = fs::metadata(env.path().join("owned")).expect("a file").uid();
    assert_eq!(owner, fs::metadata(env.home()).expect("a home").uid());
    assert_eq!(up.end(Signal::TERM).1, Some(0));
}

#[test]
fn a_program_that_hangs_is_killed_with_its_processes_and_the_next_event_comes() {
    let env = TestEnv::new();
    let here = env.path().display().to_string();
    let hang = format!("sleep 600 & echo $! >>{here}/pids; echo $$ >>{here}/pids; wait");
    let script = format!("case $HERMES_EVENT_WHY in *0) {hang};; *) cat >>{here}/notices;; esac");
    notify(&env, &script, "timeout: 1");
    let up = Up::start_in(env);
    let env = &up.env;
    start(env, "a");
    record_deaths(env, 2);
    let notices = await_lines(env, "notices", 1);
    assert!(notices[0].contains("number 1"), "{notices:?}");
    let pids = lines(env, "pids");
    assert_eq!(pids.len(), 2);
    for pid in pids {
        eventually("it is killed", || {
            (!PathBuf::from(format!("/proc/{pid}")).exists()).then_some(())
        });
    }
    let log = up.log();
    let line = "warning: failed to notify of the event `died` of `burst`: killed after 1 s\n";
    assert_eq!(log.matches("failed to notify").count(), 1, "{log}");
    assert!(log.contains(line), "{log}");
    assert_eq!(up.end(Signal::TERM).1, Some(0));
}

#[test]
fn a_burst_runs_one_program_at_a_time_and_reports_what_it_drops() {
    let env = TestEnv::new();
    let here = env.path().display().to_string();
    // Without other programs, because it runs a hundred times.
    let script = format!(
        "read -r notice; echo \"$notice\" >>{here}/notices; echo begun >>{here}/runs; \
         until [ -e {here}/go ]; do sleep 0.05; done; echo ended >>{here}/runs"
    );
    notify(&env, &script, "timeout: 3600");
    let up = Up::start_in(env);
    let env = &up.env;
    start(env, "a");
    record_deaths(env, 1);
    await_lines(env, "notices", 1);
    record_deaths(env, 150);
    // The events wait until the program ends, however many.
    env.write(&env.path().join("go"), "");
    let notices = await_lines(env, "notices", 101);
    let read = |line: &String| -> (String, u64) {
        let notice: Value = serde_json::from_str(line).expect("an object");
        let why = notice["why"].as_str().expect("a reason").to_owned();
        (why, notice["missed"].as_u64().expect("a number"))
    };
    let notices: Vec<_> = notices.iter().map(read).collect();
    let last =
        (50..150).map(|number| (format!("number {number}"), if number == 50 { 50 } else { 0 }));
    let expected: Vec<_> = std::iter::once(("number 0".to_owned(), 0)).chain(last).collect();
    assert_eq!(notices, expected);
    let runs = await_lines(env, "runs", 202);
    assert_eq!(runs, ["begun", "ended"].repeat(101), "no two at the same time");
    let log = up.log();
    assert!(log.contains("warning: 50 events were dropped: `notify.command` is slower"), "{log}");
    assert_eq!(up.end(Signal::TERM).1, Some(0));
}

#[test]
fn what_it_prints_is_escaped_and_bounded_with_a_prefix() {
    let env = TestEnv::new();
    let here = env.path().display().to_string();
    let script = format!(
        "printf 'a\\033[2Jb\\n'; printf 'to stderr\\n' >&2; seq 1000; printf 'no end'; sleep 600 & \
         echo $! >>{here}/pids"
    );
    notify(&env, &script, "");
    let up = Up::start_in(env);
    start(&up.env, "a");
    record_deaths(&up.env, 1);
    let log = eventually("all is printed", || {
        Some(up.log()).filter(|log| log.contains("notify.command: (903 more lines)\n"))
    });
    for line in ["a\\u{1b}[2Jb", "to stderr", "98"] {
        assert!(log.contains(&format!("\nnotify.command: {line}\n")), "{line}: {log}");
    }
    assert!(!log.contains("command: 99\n") && !log.contains("no end"), "{log}");
    assert_eq!(up.end(Signal::TERM).1, Some(0));
}

#[test]
fn the_end_of_a_tree_waits_for_no_program() {
    let env = TestEnv::new();
    let here = env.path().display().to_string();
    notify(
        &env,
        &format!("trap '' TERM; echo $$ >>{here}/pids; while :; do sleep 1; done"),
        "timeout: 3600",
    );
    let up = Up::start_in(env);
    let env = &up.env;
    start(env, "a");
    record_deaths(env, 3);
    let pids = await_lines(env, "pids", 1);
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(!PathBuf::from(format!("/proc/{}", pids[0])).exists(), "it was killed");
    let log = fs::read_to_string(env.path().join("up.log")).expect("a log");
    assert!(log.contains("the tree ends before 3 notices of events were made"), "{log}");
}

#[test]
fn a_failure_is_one_line_and_a_mistake_is_reported_until_it_is_corrected() {
    let env = TestEnv::new();
    let config = env.home().join("config.yaml");
    env.write(&config, "notify: {command: [/bin/false], events: [dead]}\n");
    let up = Up::start_in(env);
    let env = &up.env;
    let unknown = "line 1 column 42: unknown event `dead`; the events are registered,";
    let reported = "nobody is notified of events: invalid `notify.events`";
    let log = eventually("it is printed", || Some(up.log()).filter(|log| log.contains(reported)));
    assert!(log.contains(unknown), "{log}");
    hermes_tests::doctor::finds(env, "config", "error", &["`hermes up` notifies nobody", unknown]);
    start(env, "a");
    assert_eq!(up.log().matches("nobody is notified").count(), 1, "it is printed once");
    env.write(&config, "notify: {command: [/bin/false]}\n");
    hermes_tests::doctor::finds_nothing(env, "config");
    record_deaths(env, 1);
    eventually("the failure is printed", || {
        let line = "failed to notify of the event `died` of `burst`: exit status: 1\n";
        up.log().contains(line).then_some(())
    });
    env.write(&config, "notify: {command: [/hermes-no-such-program]}\n");
    let absent = "the program of `notify.command` is not there: `/hermes-no-such-program`";
    hermes_tests::doctor::finds(env, "command", "error", &[absent]);
    record_deaths(env, 1);
    eventually("the failure is printed", || {
        let line = "failed to notify of the event `died` of `burst`: No such file";
        up.log().contains(line).then_some(())
    });
    let log = up.log();
    assert_eq!(log.matches("failed to notify").count(), 2, "{log}");
    assert_eq!(up.end(Signal::TERM).1, Some(0));
}
