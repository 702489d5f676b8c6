//! Commands write a `config.yaml` wherever its operator keeps it: behind links, on a mount, in a closed directory.

#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use hermes_tests::{
    Hermes, Outcome, TestEnv, alone, chmod, hermes_program, is_one_clear_error, mounts, names,
    require_root, short,
};

const TEXT: &str = "# mine\ngateway:\n  port: 9000 # here\n";

/// The profile `a`, and the file `NAME` with [`TEXT`] in a directory of dotfiles, which `config.yaml` is to be.
fn scene(name: &str) -> (TestEnv, PathBuf, PathBuf) {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    let config = env.profile("a").join("config.yaml");
    fs::remove_file(&config).expect("it was created");
    let dotfiles = env.path().join("dotfiles");
    env.make_directory(&dotfiles);
    let file = dotfiles.join(name);
    env.write(&file, TEXT);
    chmod(&file, 0o640);
    (env, config, file)
}

fn link(env: &TestEnv, target: &Path, link: &Path) {
    symlink(target, link).expect("a link");
    env.give(link);
}

fn set_port(env: &TestEnv) -> Outcome {
    alone(env, ["profile", "port", "a", "9123"]).run()
}

#[track_caller]
fn is_written(file: &Path, outcome: &Outcome) {
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(fs::read_to_string(file).expect("it is there"), TEXT.replace("9000", "9123"));
    let mode = fs::metadata(file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn links_stay_and_lead_to_the_new_text() {
    for steps in 1..4 {
        let (env, config, file) = scene("hermes.yaml");
        let mut target = file.clone();
        for step in 1..steps {
            let next = env.path().join(format!("dotfiles/step{step}"));
            link(&env, &target, &next);
            target = next;
        }
        // The last one is relative, as those that people make.
        let name = target.file_name().expect("a name");
        link(&env, &Path::new("../../../dotfiles").join(name), &config);
        is_written(&file, &set_port(&env));
        assert!(config.is_symlink() && !file.is_symlink());
        assert_eq!(names(file.parent().unwrap()).len(), steps, "no copy is left");
        assert!(!names(&env.profile("a")).iter().any(|name| name.contains("before")));
    }
}

#[test]
fn a_link_to_nothing_is_an_error() {
    let (env, config, file) = scene("hermes.yaml");
    for target in [file.with_extension("gone"), config.clone()] {
        link(&env, &target, &config);
        let outcome = set_port(&env);
        is_one_clear_error(&outcome);
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        let told = short(&env, &outcome.stderr);
        assert!(
            told.contains("failed to write the port into `W/home/profiles/a/config.yaml`"),
            "{told}"
        );
        assert!(config.is_symlink() && !target.exists());
        fs::remove_file(&config).expect("the link");
    }
}

#[test]
fn a_mounted_file_is_overwritten() {
    require_root!();
    mounts::private(|| {
        let (env, config, file) = scene("hermes.yaml");
        env.write(&config, "");
        mounts::mount(&["--bind", file.to_str().unwrap(), config.to_str().unwrap()]);
        is_written(&file, &set_port(&env));
        is_written(&config, &alone(&env, ["profile", "port", "a"]).run());
        assert!(!names(&env.profile("a")).iter().any(|name| name.contains("before")));
        // Without a directory for the copy nothing is overwritten.
        chmod(&env.profile("a"), 0o555);
        let outcome = alone(&env, ["profile", "port", "a", "9200"]).run();
        chmod(&env.profile("a"), 0o755);
        is_one_clear_error(&outcome);
        assert!(outcome.stderr.contains("no copy for overwriting it can be made"), "{outcome}");
        is_written(&file, &alone(&env, ["profile", "port", "a"]).run());
    });
}

/// A longer text that has no room, where the shorter one has it.
#[test]
fn a_mounted_file_on_a_full_disk_keeps_its_text() {
    require_root!();
    mounts::private(|| {
        let (env, config, file) = scene("hermes.yaml");
        let disk = file.parent().unwrap().join("disk");
        env.make_directory(&disk);
        mounts::mount(&["-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs", disk.to_str().unwrap()]);
        // A page of memory, all of whose bytes are in use.
        let mut text = TEXT.replace("9000", "900") + "# ";
        text.extend(std::iter::repeat_n('x', 4096 - text.len()));
        let full = disk.join("hermes.yaml");
        env.write(&full, &text);
        let before = fs::read_to_string(&full).unwrap();
        env.write(&config, "");
        mounts::mount(&["--bind", full.to_str().unwrap(), config.to_str().unwrap()]);
        let _ = fs::write(disk.join("filler"), vec![0; 1 << 20]);
        let outcome = alone(&env, ["profile", "port", "a", "65000"]).run();
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        is_one_clear_error(&outcome);
        assert_eq!(fs::read_to_string(&full).unwrap(), before, "{outcome}");
        assert!(!names(&env.profile("a")).iter().any(|name| name.contains("before")));
    });
}

#[test]
fn a_file_in_a_closed_directory_is_overwritten() {
    require_root!();
    let (env, config, file) = scene("hermes.yaml");
    link(&env, &file, &config);
    chmod(file.parent().unwrap(), 0o555);
    is_written(&file, &set_port(&env));
    assert_eq!(names(file.parent().unwrap()), ["hermes.yaml"]);
    assert!(!names(&env.profile("a")).iter().any(|name| name.contains("before")));
    // Another user's file stays.
    std::os::unix::fs::chown(&file, Some(0), Some(0)).unwrap();
    chmod(&file, 0o644);
    let before = fs::read_to_string(&file).unwrap();
    let outcome = alone(&env, ["profile", "port", "a", "9300"]).fails_with(5);
    is_one_clear_error(&outcome);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn the_owner_of_the_file_stays() {
    require_root!();
    let (env, config, file) = scene("hermes.yaml");
    link(&env, &file, &config);
    let owner = || fs::metadata(&file).map(|of| (of.uid(), of.gid())).expect("it is there");
    // Root can give the new file to the owner of the old one.
    chown(&file, Some(10_001), Some(10_002)).unwrap();
    let mut command = Command::new(hermes_program());
    command.env("HERMES_HOME", env.home()).env("HERMES_AS_ROOT", "1");
    command.env_remove("HERMES_SCANDIR").args(["profile", "port", "a", "9123"]);
    is_written(&file, &Hermes::new(command).run());
    assert_eq!(owner(), (10_001, 10_002));
    // Its own user can't, and overwrites the file, or leaves it.
    for (mode, code) in [(0o666, 0), (0o644, 5)] {
        fs::write(&file, TEXT).unwrap();
        chmod(&file, mode);
        let outcome = set_port(&env);
        assert_eq!(outcome.code(), Some(code), "{outcome}");
        let expected = if code == 0 { TEXT.replace("9000", "9123") } else { TEXT.to_owned() };
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
        assert_eq!(owner(), (10_001, 10_002));
        assert_eq!(names(file.parent().unwrap()), ["hermes.yaml"]);
    }
}

#[test]
fn a_copy_of_the_former_text_survives_a_failed_write() {
    require_root!();
    for injection in ["ftruncate:error=EIO", "ftruncate:signal=KILL"] {
        mounts::private(|| {
            let (env, config, _) = scene("hermes.yaml");
            env.write(&config, TEXT);
            mounts::bind(&config);
            let line = ["profile", "port", "a", "9123"];
            let outcome = env.hermes_injected(&[injection], line).run();
            assert_ne!(outcome.code(), Some(0), "{outcome}");
            // `boot` removes leftovers.
            alone(&env, ["boot"]).run();
            let mut copies = names(&env.profile("a"));
            copies.retain(|name| name.starts_with(".config.yaml.before-"));
            let [copy] = &copies[..] else { panic!("{copies:?}: {outcome}") };
            let copy = env.profile("a").join(copy);
            assert_eq!(fs::read_to_string(&copy).unwrap(), TEXT);
            if injection.contains("EIO") {
                is_one_clear_error(&outcome);
                let named = format!("`{}` has its former text", copy.display());
                assert!(outcome.stderr.contains(&named), "{outcome}");
            }
        });
    }
}
