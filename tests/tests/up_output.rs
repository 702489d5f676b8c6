//! What `hermes up` prints: the lines of all gateways, each as a whole, whether somebody reads them or not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use hermes_tests::{SOON, TestEnv, Up, eventually, hermes_program, processes_naming};
use rustix::process::Signal;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// More than all buffers between a gateway and the reader of `up` take.
const LINES: usize = 100_000;

/// A pipe that is full at once.
fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a small pipe");
    (reader, writer)
}

/// `hermes up` with a gateway that prints [`LINES`] for each of [`NAMES`].
fn up_printing_into(stdout: Stdio, stderr: Stdio) -> Up {
    let env = TestEnv::new();
    for name in NAMES {
        env.profile_for_later(name, &format!("seq {LINES}; exec sleep 600"), "running");
    }
    let mut command = env.command(hermes_program());
    command.arg("up");
    Up::launch_into(env, command, stdout, stderr)
}

fn everything_is_in_the_files(env: &TestEnv) {
    for name in NAMES {
        eventually(&format!("all lines of {name} are in its files"), || {
            (env.logged(name).last()? == &LINES.to_string()).then_some(())
        });
    }
}

/// The numbers that each gateway printed.
fn numbers(lines: &[String]) -> BTreeMap<&str, Vec<usize>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for line in lines {
        let parts = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let whole = parts.and_then(|(name, number)| Some((name, number.parse().ok()?)));
        let (name, number) = whole.unwrap_or_else(|| panic!("torn: {line}"));
        found.entry(name).or_default().push(number);
    }
    found
}

#[test]
fn lines_of_many_gateways_are_whole() {
    let (reader, writer) = small_pipe();
    let up = up_printing_into(writer.into(), Stdio::null());
    let printed = BufReader::new(reader).lines().take(NAMES.len() * LINES);
    let printed: Vec<_> = printed.collect::<Result<_, _>>().expect("a readable pipe");
    let expected: Vec<_> = (1..=LINES).collect();
    for (name, found) in numbers(&printed) {
        assert!(found == expected, "{name}: not all lines, or not in order");
    }
    everything_is_in_the_files(&up.env);
}

#[test]
fn nobody_needs_to_read_them() {
    let (reader, writer) = small_pipe();
    let (_stderr, messages) = small_pipe();
    let up = up_printing_into(writer.into(), messages.into());
    everything_is_in_the_files(&up.env);
    // A reader that comes back gets each line, or learns that it missed it. s6-log passes a line on after it has
    // written it to the file, so that some may come after a notice, or be missing in a later one.
    let (sender, lines) = mpsc::sync_channel(0);
    let mut stdout = BufReader::new(reader).lines().map(|line| line.expect("a readable pipe"));
    // Ends with the receiver.
    thread::spawn(move || stdout.try_for_each(|line| sender.send(line)));
    let next = || lines.recv_timeout(SOON).expect("each line is printed, or said to be missing");
    let (mut printed, mut missing) = (Vec::new(), 0);
    while printed.len() + missing < NAMES.len() * LINES {
        let line = next();
        match line.strip_prefix("hermes: ").and_then(|notice| notice.split_once(' ')) {
            Some((count, _)) => missing += count.parse::<usize>().expect("a number"),
            None => printed.push(line),
        }
    }
    assert_eq!(printed.len() + missing, NAMES.len() * LINES);
    assert!(missing > 0, "nobody read them");
    assert!(numbers(&printed).values().all(|found| found.is_sorted()));
    up.env.hermes(["gateway", "restart", "b"]).ok();
    assert_eq!(next(), "[b] 1");
    // Again nobody reads, and it ends all the same.
    let (env, code) = up.end(Signal::TERM);
    assert_eq!(code, Some(0));
    assert_eq!(processes_naming(&env.path().to_string_lossy()), Vec::<u64>::new());
}
