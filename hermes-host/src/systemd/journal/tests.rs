//! Reads and follows output of journalctl.

use std::io::Write;
use std::process::{Command, Stdio};

use hermes_core::{Intent, RootHome, Store};
use rustix::event::{PollFd, PollFlags};

use super::*;
use crate::systemd::Setup;
use crate::{Account, Scope};

/// A line of `--output=json` with an entry of a user's unit. `message` is JSON.
fn printed(unit: &str, micros: i64, cursor: &str, message: &str) -> String {
    format!(
        r#"{{"__CURSOR":"{cursor}","__REALTIME_TIMESTAMP":"{micros}","_SYSTEMD_USER_UNIT":"{unit}","MESSAGE":{message}}}"#
    )
}

fn entry(micros: i64, cursor: &str) -> Entry {
    let line = printed("", micros, cursor, r#""text""#);
    Entry::read(line.as_bytes(), Scope::User.journal_field()).unwrap()
}

#[test]
fn stored_entries_are_not_new_even_if_times_are_equal() {
    let journal = [(1, "a"), (5, "b"), (5, "c"), (5, "d"), (7, "e"), (6, "f")];
    let new = |mut start: Start| -> String {
        let mut is_new = |(micros, cursor): &(i64, &str)| start.is_new(&entry(*micros, cursor));
        journal.iter().filter(|entry| is_new(entry)).map(|(_, cursor)| *cursor).collect()
    };
    // A clock that is set back hides no entry.
    assert_eq!(new(Start::after(&entry(5, "c"))), "def");
    assert_eq!(new(Start::after(&entry(5, "d"))), "ef");
    assert_eq!(new(Start::after(&entry(7, "e"))), "f");
    assert_eq!(new(Start::at(5)), "bcdef");
    // The last stored entry is no longer in the output.
    assert_eq!(new(Start::after(&entry(0, "z"))), "abcdef");
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
    let line = String::from_utf8(text.line()).unwrap();
    assert!(line.ends_with(":02.123456000  said  so"), "{line}");
    assert_eq!(entry("[255,10,7]").unwrap().text, [255, 10, 7]);
    assert_eq!(entry("null"), None);
    assert_eq!(Entry::read(b"no JSON", field), None);
}

/// All events so far, as `INDEXtext`.
fn events(followed: &mut FollowedJournal) -> Vec<String> {
    let mut events = Vec::new();
    while let Some((index, event)) = followed.next().unwrap() {
        events.push(match event {
            Event::Line(line) => {
                let line = String::from_utf8(line).unwrap();
                format!("{index}{}", line.rsplit_once("  ").unwrap().1)
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
    };
    let systemd = Systemd::new(store.root().clone(), Scope::User, setup, "".as_ref());
    // `cat` stands in for journalctl and prints its stdin.
    let mut cat = Command::new("cat");
    let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stored = vec![(1, entry(5, "s1"))];
    let mut followed = FollowedJournal::new(&systemd, &names, 6, stored, child).unwrap();
    assert_eq!(events(&mut followed), ["1text"]);

    let unit = |name: usize| systemd.names.unit(&names[name]);
    let lines = [
        // Older than the start, or already read.
        printed(&unit(0), 4, "s0", r#""old""#),
        printed(&unit(1), 5, "s1", r#""text""#),
        printed(&unit(1), 6, "s2", r#""one""#),
        printed("other.service", 6, "s3", r#""of another unit""#),
        printed(&unit(0), 7, "s4", r#""two""#),
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
