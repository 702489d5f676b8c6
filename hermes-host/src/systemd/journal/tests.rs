//! Reads and follows output of journalctl.

use std::io::Write;
use std::process::{Command, Stdio};

use hermes_core::{Intent, RootHome, Store};
use rustix::event::{PollFd, PollFlags};

use super::*;
use crate::systemd::Setup;
use crate::{Account, Scope};

/// A line of `--output=json` with an entry of a user's unit, at `time` by the wall clock. `message` is JSON.
fn printed(unit: &str, time: i64, cursor: &str, message: &str) -> String {
    format!(
        r#"{{"__CURSOR":"{cursor}","__REALTIME_TIMESTAMP":"{time}","__MONOTONIC_TIMESTAMP":"7","_BOOT_ID":"a","_SYSTEMD_USER_UNIT":"{unit}","MESSAGE":{message}}}"#
    )
}

fn entry(time: i64, cursor: &str) -> Entry {
    let line = printed("", time, cursor, r#""text""#);
    Entry::read(line.as_bytes(), Scope::User.journal_field()).unwrap()
}

#[test]
fn merged_entries_keep_the_order_of_their_logs_under_any_clock() {
    let order = |logs: &[&[(&str, u64, i64)]]| -> Vec<String> {
        let log = |entries: &&[(&str, u64, i64)]| {
            let entry = |(boot, since_boot, time): &(&str, u64, i64)| {
                let cursor = format!("{boot}{since_boot}");
                Entry { boot: (*boot).to_owned(), since_boot: *since_boot, ..entry(*time, &cursor) }
            };
            entries.iter().map(entry).collect()
        };
        let merged = merged(logs.iter().map(log).collect());
        merged.into_iter().map(|(index, entry)| format!("{index}{}", entry.cursor)).collect()
    };
    // The wall clock is set back within the boot `a`; `b` is a later boot.
    let (first, second) =
        ([("a", 1, 90), ("a", 4, 10), ("b", 2, 100)], [("a", 2, 91), ("b", 1, 99)]);
    assert_eq!(order(&[&first, &second]), ["0a1", "1a2", "0a4", "1b1", "0b2"]);
    assert_eq!(order(&[&second, &first]), ["1a1", "0a2", "1a4", "0b1", "1b2"]);
    assert_eq!(order(&[&[], &second]), ["1a2", "1b1"]);
    assert_eq!(order(&[]), [""; 0]);
}

#[test]
fn entries_with_any_bytes_are_read() {
    let field = Scope::User.journal_field();
    let entry = |message: &str| {
        let line = printed("a@x.service", 1_795_535_042_123_456, "s=1", message);
        Entry::read(line.as_bytes(), field)
    };
    let text = entry(r#""said  so""#).unwrap();
    assert_eq!((text.unit.as_str(), text.cursor.as_str()), ("a@x.service", "s=1"));
    let expected = Line {
        time: Timestamp::from_microsecond(1_795_535_042_123_456).ok(),
        text: b"said  so".to_vec(),
        cut: false,
    };
    assert_eq!(text.line(), expected);
    for (end, cut) in [("nul", false), ("line-max", true), ("eof", true), ("pid-change", true)] {
        let message = format!(r#""text","_LINE_BREAK":"{end}""#);
        assert_eq!(entry(&message).unwrap().line().cut, cut, "{end}");
    }
    assert_eq!(entry("[255,10,7]").unwrap().text, [255, 10, 7]);
    assert_eq!(entry("null"), None);
    assert_eq!(Entry::read(b"no JSON", field), None);
    let orphaned = |line: String| Entry::read(line.as_bytes(), field).map(|entry| entry.unit);
    let line = printed("a@x.service", 1, "s=1", r#""text""#);
    let unit = |of: &str, identifier: &str| {
        let fields = format!(r#""SYSLOG_IDENTIFIER":"{identifier}"{of}"#);
        orphaned(line.replacen(r#""_SYSTEMD_USER_UNIT":"a@x.service""#, &fields, 1))
    };
    assert_eq!(unit("", "a@x.service").as_deref(), Some("a@x.service"));
    let other = unit(r#","_SYSTEMD_USER_UNIT":"b@x.service""#, "a@x.service");
    assert_eq!(other.as_deref(), Some("b@x.service"));
}

/// All events so far, as `INDEXtext`.
fn events(followed: &mut FollowedJournal) -> Vec<String> {
    let mut events = Vec::new();
    while let Some((index, event)) = followed.next().unwrap() {
        events.push(match event {
            Event::Line(line) => {
                format!("{index}{}", str::from_utf8(&line.text).unwrap())
            }
            other => format!("{index}{other:?}"),
        });
    }
    events
}

#[test]
fn a_followed_journal_starts_with_stored_lines_and_ends_with_its_profile() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(RootHome::new(dir.path().join("home")));
    let names = ["a", "b"].map(|name| name.parse().unwrap());
    names.iter().for_each(|name| drop(store.create(name, None, Intent::Stopped).unwrap()));
    let setup = Setup {
        account: Account { name: "hermes".to_owned(), uid: 1000, home: dir.path().to_owned() },
        runtime: dir.path().join("run"),
        program: "/usr/bin/hermes".into(),
        root: dir.path().to_owned(),
        is_root: false,
        timeouts: hermes_core::wait::Timeouts::default(),
        open_homes: false,
    };
    let systemd = Systemd::new(store.root().clone(), Scope::User, setup, "".as_ref());
    // `cat` stands in for journalctl and prints its stdin.
    let mut cat = Command::new("cat");
    let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stored = vec![(1, entry(5, "s1"))];
    let selection =
        Selection { since: Timestamp::from_microsecond(5).ok(), ..Selection::default() };
    let mut followed = FollowedJournal::new(&systemd, &names, &selection, stored, child).unwrap();
    assert_eq!(events(&mut followed), ["1text"]);

    let unit = |name: usize| systemd.names.unit(&names[name]);
    let lines = [
        printed(&unit(1), 6, "s2", r#""one""#),
        printed("other.service", 6, "s3", r#""of another unit""#),
        printed(&unit(0), 4, "s4", r#""too early""#),
        printed(&unit(0), 7, "s5", r#""two""#),
    ];
    let await_pipe = |followed: &FollowedJournal| {
        let mut fds = [PollFd::new(&followed.pipe, PollFlags::IN)];
        rustix::event::poll(&mut fds, None).unwrap();
    };
    // One write that fits into the pipe's buffer is read at once.
    input.write_all((lines.join("\n") + "\n{\"__CURSOR\":").as_bytes()).unwrap();
    await_pipe(&followed);
    assert_eq!(events(&mut followed), ["1one", "0two"]);

    store.delete(&names[1], false).unwrap();
    assert_eq!(events(&mut followed), ["1Ended"]);
    let line = printed(&unit(0), 9, "s6", r#""three""#).replacen("{\"__CURSOR\":", "", 1);
    let late = printed(&unit(1), 8, "s5", r#""after the end""#);
    input.write_all(format!("{line}\n{late}\n").as_bytes()).unwrap();
    await_pipe(&followed);
    assert_eq!(events(&mut followed), ["0three"]);

    drop(input);
    await_pipe(&followed);
    let error = followed.next().unwrap_err();
    let error = hermes_core::error_chain::in_one_line(&error);
    assert_eq!(error, "failed to follow the journal: journalctl has ended");
}

#[test]
fn a_selection_is_passed_to_journalctl() {
    let time = |microsecond| Timestamp::from_microsecond(microsecond).unwrap();
    assert_eq!(since(time(1_795_535_042_000_456)), "--since=@1795535042.000456");
    assert_eq!(until(time(-1)), "--until=@0.000000");
    let pattern = hermes_core::log::Regex::new("a b|c").ok();
    let selection = Selection { pattern, ..Selection::default() };
    assert_eq!(matching(&selection), ["--grep=a b|c", "--case-sensitive=yes"]);
    assert_eq!(matching(&Selection::default()), [""; 0]);
}
