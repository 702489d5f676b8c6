//! The reconciler of `hermes up`: what is wanted comes back by itself, whoever died in between, and nothing is done
//! against an operator.

use std::fs::{self, File};
use std::os::unix::fs::{chown, symlink};

use hermes_s6::slot::layout::{SCANDIR_LOCK, ServiceDir};
use hermes_tests::crash::{CHANGES, at_every};
use hermes_tests::foreign_lock::ForeignLock;
use hermes_tests::{
    TestEnv, Up, eventually, is_alive, is_open_in, is_root, kill, pid, supervisors, tell,
};
use serde_json::Value;

/// Takes a moment to end, so that a restart can be killed meanwhile.
const SLOW: &str = "trap 'sleep 0.3; exit 0' TERM; sleep 600 & wait";

fn up_with(profiles: &[(&str, &str, &str)]) -> Up {
    let env = TestEnv::new();
    for (name, command, intent) in profiles {
        env.profile_for_later(name, command, intent);
    }
    Up::start_in(env)
}

/// Blocks until the gateway is in this state, and returns its status.
#[track_caller]
fn becomes(up: &Up, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), || {
        Some(up.status(name)).filter(|status| status["state"] == state)
    })
}

/// Copies a profile as any other program would.
fn copy_profile(env: &TestEnv, from: &str, to: &str) {
    let (from, to) = (env.profile(from), env.profile(to));
    env.make_directory(&to);
    for name in ["SOUL.md", "config.yaml"] {
        env.write(&to.join(name), &fs::read_to_string(from.join(name)).expect("a file"));
    }
}

#[test]
fn a_restart_that_is_killed_at_any_step_is_completed() {
    let up = up_with(&[("a", SLOW, "running")]);
    let env = &up.env;
    let attempt = |injection: &str| {
        let before = pid(&becomes(&up, "a", "up"));
        let killed = env.hermes_injected(&[injection], ["gateway", "restart", "a"]).run();
        assert!(matches!(killed.code(), None | Some(0)), "{injection}: {killed}");
        let after = pid(&eventually(&format!("{injection}: it is up after {killed}"), || {
            Some(up.status("a")).filter(|status| status["state"] == "up")
        }));
        assert!(after == before || !is_alive(before), "{injection}: {killed}");
        killed.code().is_none()
    };
    let steps = at_every(&CHANGES, "signal=KILL", attempt);
    assert!(steps >= 12, "{steps}");
    // Also while it waits for the gateway's end, and for the new one.
    let waits = (1..).step_by(12).map(|n| format!("ppoll:signal=KILL:when={n}"));
    let waits = waits.take_while(|injection| attempt(injection)).count();
    tell(format_args!("`restart` killed at {steps} steps and {waits} moments of waiting"));
    assert!(up.log().contains("mended: start a\n"), "{}", up.log());
}

#[test]
fn other_programs_make_rename_and_delete_profiles() {
    let up = up_with(&[("a", "exec sleep 600", "stopped")]);
    let env = &up.env;
    copy_profile(env, "a", "made");
    eventually("it is registered", || env.slot("made").exists().then_some(()));
    becomes(&up, "made", "down");
    env.hermes(["gateway", "start", "made"]).ok();
    let first = pid(&up.status("made"));
    fs::rename(env.profile("made"), env.profile("moved")).unwrap();
    becomes(&up, "moved", "up");
    eventually("the old slot is gone", || (!env.slot("made").exists()).then_some(()));
    assert!(!is_alive(first));
    let second = pid(&up.status("moved"));
    fs::remove_dir_all(env.profile("moved")).unwrap();
    eventually("the slot of a profile that is gone is removed", || {
        (!env.slot("moved").exists() && !is_alive(second)).then_some(())
    });
    for line in ["register made", "start moved", "remove made: its profile is gone"] {
        assert!(up.log().contains(&format!("mended: {line}")), "{line}: {}", up.log());
    }
}

#[test]
fn interrupted_commands_are_completed() {
    let up = up_with(&[("a", "exec sleep 600", "running"), ("b", "exec sleep 600", "running")]);
    let env = &up.env;
    let logged = |mend: &str| up.log().contains(&format!("mended: {mend}"));
    env.hermes_injected(&["renameat2:signal=KILL:when=3"], ["profile", "rename", "a", "c"]).run();
    becomes(&up, if env.profile("c").exists() { "c" } else { "a" }, "up");
    eventually("the rename is settled", || {
        (logged("undo the") || logged("finish the")).then_some(())
    });
    // The gateway has left its slot, and the home has not been moved yet.
    env.hermes_injected(&["renameat2:signal=KILL:when=2"], ["profile", "delete", "b", "-y"]).run();
    let home = env.profile("b");
    eventually("b is whole, or gone", || {
        let gone = !home.exists() && !env.slot("b").exists();
        (gone || home.exists() && up.status("b")["state"] == "up").then_some(())
    });
    up.await_mend(0);
    let hidden = |path| fs::read_dir(path).unwrap().flatten().map(|entry| entry.file_name());
    eventually("no leftover is there", || {
        let mut all = hidden(env.home().join("profiles")).chain(hidden(env.scandir()));
        (!all.any(|name| name.to_string_lossy().starts_with(".hermes-"))).then_some(())
    });
}

#[test]
fn what_an_operator_unregistered_is_forgotten_with_its_profile() {
    let up = up_with(&[("a", "exec sleep 600", "stopped"), ("b", "exec sleep 600", "stopped")]);
    let env = &up.env;
    env.hermes(["gateway", "unregister", "a"]).ok();
    fs::remove_dir_all(env.profile("a")).unwrap();
    let mark = env.scandir().join(".hermes.off.a");
    assert!(mark.exists());
    eventually("the mark is removed", || (!mark.exists()).then_some(()));
    copy_profile(env, "b", "a");
    becomes(&up, "a", "down");
}

#[test]
fn what_a_killed_command_left_in_a_home_is_removed() {
    let up = up_with(&[("a", "exec sleep 600", "stopped")]);
    let left = [up.env.home(), up.env.profile("a")].map(|home| home.join(".hermes-new-abc123"));
    for file in &left {
        up.env.write(file, "running\n");
    }
    eventually("both are removed", || (!left.iter().any(|file| file.exists())).then_some(()));
}

#[test]
fn what_an_unsupervised_gateway_left_ends_though_it_is_stopped() {
    let up = up_with(&[("a", "sleep 6000 & echo $! >kid; exec sleep 600", "running")]);
    let env = &up.env;
    becomes(&up, "a", "up");
    let kid = eventually("it has a child", || {
        fs::read_to_string(env.home().join("kid")).ok()?.trim().parse().ok()
    });
    let gateway = pid(&up.status("a"));
    // As by a stop that is killed.
    env.write(&env.profile("a").join("gateway.intent"), "stopped\n");
    env.write(&env.slot("a").join("down"), "");
    env.lose_supervisors("a");
    // No supervisor sees its end.
    kill(gateway);
    becomes(&up, "a", "down");
    eventually("its child has ended", || (!is_alive(kid)).then_some(()));
}

#[test]
fn a_gateway_that_lost_its_supervisor_ends_if_nobody_wants_it() {
    let up = up_with(&[("a", "exec sleep 600", "running"), ("hand", "exec sleep 600", "stopped")]);
    let env = &up.env;
    becomes(&up, "a", "up");
    let gateway = pid(&up.status("a"));
    let by_hand = env.hermes(["gateway", "start", "hand", "--foreground"]).spawn();
    becomes(&up, "hand", "orphan");
    // As by a stop that came before the gateway had started.
    env.write(&env.profile("a").join("gateway.intent"), "stopped\n");
    env.write(&env.slot("a").join("down"), "");
    env.lose_supervisors("a");
    becomes(&up, "a", "down");
    assert!(!is_alive(gateway));
    // The one that somebody started by hand is its starter's.
    assert_eq!(up.status("hand")["state"], "orphan");
    kill(by_hand.pid());
    by_hand.wait();
}

#[test]
fn a_gateway_whose_supervisor_has_ended_does_not_start() {
    let up = up_with(&[("a", "exec sleep 600", "stopped")]);
    // A pipe that nobody reads any more.
    let script = "cd \"$HERMES_HOME\" && mkfifo pipe && exec 3<>pipe 4>pipe 3<&- \
        && exec hermes gateway start a --foreground <&4";
    let refused = up.env.shell(script).fails_with(1);
    assert!(refused.stderr.contains("its supervisor has ended"), "{refused}");
}

#[test]
fn what_an_operator_unregistered_is_forgotten_with_its_home() {
    let up = up_with(&[("a", "exec sleep 600", "stopped"), ("b", "exec sleep 600", "stopped")]);
    let env = &up.env;
    env.hermes(["gateway", "unregister", "a"]).ok();
    // Nobody sees the profile gone: it has a home at every moment.
    copy_profile(env, "b", "next");
    let [home, next] = ["a", "next"].map(|name| env.profile(name));
    let cwd = rustix::fs::CWD;
    rustix::fs::renameat_with(cwd, &next, cwd, &home, rustix::fs::RenameFlags::EXCHANGE).unwrap();
    fs::remove_dir_all(next).unwrap();
    becomes(&up, "a", "down");
}

#[test]
fn a_rename_that_is_killed_before_its_last_step_is_completed() {
    let up = up_with(&[("new", "exec sleep 600", "running")]);
    becomes(&up, "new", "up");
    let journal = up.env.home().join("profiles/.mv-old");
    up.env.write(&journal, "new\n");
    eventually("the journal is removed", || (!journal.exists()).then_some(()));
    eventually("the mend is printed", || {
        up.log().contains("mended: finish the rename of new: it was `old`").then_some(())
    });
}

#[test]
fn a_logger_that_outlives_its_supervisor_is_replaced() {
    let up = up_with(&[
        ("up", "while :; do echo line; sleep 0.2; done", "running"),
        ("down", "exec sleep 600", "stopped"),
    ]);
    let env = &up.env;
    becomes(&up, "up", "up");
    let gateway = pid(&up.status("up"));
    for name in ["up", "down"] {
        let log = ServiceDir::new(env.slot(name)).log();
        let logger = || log.record().ok().and_then(|record| record.gateway()).map(u64::from);
        let former = eventually("it logs", logger);
        let [_, supervisor] = supervisors(&env.slot(name))[..] else { panic!("two supervisors") };
        kill(supervisor);
        eventually("its supervisor has a successor", || {
            let now = supervisors(&env.slot(name));
            (now.len() == 2 && !now.contains(&supervisor)).then_some(())
        });
        assert!(is_alive(former), "it has not noticed");
        // It is looked at again, before the look at everything.
        let config = env.profile(name).join("config.yaml");
        env.write(&config, &fs::read_to_string(&config).unwrap());
        eventually("the former logger has ended", || (!is_alive(former)).then_some(()));
        eventually("its successor logs", || {
            let lock = env.home().join("logs/gateways").join(name).join("lock");
            let holder = logger().filter(|logger| *logger != former);
            holder.filter(|logger| is_open_in(*logger, &lock))
        });
        eventually("the mend is printed", || {
            up.log().contains(&format!("mended: replace the logger of {name}: ")).then_some(())
        });
    }
    assert_eq!(pid(&up.status("up")), gateway);
}

#[test]
fn what_an_operator_decided_stays() {
    let up = up_with(&[
        ("unregistered", "exec sleep 600", "running"),
        ("stopped", "exec sleep 600", "running"),
        ("parked", "exit 78", "running"),
    ]);
    let env = &up.env;
    becomes(&up, "parked", "parked");
    env.hermes(["gateway", "unregister", "unregistered"]).ok();
    env.hermes(["gateway", "stop", "stopped"]).ok();
    // Each is looked at again.
    for name in ["unregistered", "stopped", "parked"] {
        let config = env.profile(name).join("config.yaml");
        env.write(&config, &fs::read_to_string(&config).unwrap());
    }
    for round in 0..2 {
        up.await_mend(round);
    }
    assert!(!env.slot("unregistered").exists());
    assert_eq!(up.status("stopped")["state"], "down");
    assert_eq!(up.status("parked")["state"], "parked");
    env.hermes(["gateway", "start", "unregistered"]).ok();
    let before = pid(&up.status("unregistered"));
    up.stop_behind_its_back("unregistered");
    eventually("it is up again", || {
        let status = up.status("unregistered");
        (status["state"] == "up" && pid(&status) != before).then_some(())
    });
}

#[test]
fn a_missing_directory_of_profiles_ends_no_gateway() {
    let up = up_with(&[("a", "exec sleep 600", "running"), ("b", "exec sleep 600", "running")]);
    let env = &up.env;
    let before = ["a", "b"].map(|name| {
        becomes(&up, name, "up");
        pid(&up.status(name))
    });
    let (profiles, away) = (env.home().join("profiles"), env.home().join("away"));
    fs::rename(&profiles, &away).unwrap();
    eventually("it is reported", || up.log().contains("profiles` is missing").then_some(()));
    assert!(before.iter().all(|pid| is_alive(*pid)));
    assert!(env.slot("a").exists() && env.slot("b").exists() && !profiles.exists());
    fs::rename(&away, &profiles).unwrap();
    // Now it is believed that one is gone.
    fs::remove_dir_all(env.profile("b")).unwrap();
    eventually("its slot is removed", || (!env.slot("b").exists()).then_some(()));
    assert_eq!(pid(&up.status("a")), before[0]);
}

#[test]
fn a_gateway_that_dies_while_its_home_is_away_comes_back_with_it() {
    let up = up_with(&[("a", "exec sleep 600", "running")]);
    let env = &up.env;
    let before = pid(&becomes(&up, "a", "up"));
    let lock = File::create(env.home().join("profiles/.locks/a")).unwrap();
    if is_root() {
        chown(env.home().join("profiles/.locks/a"), Some(10000), Some(10000)).unwrap();
    }
    // The reconciler leaves the service alone meanwhile.
    lock.lock().unwrap();
    let [home, away] = ["a", ".away"].map(|name| env.profile(name));
    fs::rename(&home, &away).unwrap();
    kill(before);
    eventually("the next one has found no home", || {
        let deaths = ServiceDir::new(env.slot("a")).deaths().unwrap();
        (deaths.len() >= 2).then_some(())
    });
    fs::rename(&away, &home).unwrap();
    drop(lock);
    becomes(&up, "a", "up");
}

#[test]
fn a_link_in_the_scan_directory_is_no_slot() {
    let up = up_with(&[("a", "exec sleep 600", "running")]);
    let env = &up.env;
    becomes(&up, "a", "up");
    let before = pid(&up.status("a"));
    for name in ["gateway-x", ".hermes-gateway-x"] {
        symlink(env.slot("a"), env.scandir().join(name)).unwrap();
    }
    for round in 0..2 {
        up.await_mend(round);
    }
    env.hermes(["boot"]).run();
    env.hermes(["doctor", "--fix"]).run();
    let status = up.status("a");
    assert_eq!((pid(&status), &status["deaths"]), (before, &0.into()), "{status}");
    for name in ["gateway-x", ".hermes-gateway-x"] {
        fs::remove_file(env.scandir().join(name)).expect("the link stays");
    }
}

#[test]
fn a_profile_whose_lock_is_held_is_left_alone() {
    let up = up_with(&[("a", "exec sleep 600", "running")]);
    let env = &up.env;
    let path = env.home().join("profiles/.locks/a");
    let lock = File::create(&path).unwrap();
    if is_root() {
        chown(&path, Some(10000), Some(10000)).unwrap();
    }
    lock.lock().unwrap();
    up.stop_behind_its_back("a");
    becomes(&up, "a", "down");
    for round in 0..2 {
        up.await_mend(round);
    }
    assert_eq!(up.status("a")["state"], "down");
    drop(lock);
    becomes(&up, "a", "up");
}

#[test]
fn a_registration_that_fails_leaves_the_service_removed() {
    let up = up_with(&[("a", "exec sleep 600", "running")]);
    let env = &up.env;
    env.hermes(["gateway", "unregister", "a"]).ok();
    let held = ForeignLock::hold(env, &env.scandir().join(SCANDIR_LOCK));
    env.hermes(["gateway", "register", "a", "--timeout", "1"]).fails_with(6);
    drop(held);
    for round in 0..2 {
        up.await_mend(round);
    }
    assert!(!env.slot("a").exists());
    env.hermes(["gateway", "register", "a"]).ok();
    becomes(&up, "a", "up");
}
