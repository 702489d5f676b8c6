//! The end of a container: each gateway gets one SIGTERM, all at the same time, and no line is lost.

use hermes_tests::container::{Base, Container, Start, base};

const LINES: usize = 2000;

/// Prints `term` for each SIGTERM, takes three seconds to end, and prints many lines before.
fn talkative() -> String {
    format!(
        "trap 'echo term; kill $! 2>/dev/null' TERM; sleep 600 & echo begun; wait
         i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done
         sleep 3 & wait $!; wait $!; echo last"
    )
}

#[track_caller]
fn said_everything_once(container: &Container, said: &str, profile: &str) {
    let mark = format!("[{profile}] ");
    let said = said.lines().filter_map(|line| Some(line.strip_prefix(&mark)?.to_owned()));
    let lines = (0..LINES).map(|line| format!("line {line}"));
    let expected: Vec<_> = ["begun".to_owned(), "term".to_owned()]
        .into_iter()
        .chain(lines)
        .chain(["last".to_owned()])
        .collect();
    // Later lines are from its next life.
    let first_life = |said: Vec<_>| said[..expected.len().min(said.len())].to_vec();
    assert_eq!(first_life(said.collect()), expected, "in the container's output");
    assert_eq!(first_life(container.logged(profile)), expected, "in the file");
    let intent = container.read(&format!("/opt/data/profiles/{profile}/gateway.intent"));
    assert_eq!(intent.trim(), "running");
}

#[test]
fn docker_stop_sends_one_sigterm_and_loses_no_line() {
    let container = Start::new().booted();
    let all = ["a", "b", "c"];
    for name in all {
        container.profile_running(name, &talkative());
        container.hermes(["gateway", "start", name]).ok();
        container.await_output(&format!("[{name}] begun"), 1);
    }
    // A gateway in backoff does not delay the stop.
    container.profile_running("dying", "exit 1");
    container.hermes(["gateway", "start", "dying"]).fails_with(1);
    container.docker("stop");
    assert_eq!(container.exit_code(), 0);
    let said = container.output();
    let (before_an_end, _) = said.split_once("] last\n").expect("one has ended in order");
    let told = before_an_end.matches("] term\n").count();
    assert_eq!(told, all.len(), "one after the other: {said}");
    // The next start of the container allows reading the files.
    container.docker("start");
    container.await_boot(2);
    for name in all {
        said_everything_once(&container, &said, name);
    }
}

#[test]
fn docker_stop_keeps_the_commands_exit_code() {
    let script = "trap 'echo told; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let container = Start::new().command(["sh", "-c", script]).detached();
    container.await_output("ready", 1);
    container.docker("stop");
    // s6-overlay has its own exit code when stopped from outside.
    assert_eq!(container.exit_code(), if base() == Base::Plain { 3 } else { 0 });
    assert_eq!(container.output().matches("told").count(), 1, "{}", container.output());
}

#[test]
fn gateways_end_in_order_when_the_command_does() {
    let script = "until [ -e /tmp/go ]; do sleep 0.1; done; hermes gateway start slow; exit 7";
    let container = Start::new().command(["sh", "-c", script]).detached();
    container.await_boot(1);
    container.profile_running("slow", "trap 'sleep 1; echo ended; exit' TERM; sleep 600 & wait");
    container.write("/tmp/go", "");
    assert_eq!(container.exit_code(), 7);
    assert!(container.output().contains("[slow] ended"), "{}", container.output());
}
