//! Concurrent changes while a profile is exported or imported.

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hermes_core::Intent;
use hermes_core::archive::{Archive, Format, Limits};
use hermes_core::store::StoreError;
use rustix::fs::{CWD, RenameFlags};

use crate::kit::{BOTH, TestEnv, entries, name, unpacked, write};

/// A reader of an archive that calls `does` before every read.
struct Meanwhile<'a, F> {
    bytes: Cursor<&'a [u8]>,
    does: F,
}

impl<F: FnMut()> Read for Meanwhile<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.does)();
        let part = buffer.len().min(64);
        self.bytes.read(&mut buffer[..part])
    }
}

#[test]
fn a_running_import_blocks_no_command_and_is_not_a_leftover() {
    let env = TestEnv::new();
    let coder = env.create("coder");
    let mut noise = vec![0; 300_000];
    // Noise, which does not compress.
    let mut seed = 1_u32;
    noise.fill_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    });
    write(coder.home.path(), "logs/noise", &noise);
    let (bytes, _) = env.export(&coder, Format::Gzip);
    let mut made = 0;
    let slow = Meanwhile {
        bytes: Cursor::new(&bytes),
        does: || {
            assert_eq!(env.store.remove_leftovers().unwrap().removed, 0);
            if entries(&env.root().join("profiles")).len() > 2 && made == 0 {
                env.create("meanwhile");
                made += 1;
            }
        },
    };
    let archive = Archive::open(slow, Limits::default()).unwrap();
    let two = env.store.import(archive, &name("two"), Intent::Stopped).unwrap().profile;
    assert_eq!(fs::read(two.home.path().join("logs/noise")).unwrap(), noise);
    assert_eq!(made, 1);
    let meanwhile = env.store.get(&name("meanwhile")).unwrap();
    let ports = [&two, &meanwhile].map(|profile| env.store.port(profile).unwrap().unwrap());
    assert_ne!(ports[0], ports[1], "chosen at the end");

    // Another command creates the profile first.
    let slow = Meanwhile {
        bytes: Cursor::new(&bytes),
        does: || {
            if env.store.find(&name("three")).unwrap().is_none() {
                write(env.create("three").home.path(), "SOUL.md", "first");
            }
        },
    };
    let archive = Archive::open(slow, Limits::default()).unwrap();
    // The name is checked before the archive is unpacked, and again at the end.
    let error = env.store.import(archive, &name("three"), Intent::Stopped).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(env.profiles(), [".locks", "coder", "meanwhile", "three", "two"]);
    fs::create_dir(env.root().join("profiles/.hermes-killed")).unwrap();
    assert_eq!(env.store.remove_leftovers().unwrap().removed, 1, "the leftover of a killed import");
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let env = TestEnv::new();
    let coder = env.create("coder");
    write(coder.home.path(), "logs/much", vec![b'x'; 16 << 20]);
    let out = env.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let to = out.join("coder.tgz");
    loop {
        let ended = AtomicBool::new(false);
        // Creates the file after the export has begun, unless the export has already published its own.
        let (made, exported) = thread::scope(|scope| {
            let other = scope.spawn(|| {
                while entries(&out).is_empty() && !ended.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
                let mut made = fs::File::create_new(&to).ok()?;
                made.write_all(b"somebody's").unwrap();
                Some(made)
            });
            let ends = Ends(&ended);
            let exported = env.store.export(&coder, &[], &to, Format::Gzip, false);
            drop(ends);
            (other.join().unwrap().is_some(), exported)
        });
        if made {
            let error = exported.unwrap_err();
            assert!(matches!(error, StoreError::FileExists { .. }), "{error}");
            break;
        }
        // The export was faster than the other thread: try again.
        exported.unwrap();
        fs::remove_file(&to).unwrap();
    }
    assert_eq!(fs::read_to_string(&to).unwrap(), "somebody's");
    assert_eq!(entries(&out), ["coder.tgz"]);
}

/// Ends the other thread even if this one panics, since the scope would wait for it forever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_changing_file_is_stored_whole() {
    let env = TestEnv::new();
    let coder = env.create("coder");
    let home = coder.home.path();
    write(home, "logs/steady", "steady");
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0_usize;
            while !ended.load(Ordering::Relaxed) {
                round += 1;
                // The file grows and shrinks; a directory appears and disappears.
                write(home, "logs/changing", vec![b'x'; (round % 7) * 30_000]);
                write(home, "logs/fleeting/deep/file", "x");
                fs::remove_dir_all(home.join("logs/fleeting")).unwrap();
            }
        });
        let _ends = Ends(&ended);
        for round in 0..60 {
            let (bytes, _) = env.export(&coder, BOTH[round % 2]);
            let again = unpacked(&bytes);
            assert_eq!(fs::read(again.path().join("logs/steady")).unwrap(), b"steady");
        }
    });
}

#[test]
fn a_link_in_a_files_place_is_not_followed() {
    let env = TestEnv::new();
    let coder = env.create("coder");
    let home = &coder.home.logs();
    let outside = env.dir.path().join("outside");
    write(&outside, "f", "outside-outside");
    write(home, "d/f", "inside");
    write(home, "f", "inside");
    symlink(&outside, home.join("swap-d")).unwrap();
    symlink(outside.join("f"), home.join("swap-f")).unwrap();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for (a, b) in [("d", "swap-d"), ("f", "swap-f")] {
                    let (a, b) = (home.join(a), home.join(b));
                    rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
                }
            }
        });
        let _ends = Ends(&ended);
        for _ in 0..500 {
            let (bytes, _) = env.export(&coder, Format::Gzip);
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut text).unwrap();
            let found = text.windows(15).any(|window| window == b"outside-outside");
            assert!(!found, "the export followed a link");
        }
    });
}
