//! Root on another user's home: root follows no link that this user may create, and becomes the user who controls
//! the path.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::Path;
use std::process::Command;

use hermes_tests::{Hermes, Outcome, TestEnv, chmod, hermes_program, require_root};

/// A `hermes` that root runs for the home at `home`.
fn as_root<'a>(home: &Path, args: impl IntoIterator<Item = &'a str>) -> Outcome {
    let mut command = Command::new(hermes_program());
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HERMES_HOME", home).args(args);
    Hermes::new(command).run()
}

/// A home that root owns, with a profile that root owns.
fn roots_own(env: &TestEnv) -> std::path::PathBuf {
    let own = env.path().join("roots-own");
    fs::create_dir_all(own.join("profiles/victim")).expect("a directory");
    fs::write(own.join("profiles/victim/SOUL.md"), "").expect("a file");
    own
}

/// Everything below `directory`, with its owner.
fn listing(directory: &Path) -> String {
    let found = Command::new("find").arg(directory).args(["-printf", "%P %U %m\n"]).output();
    let text = String::from_utf8(found.expect("find runs").stdout).expect("UTF-8");
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn a_home_swapped_for_a_link_is_not_roots() {
    require_root!();
    let env = TestEnv::new();
    let own = roots_own(&env);
    let before = listing(&own);
    // Three ways to swap: the home itself, a parent directory, and a link of root into the user's directory.
    let theirs = env.path().join("theirs");
    env.make_directory(&theirs);
    fs::remove_dir(env.home()).unwrap();
    symlink(&own, env.home()).unwrap();
    lchown(env.home(), Some(10_000), Some(10_000)).unwrap();
    symlink(env.path(), theirs.join("way")).unwrap();
    let roots = tempfile::tempdir().unwrap();
    symlink(theirs.join("way/roots-own"), roots.path().join("link")).unwrap();
    for home in [env.home(), theirs.join("way/roots-own"), roots.path().join("link")] {
        for args in [
            &["profile", "create", "made"][..],
            &["profile", "delete", "victim", "-y"],
            &["profile", "rename", "victim", "robbed"],
            &["profile", "use", "victim"],
            &["profile", "port", "victim", "9000"],
        ] {
            let outcome = as_root(&home, args.iter().copied());
            assert_ne!(outcome.code(), Some(0), "{args:?} in {}: {outcome}", home.display());
        }
        assert_eq!(listing(&own), before, "{}", home.display());
    }
}

#[test]
fn root_runs_nothing_of_an_open_home() {
    require_root!();
    let dir = tempfile::tempdir().unwrap();
    let (home, proof) = (dir.path().join("home"), dir.path().join("proof"));
    fs::create_dir(&home).unwrap();
    let planted = format!("gateway:\n  command: [/usr/bin/touch, {}]\n", proof.display());
    fs::write(home.join("config.yaml"), planted).unwrap();
    let run = || as_root(&home, ["-p", "default", "gateway", "start", "--foreground"]);
    for mode in [0o777, 0o1777] {
        chmod(&home, mode);
        let outcome = run();
        assert_eq!(outcome.code(), Some(5), "{outcome}");
        hermes_tests::is_one_clear_error(&outcome);
        assert!(outcome.stderr.contains("every user may write"), "{outcome}");
        assert!(!proof.exists(), "mode {mode:o}");
    }
    // Root runs the program if only root may write it.
    chmod(&home, 0o755);
    let outcome = run();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(proof.exists());
}

#[test]
fn root_without_the_real_root_stays_root() {
    require_root!();
    let env = TestEnv::new();
    let mut command = env.command("unshare");
    // In this user namespace `nobody` owns /, and the user's files belong to root.
    command.arg("-r").arg(hermes_program()).args(["profile", "create", "made"]);
    command.env_remove("HERMES_SCANDIR");
    Hermes::new(command).ok();
    assert_eq!(fs::metadata(env.profile("made")).unwrap().uid(), 10_000);
}

#[test]
fn roots_commands_follow_no_link_of_the_owners() {
    require_root!();
    let env = TestEnv::new();
    env.hermes(["profile", "create", "a"]).env_remove("HERMES_SCANDIR").ok();
    let own = roots_own(&env);
    let secret = own.join("secret");
    fs::write(&secret, "gateway:\n  port: 9999\n").unwrap();
    chmod(&secret, 0o600);
    let before = listing(&own);
    let a = env.profile("a");
    let swap = |at: &Path, target: &Path| {
        let _ = fs::remove_file(at);
        let _ = fs::remove_dir_all(at);
        symlink(target, at).unwrap();
    };
    // Root itself could read and write all of these.
    swap(&a.join("config.yaml"), &secret);
    let outcome = as_root(&env.home(), ["profile", "port", "a"]);
    assert!(!outcome.stdout.contains("9999"), "{outcome}");
    assert_ne!(as_root(&env.home(), ["profile", "port", "a", "9000"]).code(), Some(0));
    for file in ["gateway.intent", "gateway.fault", "logs"] {
        swap(&a.join(file), &own.join("new"));
    }
    swap(&env.home().join("profiles/.gateways"), &own);
    swap(&env.home().join("active_profile"), &own.join("new"));
    for line in [
        "profile use a",
        "profile export a -o /dev/stdout",
        "-p a gateway start --foreground",
        "profile rename a b",
        "profile delete b -y",
        "profile delete a -y",
    ] {
        as_root(&env.home(), line.split(' '));
        assert_eq!(listing(&own), before, "{line}");
    }
    assert!(!a.exists() && !env.profile("b").exists(), "a link is removed as a link");
}

#[test]
fn delete_as_root_follows_no_link() {
    require_root!();
    let env = TestEnv::new();
    let own = roots_own(&env);
    let before = listing(&own);
    env.hermes(["profile", "create", "a"]).env_remove("HERMES_SCANDIR").ok();
    symlink(&own, env.profile("a").join("cache")).unwrap();
    let logs = env.home().join("logs/gateways");
    env.make_directory(&logs);
    symlink(&own, logs.join("a")).unwrap();
    let mut command = Command::new(hermes_program());
    command.env("HERMES_HOME", env.home()).env("HERMES_AS_ROOT", "1");
    command.env_remove("HERMES_SCANDIR").args(["profile", "delete", "a", "-y"]);
    Hermes::new(command).run();
    assert_eq!(listing(&own), before);
    assert!(!env.profile("a").exists());
}
