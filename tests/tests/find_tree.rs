//! A tree is found by the home that it runs, whatever environment a command has: a login whose runtime directory is
//! gone, a cron job, `su`.

use std::fs;
use std::path::PathBuf;

use hermes_tests::{
    Hermes, TestEnv, Up, alone, eventually, hermes_program, is_alive, is_one_clear_error, pid,
};

/// A tree in the usual place below a runtime directory, which only its own session knows, with one gateway that is
/// up.
struct Session {
    up: Up,
    gateway: u64,
}

fn runtime(env: &TestEnv) -> PathBuf {
    env.path().join("session's \"own\" \u{fc}")
}

impl Session {
    fn start() -> Self {
        let env = TestEnv::new();
        env.profile_for_later("coder", "exec sleep 600", "running");
        env.make_directory(&runtime(&env));
        let mut up = env.command(hermes_program());
        up.arg("up").env_remove("HERMES_SCANDIR").env("XDG_RUNTIME_DIR", runtime(&env));
        let up = Up::launch(env, up).await_up();
        let status = alone(&up.env, ["gateway", "status", "coder", "--json"]).ok().json();
        assert_eq!(status["state"], "up", "{status}");
        let gateway = pid(&status);
        Self { up, gateway }
    }

    /// A command without a runtime directory.
    fn cron(&self, line: &str) -> Hermes {
        self.up.env.hermes(line.split(' ')).env_remove("HERMES_SCANDIR")
    }

    fn scandir(&self) -> String {
        runtime(&self.up.env).join("hermes/service").display().to_string()
    }
}

#[test]
fn a_login_and_a_cron_job_mean_the_same_tree() {
    let session = Session::start();
    let env = &session.up.env;
    for line in ["gateway restart coder", "profile create other --start", "gateway stop other"] {
        session.cron(line).ok();
    }
    assert!(!is_alive(session.gateway));
    let listed = alone(env, ["gateway", "list", "--json"]).ok();
    assert!(listed.stdout.contains("other"), "{listed}");
    let doctor = alone(env, ["doctor"]).run();
    assert!(doctor.stdout.contains(&session.scandir()), "{doctor}");
    for second in [session.cron("up"), alone(env, ["up"])] {
        let second = second.fails_with(1);
        is_one_clear_error(&second);
        let named = format!("a tree already runs on `{}`", session.scandir());
        assert!(second.stderr.contains(&named), "{second}");
    }
    session.cron("down").ok();
    let (_env, code) = session.up.ended();
    assert_eq!(code, Some(0));
}

#[test]
fn a_tree_whose_scan_directory_was_removed_is_named_and_ended() {
    let session = Session::start();
    let env = &session.up.env;
    // s6-supervise and the reconciler may write into it meanwhile.
    eventually("the session's directory is gone", || {
        let _ = fs::remove_dir_all(runtime(env));
        (!runtime(env).exists()).then_some(())
    });
    for line in ["gateway status coder", "gateway stop coder", "gateway restart coder"] {
        let outcome = session.cron(line).fails_with(5);
        is_one_clear_error(&outcome);
        assert!(
            outcome.stderr.contains("was removed") && outcome.stderr.contains("hermes down"),
            "{outcome}"
        );
    }
    session.cron("up").fails_with(1);
    assert!(is_alive(session.gateway));
    session.cron("down").ok();
    assert!(!is_alive(session.gateway));
    let (env, code) = session.up.ended();
    assert_eq!(code, Some(0));
    eventually("its processes have ended", || {
        hermes_tests::processes_naming(&env.path().to_string_lossy()).is_empty().then_some(())
    });
    let up = Up::start_in(env);
    assert_eq!(up.status("coder")["state"], "up");
}

/// The tree of another home is not this home's, and a scan directory that is named is the one that is meant.
#[test]
fn the_home_and_the_named_directory_decide() {
    let session = Session::start();
    let env = &session.up.env;
    let named = session.up.env.path().join("service");
    let outcome = env.hermes(["gateway", "status", "coder"]).fails_with(5);
    let owner = format!("scandir={:?}", session.scandir());
    assert!(outcome.stderr.contains(&owner), "{outcome}");
    env.hermes(["gateway", "stop", "coder", "--scandir", named.to_str().unwrap()]).fails_with(5);
    let home = env.path().join("home2");
    env.make_directory(&home);
    let other = session.cron("gateway stop coder").env("HERMES_HOME", home.to_str().unwrap()).run();
    assert!(other.code() != Some(0), "{other}");
    assert!(is_alive(session.gateway));
}
