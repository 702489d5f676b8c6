//! The logs of several profiles, read and followed as one.

use fs_err as fs;
use tempfile::TempDir;

use super::*;
use crate::Intent;
use crate::log::line::Line;

/// A home with the profiles `a` and `b`.
struct Home {
    _dir: TempDir,
    store: Store,
    names: [ProfileName; 2],
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(RootHome::new(dir.path().join("home")));
        let names = ["a", "b"].map(|name| name.parse().unwrap());
        names.iter().for_each(|name| drop(store.create(name, None, Intent::Stopped).unwrap()));
        Self { _dir: dir, store, names }
    }

    fn logs(&self) -> LogFiles {
        LogFiles::new(self.store.root().clone(), TimeZone::UTC)
    }

    /// Writes the log of a profile; a line `x@05` gets a stamp.
    fn write(&self, place: usize, lines: &[&str]) {
        let directory = self.logs().directory(&self.names[place]);
        fs::create_dir_all(&directory).unwrap();
        let line = |line: &&str| match line.split_once('@') {
            Some((text, second)) => format!("2026-01-02 03:04:{second}.000000000  {text}\n"),
            None => format!("{line}\n"),
        };
        fs::write(directory.join("current"), lines.iter().map(line).collect::<String>()).unwrap();
    }

    fn read(&self, last: Option<usize>) -> Vec<String> {
        let lines =
            self.logs().read(&self.names, &Selection { last, ..Selection::default() }).unwrap();
        lines.map(Result::unwrap).map(|(place, line)| shown(place, &line)).collect()
    }
}

fn shown(place: usize, line: &Line) -> String {
    format!("{place}{}", str::from_utf8(&line.text).unwrap())
}

fn events(followed: &mut dyn Follow) -> Vec<String> {
    let mut events = Vec::new();
    while let Some((place, event)) = followed.next().unwrap() {
        events.push(match event {
            Event::Line(line) => shown(place, &line),
            other => format!("{place}{other:?}"),
        });
    }
    events
}

#[test]
fn lines_of_several_logs_are_read_in_the_order_of_time() {
    let home = Home::new();
    assert_eq!(home.read(None), [""; 0]);
    home.write(1, &["x@01", "y", "z@04"]);
    let exists = |place: usize| home.logs().exists(&home.names[place]).unwrap();
    assert_eq!([exists(0), exists(1)], [false, true]);
    home.write(0, &["m@02", "n@03"]);
    assert_eq!(home.read(None), ["1x", "1y", "0m", "0n", "1z"]);
    assert_eq!(home.read(Some(1)), ["0n", "1z"]);
    // As launchd writes them.
    home.write(0, &["m", "n"]);
    assert_eq!(home.read(None), ["0m", "0n", "1x", "1y", "1z"]);
}

#[test]
fn a_log_ends_with_its_profile_and_the_others_go_on() {
    let home = Home::new();
    home.write(1, &["x@01", "y@02"]);
    let mut followed = home.logs().follow(&home.names, &Selection::last(1)).unwrap();
    assert_eq!(events(&mut *followed), ["1y"]);
    home.write(0, &["m@03"]);
    home.write(1, &["x@01", "y@02", "z@04"]);
    assert_eq!(events(&mut *followed), ["0m", "1z"]);
    home.write(1, &["x@01", "y@02", "z@04", "last@05"]);
    home.store.delete(&home.names[1], true).unwrap();
    assert_eq!(events(&mut *followed), ["1last", "1Ended"]);
    // What another profile of the same name logs is not its log.
    home.store.create(&home.names[1], None, Intent::Stopped).unwrap();
    home.write(1, &["x@01", "y@02", "z@04", "last@05", "anew@06"]);
    home.write(0, &["m@03", "n@07"]);
    assert_eq!(events(&mut *followed), ["0n"]);
}

#[test]
fn the_archives_that_went_with_a_profile_are_reported_before_the_end() {
    let home = Home::new();
    home.write(1, &["x"]);
    let mut followed = home.logs().follow(&home.names, &Selection::last(1)).unwrap();
    assert_eq!(events(&mut *followed), ["1x"]);
    let directory = home.logs().directory(&home.names[1]);
    for number in 0..2 {
        let archive = directory.join(format!("@40000000{number:016x}.s"));
        let previous = directory.join("previous");
        fs::rename(directory.join("current"), &previous).unwrap();
        fs::hard_link(&previous, archive).unwrap();
        fs::remove_file(previous).unwrap();
        home.write(1, &["unread"]);
    }
    home.store.delete(&home.names[1], false).unwrap();
    let removed = Event::Removed(crate::log::Removed { archives: 1, exact: false });
    assert_eq!(events(&mut *followed), [format!("1{removed:?}"), "1Ended".to_owned()]);
}
