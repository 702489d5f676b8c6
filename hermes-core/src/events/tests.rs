//! Tests of the journal: nothing is lost, nothing is read twice, no link is followed.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::OpenOptions;

use super::journal::ROTATE_AT;
use super::*;
use crate::home::RootHome;

fn journal_in(dir: &tempfile::TempDir) -> (Journal, PathBuf) {
    let root = RootHome::new(dir.path());
    (Journal::new(&root), root.events())
}

fn event(why: String) -> Event {
    let profile = "coder".parse().unwrap();
    Event { time: Timestamp::UNIX_EPOCH, profile, event: What::Died, why }
}

fn follow(journal: &Journal) -> Follow {
    Follow::new(journal.clone(), Vec::new())
}

/// The reasons of the events that have not been read yet.
fn unread(follow: &mut Follow) -> Vec<String> {
    std::iter::from_fn(|| follow.take().unwrap().map(|event| event.why)).collect()
}

#[test]
fn an_event_is_one_line_that_reads_back() {
    let event = event("two\nlines".into());
    let line = serde_json::to_string(&event).unwrap();
    insta::assert_snapshot!(line, @r#"{"time":"1970-01-01T00:00:00Z","profile":"coder","event":"died","why":"two\nlines"}"#);
    assert_eq!(parse(line.as_bytes()), Some(event));
    for what in What::ALL {
        assert_eq!(serde_json::to_value(what).unwrap(), what.word());
    }
}

#[test]
fn writers_at_the_same_time_lose_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, path) = journal_in(&dir);
    thread::scope(|scope| {
        for writer in 0..4 {
            let journal = journal.clone();
            scope.spawn(move || {
                for i in 0..100 {
                    journal.append(&event(format!("{writer} {i}")), ROTATE_AT).unwrap();
                }
            });
        }
    });
    let mut next = BTreeMap::new();
    for why in unread(&mut follow(&journal)) {
        let (writer, i) = why.split_once(' ').unwrap();
        let next = next.entry(writer.to_owned()).or_insert(0);
        assert_eq!(i, next.to_string(), "the events of one writer, in order");
        *next += 1;
    }
    assert_eq!(next.into_values().collect::<Vec<_>>(), [100; 4]);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_rotation_loses_no_event_for_a_follower() {
    // Some ten events.
    const LIMIT: u64 = 1000;
    const EVENTS: usize = 2000;
    let dir = tempfile::tempdir().unwrap();
    let (journal, path) = journal_in(&dir);
    let mut follow = self::follow(&journal);
    // The writers are at most five events ahead, which is less than a file has.
    let (sender, receiver) = mpsc::sync_channel(3);
    thread::scope(move |scope| {
        for _ in 0..2 {
            let (journal, sender) = (journal.clone(), sender.clone());
            scope.spawn(move || {
                for i in 0..EVENTS / 2 {
                    sender.send(()).unwrap_or_default();
                    journal.append(&event(i.to_string()), LIMIT).unwrap();
                }
            });
        }
        drop(sender);
        let (mut read, deadline) = (0, Instant::now() + Duration::from_secs(60));
        while read < EVENTS {
            let new = unread(&mut follow).len();
            read += new;
            // Without a receiver the writers end.
            assert!(Instant::now() < deadline, "{read} of {EVENTS} events");
            (0..new).for_each(|_| receiver.recv().unwrap());
        }
        assert!(unread(&mut follow).is_empty(), "each once");
    });
    let kept =
        [path.clone(), path.with_added_extension("1")].map(|path| fs::metadata(path).unwrap());
    assert!(kept.iter().all(|file| file.len() < LIMIT + 200), "{kept:?}");
}

#[test]
fn a_reader_that_missed_a_rotation_reads_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = journal_in(&dir);
    let mut follow = self::follow(&journal);
    let append = |i: usize| journal.append(&event(i.to_string()), 150).unwrap();
    append(0);
    assert_eq!(unread(&mut follow), ["0"]);
    // Each file has two events.
    (1..6).for_each(append);
    assert_eq!(unread(&mut follow), ["1", "2", "3", "4", "5"]);
    (6..12).for_each(append);
    assert_eq!(unread(&mut follow), ["8", "9", "10", "11"], "6 and 7 are gone");
}

#[test]
fn a_torn_line_costs_no_other_event() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, path) = journal_in(&dir);
    let mut follow = self::follow(&journal);
    let append = |why: &str| journal.append(&event(why.into()), ROTATE_AT).unwrap();
    append("one");
    let tear = || {
        use std::io::Write;
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"time\":").unwrap();
    };
    tear();
    assert_eq!(unread(&mut follow), ["one"]);
    append("two");
    assert_eq!(unread(&mut follow), ["two"]);
    // A writer on a full disk takes back what it could write.
    let whole = fs::metadata(&path).unwrap().len();
    tear();
    assert!(unread(&mut follow).is_empty());
    OpenOptions::new().write(true).open(&path).unwrap().set_len(whole).unwrap();
    append("three");
    assert_eq!(unread(&mut follow), ["three"]);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    append("after it was emptied");
    assert_eq!(unread(&mut follow), ["after it was emptied"]);
}

#[test]
fn a_link_in_its_place_is_neither_written_nor_read() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, path) = journal_in(&dir);
    let elsewhere = dir.path().join("elsewhere");
    let line = serde_json::to_string(&event("of another".into())).unwrap() + "\n";
    fs::write(&elsewhere, &line).unwrap();
    fs::create_dir(dir.path().join("logs")).unwrap();
    symlink(&elsewhere, &path).unwrap();
    journal.append(&event("ours".into()), ROTATE_AT).unwrap_err();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), line);
    follow(&journal).take().unwrap_err();
    // Nor is its target created.
    let missing = dir.path().join("missing");
    fs::remove_file(&path).unwrap();
    symlink(&missing, &path).unwrap();
    journal.append(&event("ours".into()), ROTATE_AT).unwrap_err();
    assert!(!missing.exists());
    fs::remove_file(&path).unwrap();
    symlink(&elsewhere, &path).unwrap();
    // Nor in that of the older file: a rotation replaces the link.
    fs::rename(&path, path.with_added_extension("1")).unwrap();
    journal.append(&event("ours".into()), 10).unwrap();
    journal.append(&event("ours".into()), 10).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), line);
    assert_eq!(unread(&mut follow(&journal)), ["ours"; 2]);
}

#[test]
fn a_long_reason_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = journal_in(&dir);
    journal.record(&"coder".parse().unwrap(), What::Parked, "ä".repeat(5000));
    let event = follow(&journal).take().unwrap().unwrap();
    assert_eq!((event.why.chars().count(), event.event), (1001, What::Parked));
}
