//! File systems that are mounted for one test, and vanish with it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// Calls `run` in a mount namespace of its own, which lasts as long as `run` and the processes that it starts. Needs root.
///
/// # Panics
///
/// If `run` panics, or if this process may not create the namespace.
pub fn private<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let alone = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            mount(&["--make-rprivate", "/"]);
            run()
        });
        alone.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `mount` with these arguments.
///
/// # Panics
///
/// If it fails.
#[track_caller]
pub fn mount(args: &[&str]) {
    let output = Command::new("mount").args(args).output().expect("mount runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Mounts the directory at `path` onto itself, so that it is a mount point with the same content.
///
/// # Panics
///
/// If `mount` fails.
#[track_caller]
pub fn bind(path: &Path) {
    let path = path.to_str().expect("a UTF-8 path");
    mount(&["--bind", path, path]);
}

/// Makes everything at `path` the lower layer of an overlay that is mounted there. `path` must be on a file system that
/// can be an upper layer.
///
/// # Panics
///
/// If `mount` fails.
#[track_caller]
pub fn overlay(path: &Path) {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|layer| path.with_extension(layer));
    fs::rename(path, &lower).expect("a rename");
    for directory in [path, &upper, &work] {
        fs::create_dir(directory).expect("a directory");
    }
    for directory in [path, &upper] {
        // The root of an overlay has the owner and mode of the upper layer's.
        Command::new("chown")
            .arg("--reference")
            .args([&*lower, directory])
            .status()
            .expect("chown");
    }
    let layers = [("lowerdir", &lower), ("upperdir", &upper), ("workdir", &work)];
    let options = layers.map(|(name, path)| format!("{name}={}", path.display())).join(",");
    mount(&["-t", "overlay", "-o", &options, "overlay", path.to_str().expect("a UTF-8 path")]);
}
