//! Homes that others may write: none is made, whatever the umask, and none is used.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use hermes_tests::{
    Outcome, Svscan, TestEnv, Up, chmod, eventually, hermes_program, is_one_clear_error, names,
    require_root,
};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it exists").permissions().mode() & 0o7777
}

/// Every directory and file below `path`, and `path`. Nothing may change meanwhile.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a directory");
        found.extend(entries.flat_map(|entry| all_below(&entry.expect("an entry").path())));
    }
    found.retain(|path| path.is_file() || path.is_dir());
    found
}

/// `hermes up` with this umask in this environment, once it is up.
fn up_with(env: TestEnv, umask: &str) -> Up {
    let mut command = env.command("/bin/sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" up")]).arg(hermes_program());
    Up::launch(env, command).await_up()
}

#[test]
fn nothing_is_made_for_others_to_write_whatever_the_umask() {
    for umask in ["000", "002", "077"] {
        let env = TestEnv::new();
        fs::remove_dir(env.home()).expect("an empty home");
        fs::remove_dir(env.scandir()).expect("an empty scan directory");
        let up = up_with(env, umask);
        let env = &up.env;
        let hermes = |line: &str| env.shell(&format!("umask {umask}; exec hermes {line}")).ok();
        hermes("profile create coder");
        let script = "echo begun; exec sleep 600";
        let config = serde_json::json!({ "gateway": { "command": ["/bin/sh", "-c", script] } });
        env.write(&env.profile("coder").join("config.yaml"), &config.to_string());
        hermes("gateway start coder");
        eventually("its first line", || {
            env.logged("coder").contains(&"begun".to_owned()).then_some(())
        });
        hermes("profile create other");
        hermes("profile rename other another");
        hermes("profile export coder");
        hermes("profile import coder.tar.zst --name imported");
        hermes("boot");
        let home = env.home();
        let all = all_below(&home);
        for path in &all {
            let (mode, path) = (mode(path), path.display());
            assert_eq!(mode & 0o022, 0, "{path} has mode {mode:o} under umask {umask}");
        }
        for part in ["", "profiles/.locks", "logs/gateways", "profiles/imported/logs"] {
            assert!(all.contains(&home.join(part)), "{part} is not among {all:?}");
        }
        let logs = ["coder", "another", "imported"].map(|name| env.profile(name).join("logs"));
        for path in logs.iter().chain([&home.join("logs")]).flat_map(|path| all_below(path)) {
            let (mode, path) = (mode(&path), path.display());
            assert_eq!(mode & 0o027, 0, "{path} has mode {mode:o} under umask {umask}");
        }
        let current = home.join("logs/gateways/coder/current");
        assert_eq!(
            (mode(&current), mode(current.parent().expect("its directory"))),
            (0o640, 0o750)
        );
    }
}

/// The command was refused because of `path`, and names the command that closes it.
#[track_caller]
fn is_refused(outcome: &Outcome, path: &Path, mode: u32) {
    is_one_clear_error(outcome);
    assert_eq!(outcome.code(), Some(5), "{outcome}");
    let path = path.display();
    for part in [
        format!("other users may write to `{path}` (mode {mode:04o}), and could run programs"),
        format!(
            "`chmod go-w {path}` closes it; HERMES_OPEN_HOME=1, for the tree and for each command, uses it as it is"
        ),
    ] {
        assert!(outcome.stderr.contains(&part), "{part}: {outcome}");
    }
}

#[test]
fn a_home_that_others_may_write_is_refused() {
    let tree = Svscan::start();
    let env = &tree.env;
    for name in ["coder", "other"] {
        env.profile_running(name, "exec sleep 600");
    }
    env.hermes(["gateway", "start", "other"]).ok();
    env.hermes(["profile", "export", "other"]).ok();
    env.hermes(["gateway", "unregister", "coder"]).ok();
    let (home, profiles, coder) = (env.home(), env.home().join("profiles"), env.profile("coder"));
    let of_coder = [
        "gateway start coder",
        "gateway restart coder",
        "gateway register coder",
        "profile rename coder x",
    ];
    let of_all = ["boot", "profile create new", "profile import other.tar.zst --name new"];
    for (path, bits, lines) in [
        (&home, 0o777, &[&of_coder[..], &of_all].concat()),
        (&profiles, 0o775, &[&of_coder[..], &of_all].concat()),
        (&profiles, 0o1777, &vec!["boot"]),
        (&coder, 0o772, &of_coder.to_vec()),
        (&coder, 0o2770, &of_coder.to_vec()),
    ] {
        let before = mode(path);
        chmod(path, bits);
        for line in lines {
            is_refused(&env.hermes(line.split(' ')).run(), path, bits);
        }
        assert!(!env.slot("coder").exists());
        let intent = fs::read_to_string(coder.join("gateway.intent")).expect("an intent");
        assert_eq!(intent, "stopped\n", "nothing was changed");
        // What reads and what stops still works.
        env.hermes(["profile", "list"]).ok();
        env.hermes(["gateway", "status", "other"]).ok();
        env.hermes(["gateway", "stop", "other"]).ok();
        env.hermes(["gateway", "unregister", "other"]).ok();
        let register = ["gateway", "register", "other"];
        env.hermes(register).env("HERMES_OPEN_HOME", "1").ok();
        chmod(path, before);
        env.hermes(["gateway", "start", "other"]).ok();
    }
    assert_eq!(names(&profiles), ["coder", "other"]);
    env.hermes(["gateway", "start", "coder"]).ok();
}

#[test]
fn one_open_home_stops_no_other_at_boot() {
    let env = TestEnv::new();
    for name in ["a", "b", "c"] {
        env.profile_for_later(name, "exec sleep 600", "running");
    }
    chmod(&env.profile("b"), 0o777);
    let up = Up::start_in(env);
    for name in ["a", "c"] {
        eventually("it is up", || (up.status(name)["state"] == "up").then_some(()));
    }
    assert_ne!(up.status("b")["state"], "up");
    let outcome = up.env.hermes(["boot"]).fails_with(1);
    assert!(
        outcome.stderr.contains("start b: failed")
            && outcome.stderr.contains("other users may write to"),
        "{outcome}"
    );
}

#[test]
fn up_refuses_an_open_home_unless_it_is_told_to_use_it() {
    let env = TestEnv::new();
    chmod(&env.home(), 0o770);
    let ended = |value: &str| {
        let mut up = env.hermes(["up"]).env("HERMES_OPEN_HOME", value).spawn();
        eventually("`hermes up` is refused", || up.has_ended().then_some(()));
        up.wait()
    };
    is_refused(&ended(""), &env.home(), 0o770);
    assert!(!env.scandir().join(".s6-svscan").exists());
    for value in ["0", "true"] {
        is_refused(&ended(value), &env.home(), 0o770);
    }
    let mut command = env.command(hermes_program());
    command.arg("up").env("HERMES_OPEN_HOME", "1");
    let up = Up::launch(env, command).await_up();
    let create = ["profile", "create", "a", "--start"];
    up.env.hermes(create).env("HERMES_OPEN_HOME", "1").ok();
    assert_eq!(up.status("a")["state"], "up");
}

/// The next process would have the tree's environment, not the command's.
#[test]
fn a_tree_that_refuses_an_open_home_loses_no_gateway_to_a_command_that_allows_it() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "exec sleep 600");
    env.hermes(["gateway", "start", "coder"]).ok();
    let before = tree.status("coder");
    let coder = env.profile("coder");
    chmod(&coder, 0o775);
    for line in [
        "gateway restart coder",
        "gateway start coder",
        "gateway register --refresh coder",
        "profile rename coder other",
    ] {
        let outcome = env.hermes(line.split(' ')).env("HERMES_OPEN_HOME", "1").run();
        is_one_clear_error(&outcome);
        for part in [
            "tree runs without HERMES_OPEN_HOME=1, so the gateway would refuse its home",
            &format!("other users may write to `{}`", coder.display()),
            "`HERMES_OPEN_HOME=1 hermes up`",
        ] {
            assert!(outcome.stderr.contains(part), "{line}: {outcome}");
        }
        assert_eq!(tree.status("coder"), before, "{line}");
    }
    // The slot itself may have the variable.
    chmod(&coder, 0o755);
    let variable = "HERMES_OPEN_HOME=1";
    env.hermes(["gateway", "register", "--refresh", "coder", "--env", variable]).ok();
    chmod(&coder, 0o775);
    env.hermes(["gateway", "restart", "coder"]).env("HERMES_OPEN_HOME", "1").ok();
}

#[test]
fn a_gateway_comes_back_in_no_home_that_others_may_write() {
    let tree = Svscan::start();
    let env = &tree.env;
    for name in ["coder", "other"] {
        env.profile_running(name, "exec sleep 600");
    }
    env.hermes(["gateway", "start", "coder", "other"]).ok();
    chmod(&env.profile("coder"), 0o775);
    for name in ["coder", "other"] {
        let pid = tree.status(name)["pid"].as_u64().expect("it is up");
        hermes_tests::signal(pid, rustix::process::Signal::KILL);
    }
    let parked = eventually("it is parked", || {
        Some(tree.status("coder")).filter(|status| status["state"] == "parked")
    });
    let reason = parked["parked"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("other users may write to"), "{parked}");
    eventually("the other comes back", || {
        let status = tree.status("other");
        (status["state"] == "up" && status["deaths"] == 1).then_some(())
    });
    chmod(&env.profile("coder"), 0o755);
    env.hermes(["gateway", "start", "coder"]).ok();
}

#[test]
fn doctor_names_an_open_home_and_closes_it() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "exec sleep 600");
    let open = [env.home(), env.home().join("profiles"), env.profile("coder")];
    for (path, mode) in open.iter().zip([0o775, 0o2777, 0o757]) {
        chmod(path, mode);
    }
    let outcome = env.hermes(["doctor"]).fails_with(1);
    for path in &open {
        let path = path.display();
        assert!(
            outcome.stdout.contains(&format!("writers: other users may write to `{path}`")),
            "{outcome}"
        );
        assert!(outcome.stdout.contains(&format!("fix: chmod go-w {path}\n")), "{outcome}");
    }
    let allowed = env.hermes(["doctor"]).env("HERMES_OPEN_HOME", "1").run();
    assert!(!allowed.stdout.contains("other users may write"), "{allowed}");
    let kept = env.hermes(["doctor", "--fix"]).env("HERMES_OPEN_HOME", "1").run();
    assert!(!kept.stdout.contains("chmod go-w"), "{kept}");
    let outcome = env.hermes(["doctor", "--fix"]).run();
    assert!(!outcome.stdout.contains("other users may write"), "{outcome}");
    assert_eq!(open.each_ref().map(|path| mode(path)), [0o755, 0o2755, 0o755]);
    env.hermes(["gateway", "start", "coder"]).ok();
}

#[test]
fn a_home_of_another_user_is_refused() {
    require_root!();
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "exec sleep 600");
    let coder = env.profile("coder");
    let owner = 10_000;
    chown(&coder, Some(owner + 1), Some(owner)).expect("root may");
    chmod(&coder, 0o775);
    let outcome = env.hermes(["gateway", "start", "coder"]).run();
    assert!(outcome.stderr.contains("belongs to uid 10001, who may write to it"), "{outcome}");
    let rename = ["profile", "rename", "coder", "other"];
    env.hermes(rename).env("HERMES_OPEN_HOME", "1").ok();
}
