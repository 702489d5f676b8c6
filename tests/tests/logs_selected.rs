//! `hermes gateway logs` with `--since`, `--until`, `--grep` and `--events`, and lines that were cut, under real loggers.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use hermes_tests::{
    Hermes, Logger, Outcome, Stream, Svscan, TestEnv, eventually, is_one_clear_error, kill, pid,
};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;

fn logs(env: &TestEnv, args: &[&str]) -> Hermes {
    let line = ["gateway", "logs", "coder"].iter().chain(args).copied();
    env.hermes(line).env_remove("HERMES_SCANDIR")
}

/// A test environment with the profile `coder`, in which nothing runs.
fn env() -> TestEnv {
    let env = TestEnv::new();
    env.profile_for_later("coder", "true", "stopped\n");
    env
}

/// The printed objects.
fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// The number in a line's text.
fn number(line: &str) -> usize {
    line.rsplit_once("  ").map_or(line, |(_, text)| text).parse().expect("a number")
}

/// The numbers in the lines of a log that is being written: s6-log may have written a part of the last one.
fn whole_numbers(text: &str) -> Vec<usize> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.pop_if(|line| line.rsplit_once("  ").is_none_or(|(_, text)| text.len() < 32));
    lines.into_iter().map(number).collect()
}

fn numbers(stream: &Stream) -> Vec<usize> {
    stream.lines().iter().map(|line| number(line)).collect()
}

#[test]
fn time_and_pattern_select_lines_of_rotated_files() {
    let env = env();
    let mut logger = Logger::start(&env, "coder", 20);
    for _ in 0..20 {
        logger.write(20);
        logger.await_written();
    }
    assert!(logger.files().len() > 3);
    let all: Vec<_> = objects(&logs(&env, &["--json"]).ok().stdout)
        .iter()
        .map(|object| {
            let text = |key: &str| object[key].as_str().expect("a text").to_owned();
            (text("time"), number(&text("line")))
        })
        .collect();
    assert_eq!(all.len(), 400);
    // Lines that s6-log read together may have the same time, so that there may be more.
    let (since, until) = (all[130].0.as_str(), all[290].0.as_str());
    // Their fractions differ in length, so that their texts have another order.
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    let is_selected = |it: &str| (time(since)..=time(until)).contains(&time(it));
    let range: Vec<_> = all.iter().filter(|(time, _)| is_selected(time)).map(|it| it.1).collect();
    let printed = |args: &[&str]| -> Vec<usize> {
        logs(&env, args).ok().stdout.lines().map(number).collect()
    };
    assert_eq!(printed(&["--since", since, "--until", until]), range);
    assert!(range.contains(&130) && range.contains(&290) && range.len() < 250, "{range:?}");
    assert_eq!(printed(&["--until", until, "--grep", "55$", "-n", "2"]), [155, 255]);
    assert_eq!(printed(&["--grep", "0[0-4]00$"]), [0, 100, 200, 300]);
    assert_eq!(printed(&["--since", "10m", "-n", "1"]), [399]);
    assert_eq!(
        printed(&["--since", until, "-n", "400"]),
        (*range.last().unwrap()..400).collect::<Vec<_>>()
    );
    for args in [&["--since", "now"][..], &["--until", "yesterday"], &["--grep", "none"]] {
        let outcome = logs(&env, args).fails_with(1);
        is_one_clear_error(&outcome);
        assert!(
            outcome.stderr.contains("the log of `coder` has no line that matches"),
            "{outcome}"
        );
    }

    let following = logs(&env, &["-f", "--since", since, "--grep", "5$"]).stream();
    let last = logs(&env, &["-f", "-n", "2", "--grep", "5$"]).stream();
    let matching =
        |from: usize, to| (from..to).filter(|number| number % 10 == 5).collect::<Vec<_>>();
    last.await_lines(2);
    logger.write(100);
    let first = *range.first().unwrap();
    for (following, expected) in [(&following, matching(first, 500)), (&last, matching(380, 500))] {
        following.await_lines(expected.len());
        assert_eq!(numbers(following), expected);
    }
    let until = logs(&env, &["-f", "-n", "3", "--until", "now"]).ok();
    assert_eq!(until.stdout.lines().map(number).collect::<Vec<_>>(), [497, 498, 499]);
}

#[test]
fn a_long_line_is_marked_where_the_logger_cut_it() {
    let env = env();
    let mut logger = Logger::start(&env, "coder", 3);
    let long: String = ('a'..='z').cycle().take(20_000).collect();
    logger.log(&format!("before\n{long}\nafter\n"));
    let text = eventually("all is logged", || {
        Some(logs(&env, &[]).run().stdout).filter(|text| text.ends_with("after\n"))
    });
    let ends: Vec<_> = text.lines().map(|line| line.ends_with('…')).collect();
    assert_eq!(ends, [false, true, true, false, false]);
    let objects = objects(&logs(&env, &["--json"]).ok().stdout);
    let cut: Vec<_> = objects.iter().map(|object| object["cut"] == true).collect();
    assert_eq!(cut, ends);
    let text: Vec<_> = objects.iter().map(|object| object["line"].as_str().unwrap()).collect();
    assert_eq!(text[1..4].concat(), long);
    assert_eq!((text[0], text[4]), ("before", "after"));
}

/// A rotation under a reader leaves out no line between two others, and is no error.
#[test]
fn a_log_is_read_while_it_is_rotated() {
    let env = env();
    let mut logger = Logger::start(&env, "coder", 3);
    logger.write(200);
    logger.await_written();
    let enough = AtomicBool::new(false);
    // A file has some seventy lines, and four files are kept.
    let has_rotated =
        |it: &Outcome| whole_numbers(&it.stdout).last().is_some_and(|last| *last > 1000);
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                logger.write(50);
            }
        });
        let all = [&[][..], &["-n", "100"], &["--since", "1h"], &["-n", "100", "--grep", "."]];
        let mut outcomes = Vec::new();
        eventually("it was rotated ten times while it was read", || {
            outcomes.extend(all.map(|args| logs(&env, args).run()));
            (outcomes.len() >= 40 && outcomes.last().is_some_and(has_rotated)).then_some(())
        });
        enough.store(true, Ordering::Relaxed);
        outcomes
    });
    let mut last = 0;
    for outcome in outcomes {
        assert_eq!((outcome.stderr.as_str(), outcome.code()), ("", Some(0)), "{outcome}");
        let numbers = whole_numbers(&outcome.stdout);
        let gap = numbers.windows(2).find(|two| two[1] != two[0] + 1);
        assert!(gap.is_none(), "{gap:?}: {outcome}");
        let newest = numbers.last().copied().unwrap_or_default();
        assert!(newest >= last, "{outcome}");
        last = newest;
    }
}

#[test]
fn events_stand_between_the_lines() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "echo alive; exec sleep 600");
    env.hermes(["gateway", "start", "coder"]).ok();
    let said = |count: usize| {
        eventually("it has said so", || {
            let text = logs(env, &[]).run().stdout;
            (text.matches("alive").count() == count).then_some(())
        });
    };
    said(1);
    let following = logs(env, &["-f", "-n", "1", "--events", "--json"]).stream();
    following.await_lines(1);
    kill(pid(&tree.status("coder")));
    said(2);
    let words = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once("  ").expect("a time").1.to_owned()).collect()
    };
    let all = eventually("the second start is recorded", || {
        let all = words(&logs(env, &["--events"]).ok().stdout);
        let starts = all.iter().filter(|word| word.starts_with("-- started (process ")).count();
        (starts == 2).then_some(all)
    });
    let at = |word: &str| all.iter().position(|it| it == word).expect(word);
    let (alive, died) = (at("alive"), at("-- died (SIGKILL) --"));
    assert!(at("-- registered --") < alive && alive < died, "{all:?}");
    assert!(all[died..].contains(&"alive".to_owned()), "{all:?}");
    // Without a line before it, an event is not among the last lines.
    let last = words(&logs(env, &["--events", "-n", "1"]).ok().stdout);
    assert!(!last.contains(&all[died]) && last.contains(&"alive".to_owned()), "{last:?}");
    let objects = eventually("the follower prints them", || {
        let objects = objects(&following.stdout());
        let has = |key: &str, value: &str| objects.iter().any(|object| object[key] == value);
        (has("event", "died") && has("event", "started") && has("line", "alive")).then_some(objects)
    });
    for object in objects {
        assert!(object["line"].is_string() != object["event"].is_string(), "{object}");
        assert_eq!((&object["profile"], object["time"].is_string()), (&"coder".into(), true));
    }
    following.signal(Signal::INT);
    assert_eq!(following.ended().2, Some(0));
}

#[test]
fn a_selection_that_is_none_is_a_wrong_command_line() {
    let env = env();
    let _logger = Logger::start(&env, "coder", 3);
    for (args, expected) in [
        (&["--grep", "a("][..], "invalid value 'a(' for '--grep <PATTERN>'"),
        (&["--since", "25:00"], "invalid value '25:00' for '--since <TIME>': not a time like"),
        (&["--until", "soon"], "invalid value 'soon' for '--until <TIME>'"),
        (&["--since", "1h", "--until", "2h"], "the time of --since is after that of --until"),
    ] {
        let outcome = logs(&env, args).fails_with(2);
        assert!(outcome.stderr.contains(expected), "{outcome}");
    }
    assert!(fs::metadata(env.home().join("logs/gateways/coder")).is_ok());
}
