//! The removal of a slot while something else changes it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hermes_s6::ScanDir;
use hermes_tests::Svscan;

/// A supervisor that s6-svscan starts at the moment of a removal fills the directory meanwhile.
#[test]
fn what_fills_a_slot_meanwhile_does_not_hinder_its_removal() {
    let tree = Svscan::start();
    let env = &tree.env;
    let scandir = ScanDir::new(env.scandir());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..50_000).take_while(|_| !done.load(Ordering::Relaxed)) {
                for hidden in scandir.hidden().unwrap_or_default() {
                    if hidden.join("data").exists() {
                        // The directory may be gone by now.
                        let _ = fs::create_dir(hidden.join(format!("late{n}")));
                    }
                }
            }
        });
        let outcomes = [(); 24].map(|()| {
            let slot = env.slot("gone");
            let parts = (0..99).map(|n| slot.join(format!("data/{n}")));
            let all = [slot.clone(), slot.join("data")].into_iter().chain(parts);
            all.for_each(|part| env.make_directory(&part));
            env.hermes(["boot"]).run()
        });
        done.store(true, Ordering::Relaxed);
        outcomes.iter().for_each(|outcome| assert_eq!(outcome.code(), Some(0), "{outcome}"));
    });
    assert_eq!(scandir.hidden().expect("it is readable"), Vec::<PathBuf>::new());
}
