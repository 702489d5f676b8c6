//! A profile with invalid files does not affect others: every command ends, in bounded memory and without a
//! panic, names the problem, and the other profile comes up.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hermes_tests::{Outcome, Svscan, TestEnv, chmod, eventually};
use rustix::fs::{CWD, FileType, Mode};

/// Objects that may replace a file.
const POISONS: [&str; 7] =
    ["fifo", "endless device", "too large", "binary", "deep", "directory", "link to itself"];

fn poison(env: &TestEnv, path: &Path, with: &str) {
    match with {
        "fifo" => {
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).expect("a FIFO");
        }
        "endless device" => return symlink("/dev/zero", path).expect("a link"),
        "link to itself" => return symlink(path, path).expect("a link"),
        // Sparse: uses no disk space.
        "too large" => fs::File::create(path).and_then(|it| it.set_len(1 << 40)).expect("a file"),
        "binary" => {
            fs::write(path, (0..=255).cycle().take(9999).collect::<Vec<u8>>()).expect("one")
        }
        "deep" => fs::write(path, "[".repeat(500_000)).expect("a file"),
        _ => fs::create_dir(path).expect("a directory"),
    }
    env.give(path);
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
}

/// Runs a command with 2 GiB of address space, which must end.
#[track_caller]
fn ends(env: &TestEnv, line: &str, scene: &str) -> Outcome {
    let mut running = env.shell(&format!("ulimit -v 2097152; exec hermes {line}")).spawn();
    eventually(&format!("`hermes {line}` ends, {scene}"), || running.has_ended().then_some(()));
    let outcome = running.wait();
    assert!(matches!(outcome.code(), Some(0..=6)), "{scene}: {outcome}");
    assert!(!outcome.stderr.contains("panicked"), "{scene}: {outcome}");
    outcome
}

#[test]
fn no_file_of_a_profile_blocks_a_command() {
    let tree = Svscan::start();
    let env = &tree.env;
    for name in ["bad", "good"] {
        env.profile_running(name, "exec sleep 600");
    }
    let bad = env.profile("bad");
    for file in ["gateway.intent", "gateway_state.json", "config.yaml", ".env", "gateway.fault"] {
        for with in POISONS {
            let scene = format!("`{file}` is a {with}");
            let path = bad.join(file);
            let kept = fs::read(&path).ok();
            remove(&path);
            // The intent would be read first.
            if file == "gateway_state.json" {
                remove(&bad.join("gateway.intent"));
            }
            poison(env, &path, with);
            env.write(&env.profile("good").join("gateway.intent"), "running");
            ends(env, "profile list", &scene);
            let status = ends(env, "gateway status --all", &scene);
            assert!(status.stdout.contains("good"), "{scene}: {status}");
            ends(env, "boot --timeout 30", &scene);
            let state = &tree.status("good")["state"];
            assert_eq!(state, "up", "{scene}");
            let doctor = ends(env, "doctor --json", &scene);
            let told = doctor.stdout.contains(path.to_str().expect("UTF-8"));
            let matters = matches!(file, "gateway.intent" | "gateway_state.json" | "config.yaml");
            assert!(told || !matters, "{scene}: {doctor}");
            // A file that blocks one command that starts something blocks the others.
            if with == "fifo" {
                ends(env, "gateway start bad --timeout 2", &scene);
                ends(env, "gateway stop bad --timeout 30", &scene);
                ends(env, "gateway stop good", &scene);
            }
            remove(&path);
            if let Some(kept) = kept {
                fs::write(&path, kept).expect("a file");
                env.give(&path);
                chmod(&path, 0o600);
            }
            env.write(&bad.join("gateway.intent"), "stopped");
        }
    }
}

#[test]
fn no_file_of_a_home_or_slot_blocks_a_command() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("a", "exec sleep 600");
    env.hermes(["gateway", "start", "a"]).ok();
    let gateway = hermes_tests::pid(&tree.status("a"));
    let slot = env.slot("a");
    let logs = env.home().join("logs");
    for path in [
        env.home().join("active_profile"),
        env.home().join("profiles/.hermes-left"),
        env.home().join("profiles/.mv-a"),
        env.home().join("profiles/stranger"),
        logs.join("container-boot.log"),
        slot.join("data/parked"),
        slot.join("data/generation"),
        slot.join("data/backoff"),
        slot.join("timeout-kill"),
    ] {
        for with in POISONS {
            let scene = format!("`{}` is a {with}", path.display());
            let kept = fs::read(&path).ok();
            remove(&path);
            poison(env, &path, with);
            for line in ["profile list", "gateway status a", "gateway logs a", "doctor --json"] {
                ends(env, line, &scene);
            }
            // The first boot of a tree writes the boot log.
            remove(&env.scandir().join(".hermes.booted"));
            ends(env, "boot --timeout 30", &scene);
            assert!(hermes_tests::is_alive(gateway), "{scene}");
            remove(&path);
            if let Some(kept) = kept {
                env.write(&path, &String::from_utf8(kept).expect("UTF-8"));
            }
        }
    }
}
