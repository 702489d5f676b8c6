//! What s6-log does to its directory, step by step, under a follower.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;

use super::*;

/// A log directory, and what s6-log would do to it.
struct Logger {
    dir: TempDir,
    keeps: usize,
    rotations: usize,
}

impl Logger {
    fn new(keeps: usize) -> Self {
        let logger = Self { dir: tempfile::tempdir().unwrap(), keeps, rotations: 0 };
        logger.say("");
        logger
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn say(&self, text: &str) {
        let mut options = fs::OpenOptions::new();
        let mut file = options.append(true).create(true).open(self.path("current")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn begin_rotation(&self) {
        fs::rename(self.path("current"), self.path("previous")).unwrap();
    }

    fn link(&mut self) {
        self.rotations += 1;
        let name = format!("@40000000{:016x}.s", self.rotations);
        fs::hard_link(self.path("previous"), self.path(&name)).unwrap();
    }

    fn trim(&self) {
        fs::remove_file(self.path("previous")).unwrap();
        let seen = Snapshot::take(self.dir.path()).unwrap().unwrap();
        let surplus = seen.archives.len().saturating_sub(self.keeps);
        for name in seen.archives.iter().take(surplus) {
            fs::remove_file(self.dir.path().join(name)).unwrap();
        }
    }

    fn rotate(&mut self) {
        self.begin_rotation();
        self.say("");
        self.link();
        self.trim();
    }

    fn follow(&self, last: usize) -> Following {
        self.follow_with(last, Watch::new())
    }

    fn follow_with(&self, last: usize, mut watch: Watch) -> Following {
        let follower = begin(self.dir.path(), last, &mut watch);
        Following { follower, watch }
    }
}

fn begin(path: &Path, last: usize, watch: &mut Watch) -> Follower {
    Follower::begin(path, &Selection::last(last), &TimeZone::UTC, watch).unwrap()
}

struct Following {
    follower: Follower,
    watch: Watch,
}

impl Following {
    /// All there is now, in one line.
    fn told(&mut self) -> String {
        let mut told = Vec::new();
        loop {
            match self.follower.next(&mut self.watch).unwrap() {
                Some(Event::Line(line)) => told.push(String::from_utf8(line.text).unwrap()),
                Some(Event::Removed(Removed { archives, exact: true })) => {
                    told.push(format!("[{archives}]"));
                }
                Some(Event::Removed(Removed { archives, .. })) => {
                    told.push(format!("[>={archives}]"));
                }
                Some(Event::Ended) => panic!("a directory does not know its profile"),
                None => return told.join(" "),
            }
        }
    }
}

#[test]
fn a_line_is_told_when_it_is_whole() {
    let logger = Logger::new(3);
    let mut following = logger.follow(10);
    logger.say("a\nb");
    assert_eq!(following.told(), "a");
    logger.say("c\n");
    assert_eq!(following.told(), "bc");
    assert_eq!(following.told(), "");
}

#[test]
fn each_step_of_a_rotation_leaves_everything_told_once() {
    let mut logger = Logger::new(3);
    let mut following = logger.follow(10);
    let mut expected = Vec::new();
    for step in 0..5 {
        // Looked at after this step of a rotation alone, and before the others.
        let mut look = |at: usize| if at == step { following.told() } else { String::new() };
        let mut told = Vec::new();
        logger.say(&format!("{step}a\n"));
        told.push(look(0));
        logger.begin_rotation();
        told.push(look(1));
        logger.say(&format!("{step}b\n"));
        told.push(look(2));
        logger.link();
        told.push(look(3));
        logger.trim();
        told.push(look(4));
        told.push(following.told());
        expected.push(told.into_iter().filter(|told| !told.is_empty()).collect::<Vec<_>>());
    }
    let told: Vec<_> = expected.into_iter().map(|told| told.join(" ")).collect();
    assert_eq!(told, ["0a 0b", "1a 1b", "2a 2b", "3a 3b", "4a 4b"]);
}

#[test]
fn several_rotations_between_two_looks_are_told_in_order() {
    let mut logger = Logger::new(3);
    let mut following = logger.follow(10);
    for line in ["a", "b", "c"] {
        logger.say(&format!("{line}\n"));
        logger.rotate();
    }
    logger.say("d\n");
    assert_eq!(following.told(), "a b c d");
    logger.rotate();
    logger.say("e\n");
    assert_eq!(following.told(), "e");
}

#[test]
fn what_was_removed_unread_is_counted_and_no_more() {
    let mut logger = Logger::new(2);
    let mut following = logger.follow(10);
    // The file that is being read, and two more: nothing is missing even though it is gone.
    for line in ["a", "b", "c"] {
        logger.say(&format!("{line}\n"));
        logger.rotate();
    }
    logger.say("d\n");
    assert_eq!(following.told(), "a b c d");
    // Of d (read) e f g h i, the last two are left.
    for line in ["e", "f", "g", "h", "i"] {
        logger.rotate();
        logger.say(&format!("{line}\n"));
    }
    logger.rotate();
    logger.say("j\n");
    assert_eq!(following.told(), "[3] h i j");
    logger.rotate();
    logger.say("k\n");
    assert_eq!(following.told(), "k");
}

#[test]
fn what_nobody_announced_is_not_counted() {
    let mut logger = Logger::new(1);
    let mut following = logger.follow_with(10, Watch::blind());
    logger.say("a\n");
    logger.rotate();
    logger.say("b\n");
    assert_eq!(following.told(), "a b");
    for line in ["c", "d", "e"] {
        logger.rotate();
        logger.say(&format!("{line}\n"));
    }
    assert_eq!(following.told(), "[>=0] d e");
}

#[test]
fn a_logger_that_died_in_a_rotation_leaves_a_file_without_a_name() {
    let mut logger = Logger::new(3);
    logger.say("a\n");
    logger.begin_rotation();
    let mut following = logger.follow(10);
    assert_eq!(following.told(), "a");
    assert_eq!(following.told(), "");
    // The next logger names it, and begins.
    logger.link();
    logger.trim();
    logger.say("b\n");
    assert_eq!(following.told(), "b");
}

#[test]
fn half_a_line_that_a_killed_logger_left_is_a_line() {
    let mut logger = Logger::new(3);
    let mut following = logger.follow(10);
    logger.say("a\nhal");
    assert_eq!(following.told(), "a");
    logger.rotate();
    logger.say("b\n");
    assert_eq!(following.told(), "hal b");
}

#[test]
fn the_last_lines_come_from_as_many_files_as_they_take() {
    let mut logger = Logger::new(5);
    for line in ["a", "b", "c"] {
        logger.say(&format!("{line}1\n{line}2\n"));
        logger.rotate();
    }
    assert_eq!(logger.follow(3).told(), "b2 c1 c2");
    let mut following = logger.follow(0);
    assert_eq!(following.told(), "");
    logger.say("d");
    assert_eq!(logger.follow(1).told(), "c2");
    logger.say("1\n");
    assert_eq!(following.told(), "d1");
}

#[test]
fn a_directory_may_come_later_and_go() {
    let mut logger = Logger::new(3);
    logger.say("a\n");
    let (path, away) = (logger.dir.path().join("x/y"), logger.dir.path().join("away"));
    let mut watch = Watch::new();
    let follower = begin(&path, 10, &mut watch);
    let mut following = Following { follower, watch };
    assert_eq!(following.told(), "");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("current"), "one\n").unwrap();
    assert_eq!(following.told(), "one");
    fs::rename(&path, &away).unwrap();
    fs::write(away.join("current"), "one\ntwo\n").unwrap();
    assert_eq!(following.told(), "two");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("current"), "three\n").unwrap();
    assert_eq!(following.told(), "three");
    logger.rotate();
}

#[test]
fn every_change_wakes_who_waits() {
    let mut logger = Logger::new(3);
    let mut following = logger.follow(10);
    let path = logger.path("none/log");
    let mut watch = Watch::new();
    let follower = begin(&path, 10, &mut watch);
    let mut later = Following { follower, watch };
    let wakes = |following: &mut Following, told: &str| {
        let fd = following.watch.fd().unwrap();
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec::default();
        assert_eq!(rustix::event::poll(&mut fds, Some(&now)).unwrap(), 1, "for {told:?}");
        assert_eq!(following.told(), told);
    };
    assert_eq!(following.told(), "");
    logger.say("a\n");
    wakes(&mut following, "a");
    logger.rotate();
    wakes(&mut following, "");
    logger.say("b\n");
    wakes(&mut following, "b");
    fs::create_dir(logger.path("none")).unwrap();
    wakes(&mut later, "");
    fs::create_dir(&path).unwrap();
    wakes(&mut later, "");
    fs::write(path.join("current"), "x\n").unwrap();
    wakes(&mut later, "x");
}

#[test]
fn what_was_taken_in_while_looking_is_to_be_looked_at_again() {
    let logger = Logger::new(3);
    let mut following = logger.follow(10);
    following.told();
    following.watch.max_wait();
    logger.say("a\n");
    assert_eq!(following.told(), "a");
    assert_eq!(following.watch.max_wait(), Some(std::time::Duration::ZERO));
    assert_eq!(following.told(), "");
    assert_eq!(following.watch.max_wait(), None);
}

#[test]
fn what_is_told_does_not_depend_on_when_it_is_looked_at() {
    let mut logger = Logger::new(50);
    let mut following = logger.follow(10);
    let (last, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut told = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in 0..6_000 {
                logger.say(&format!("{line}\n"));
                if line % 2 == 0 {
                    logger.rotate();
                }
                // So far ahead that many files may be new, and none is removed unread.
                while line > last.load(Ordering::Relaxed) + 40 {
                    std::thread::yield_now();
                }
            }
            done.store(true, Ordering::Release);
        });
        loop {
            let is_all = done.load(Ordering::Acquire);
            match following.follower.next(&mut following.watch).unwrap() {
                Some(Event::Line(line)) => {
                    let line = String::from_utf8(line.text).unwrap().parse().unwrap();
                    last.store(line, Ordering::Relaxed);
                    told.push(line);
                }
                Some(_) => told.push(usize::MAX),
                None if is_all => break,
                None => {}
            }
        }
    });
    let unexpected = told.iter().enumerate().find(|(at, line)| at != *line);
    assert_eq!((unexpected, told.len()), (None, 6_000));
}

#[test]
fn what_went_with_the_directory_is_told_as_far_as_it_is_known() {
    let mut logger = Logger::new(9);
    let mut following = logger.follow(10);
    logger.say("a\n");
    assert_eq!(following.told(), "a");
    assert_eq!(following.follower.end(&mut following.watch).unwrap(), None);
    for _ in 0..3 {
        logger.rotate();
    }
    fs::remove_dir_all(logger.dir.path()).unwrap();
    assert_eq!(following.told(), "");
    let removed = Removed { archives: 2, exact: false };
    assert_eq!(following.follower.end(&mut following.watch).unwrap(), Some(removed));
}
