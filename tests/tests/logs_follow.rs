//! `hermes gateway logs --follow`, under real loggers.

use std::fs;

use hermes_s6::slot::layout::ServiceDir;
use hermes_tests::{Logger, Stream, Svscan, TestEnv, chmod, eventually, kill};
use rustix::process::Signal;

fn follow(env: &TestEnv, args: &[&str]) -> Stream {
    let line = ["gateway", "logs", "-f"].iter().chain(args).copied();
    env.hermes(line).env_remove("HERMES_SCANDIR").stream()
}

/// A test environment with profiles of these names, in which nothing runs.
fn env(names: &[&str]) -> TestEnv {
    let env = TestEnv::new();
    names.iter().for_each(|name| env.profile_for_later(name, "true", "stopped\n"));
    env
}

/// The printed numbers.
fn numbers(stream: &Stream) -> Vec<usize> {
    stream.lines().iter().map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn fifty_rotations_are_followed_without_loss() {
    let env = env(&["coder"]);
    let mut logger = Logger::start(&env, "coder", 10);
    let following = follow(&env, &["coder", "-n", "1000"]);
    let mut written = 0;
    while logger.archives.len() < 55 {
        // A few files at a time: fewer than are kept.
        logger.write(200);
        written += 200;
        following.await_lines(written);
        logger.files();
    }
    assert_eq!(numbers(&following), (0..written).collect::<Vec<_>>());
    assert_eq!(following.stderr(), "");
}

#[test]
fn lines_lost_to_rotation_are_counted() {
    let env = env(&["coder"]);
    let mut logger = Logger::start(&env, "coder", 3);
    let following = follow(&env, &["coder", "-n", "1000"]);
    logger.write(10);
    following.await_lines(10);
    following.signal(Signal::STOP);
    for _ in 0..50 {
        // About one file at a time, so that this test counts each before its removal.
        logger.write(60);
        logger.await_written();
    }
    logger.settle();
    let left = logger.files().len();
    // The follower has the first of them open.
    let removed = logger.archives.len() - 1 - left;
    assert!(removed > 10, "{removed}");
    following.signal(Signal::CONT);
    let last = logger.written - 1;
    eventually("it has caught up", || (numbers(&following).last() == Some(&last)).then_some(()));
    let numbers = numbers(&following);
    let gaps = numbers.windows(2).filter(|two| two[1] != two[0] + 1);
    assert_eq!(gaps.count(), 1, "{numbers:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
    following.await_message("could be read\n");
    assert_eq!(
        following.stderr(),
        format!(
            "warning: lines of `coder` are missing here: {removed} archived files were removed before \
             they could be read\n"
        )
    );
    logger.write(200);
    following.await_lines(numbers.len() + 200);
    assert_eq!(following.lines().last().unwrap().parse(), Ok(last + 200));
}

#[test]
fn a_follower_survives_a_killed_logger() {
    let tree = Svscan::start();
    let env = &tree.env;
    let input = env.home().join("input");
    rustix::fs::mkfifoat(rustix::fs::CWD, &input, rustix::fs::Mode::RWXU).unwrap();
    env.give(&input);
    // The test writes the gateway's output into the FIFO.
    env.profile_running("talker", &format!("exec cat <>'{}'", input.display()));
    env.hermes(["gateway", "start", "talker"]).ok();
    let mut input = fs::File::options().read(true).write(true).open(input).unwrap();
    // All lines, whenever the follower starts.
    let following = follow(env, &["talker", "-n", "1000000"]);
    let mut written = 0;
    let mut say = |lines: usize| {
        use std::io::Write;
        let lines = written..written + lines;
        written = lines.end;
        let text: String = lines.map(|line| format!("{}{line:08}\n", "0".repeat(200))).collect();
        input.write_all(text.as_bytes()).unwrap();
        following.await_lines(written);
        written
    };
    let logger = ServiceDir::new(env.slot("talker")).log();
    let pid = || logger.record().unwrap().pid.map(u64::from);
    for _ in 0..4 {
        say(5_000);
        let killed = pid().unwrap();
        kill(killed);
        eventually("another logger is there", || pid().filter(|pid| *pid != killed));
        say(10);
    }
    let written = say(1);
    assert_eq!(numbers(&following), (0..written).collect::<Vec<_>>());
    assert_eq!(following.stderr(), "");
    let directory = env.home().join("logs/gateways/talker");
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
    assert!(count(".s") >= 4 && count(".u") == 4, "{names:?}");
}

#[test]
fn a_profile_can_be_followed_before_its_first_start() {
    let env = env(&["coder"]);
    let following = follow(&env, &["coder"]);
    following.await_message("the gateway of `coder` has not logged anything yet");
    let mut logger = Logger::start(&env, "coder", 3);
    logger.log("one\ntwo\n");
    following.await_lines(2);
    assert_eq!(following.lines(), ["one", "two"]);
}

#[test]
fn delete_ends_a_followed_log() {
    let env = env(&["coder", "other"]);
    let mut logger = Logger::start(&env, "coder", 3);
    let mut other = Logger::start(&env, "other", 3);
    let one = follow(&env, &["coder"]);
    let both = follow(&env, &["--all"]);
    logger.log("first\n");
    one.await_lines(1);
    both.await_lines(1);
    for following in [&one, &both] {
        following.signal(Signal::STOP);
    }
    logger.write(10);
    logger.await_written();
    drop(logger);
    env.hermes(["profile", "delete", "-y", "coder"]).env_remove("HERMES_SCANDIR").ok();
    for following in [&one, &both] {
        following.signal(Signal::CONT);
    }
    both.await_message(
        "warning: the profile `coder` was deleted or renamed, and its log ends here",
    );
    let (stdout, stderr, code) = one.ended();
    assert_eq!(stdout.lines().count(), 11, "{stdout}");
    let told = "error: the profile `coder` was deleted or renamed, and its log ends here\n";
    assert_eq!((stderr.as_str(), code), (told, Some(4)));
    other.log("more\n");
    both.await_lines(12);
    assert!(both.stdout().ends_with("  more\n"));
}

#[test]
fn lines_lost_to_a_delete_are_reported() {
    let env = env(&["coder", "kept"]);
    let mut logger = Logger::start(&env, "coder", 10);
    let following = follow(&env, &["coder", "-n", "1000"]);
    logger.write(10);
    following.await_lines(10);
    following.signal(Signal::STOP);
    while logger.files().len() < 4 {
        logger.write(30);
        logger.await_written();
    }
    logger.settle();
    assert_eq!(logger.files().len(), 4);
    drop(logger);
    env.hermes(["profile", "delete", "-y", "coder"]).env_remove("HERMES_SCANDIR").ok();
    following.signal(Signal::CONT);
    let (_, stderr, code) = following.ended();
    let told = "warning: lines of `coder` are missing here: at least 3 archived files were removed \
                before they could be read\nerror: the profile `coder` was deleted";
    assert!(stderr.starts_with(told), "{stderr}");
    assert_eq!(code, Some(4));
    // The follower also ends if the log is kept.
    let mut logger = Logger::start(&env, "kept", 10);
    let following = follow(&env, &["kept"]);
    logger.write(3);
    following.await_lines(3);
    let line = ["profile", "delete", "-y", "--keep-logs", "kept"];
    env.hermes(line).env_remove("HERMES_SCANDIR").ok();
    assert_eq!(following.ended().2, Some(4));
}

#[test]
fn each_line_is_printed_at_once() {
    let env = env(&["a", "b"]);
    let mut loggers = ["a", "b"].map(|name| Logger::start(&env, name, 10));
    let following = follow(&env, &["a", "b", "-n", "1000"]);
    for burst in 1..=150 {
        // The follower is still busy with earlier lines when the last ones come.
        for _ in 0..4 {
            loggers.iter_mut().for_each(|logger| logger.write(1));
        }
        following.await_lines(burst * 8);
    }
    assert_eq!(following.stdout().lines().filter(|line| line.starts_with("a | ")).count(), 600);
}

#[test]
fn a_signal_or_a_closed_pipe_ends_it_quietly() {
    let env = env(&["coder"]);
    let mut logger = Logger::start(&env, "coder", 3);
    logger.log("one\n");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let following = follow(&env, &["coder"]);
        following.await_lines(1);
        following.signal(signal);
        let (_, stderr, code) = following.ended();
        assert_eq!((stderr.as_str(), code), ("", Some(0)), "{signal:?}");
    }
    // Ends although no more lines come.
    let line = "{ hermes gateway logs -f coder; echo $? >&2; } | head -n 1";
    let (stdout, stderr, _) = env.shell(line).env_remove("HERMES_SCANDIR").stream().ended();
    assert!(stdout.ends_with("  one\n"), "{stdout}");
    assert_eq!(stderr, "0\n");
    let (stdout, stderr, code) = follow(&env, &["coder", "--timeout", "5"]).ended();
    assert!(stdout.ends_with("  one\n"), "{stdout}");
    assert_eq!((stderr.as_str(), code), ("error: stopped following the log after 5 s\n", Some(6)));
}

#[test]
fn following_begins_with_the_last_lines() {
    let env = env(&["coder"]);
    let mut logger = Logger::start(&env, "coder", 10);
    for _ in 0..10 {
        logger.write(50);
        logger.await_written();
    }
    assert!(logger.files().len() > 4);
    let of = |args: &[&str]| {
        let line = ["gateway", "logs", "coder"].iter().chain(args).copied();
        let outcome = env.hermes(line).env_remove("HERMES_SCANDIR").ok();
        let number = |line: &str| line.rsplit_once("  ").unwrap().1.parse().unwrap();
        outcome.stdout.lines().map(number).collect::<Vec<usize>>()
    };
    assert_eq!(of(&[]), (0..500).collect::<Vec<_>>());
    for last in [0, 1, 77, 300, 501] {
        let expected: Vec<_> = (500_usize.saturating_sub(last)..500).collect();
        assert_eq!(of(&["-n", &last.to_string()]), expected);
    }
    for (args, first) in [(&["coder"][..], 490), (&["coder", "-n", "300"], 200)] {
        let following = follow(&env, args);
        following.await_lines(500 - first);
        assert_eq!(numbers(&following), (first..500).collect::<Vec<_>>());
    }
    let following = follow(&env, &["coder", "-n", "0"]);
    // Only its open file, at its end, shows from outside that it follows.
    eventually("it follows", || {
        let proc = format!("/proc/{}", following.pid());
        let mut open = fs::read_dir(format!("{proc}/fd")).ok()?.filter_map(Result::ok);
        open.find(|entry| {
            let path = fs::read_link(entry.path()).unwrap_or_default();
            let info = format!("{proc}/fdinfo/{}", entry.file_name().display());
            let at = fs::read_to_string(info).unwrap_or_default();
            path.ends_with("logs/gateways/coder/current")
                && fs::metadata(&path)
                    .is_ok_and(|file| at.starts_with(&format!("pos:\t{}\n", file.len())))
        })
    });
    logger.write(3);
    following.await_lines(3);
    assert_eq!(numbers(&following), [500, 501, 502]);
}

#[test]
fn a_log_that_may_not_be_read_is_an_error() {
    let env = env(&["coder"]);
    let directory = env.home().join("logs/gateways/coder");
    env.make_directory(&env.home().join("logs"));
    env.make_directory(&env.home().join("logs/gateways"));
    env.make_directory(&directory);
    chmod(&directory, 0);
    let (_, stderr, code) = follow(&env, &["coder"]).ended();
    chmod(&directory, 0o700);
    assert!(stderr.starts_with("error: failed to read the log of `coder`\n  "), "{stderr}");
    assert_eq!(code, Some(5), "{stderr}");
}
