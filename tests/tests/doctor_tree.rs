//! `hermes doctor` on trees, slots and gateways: each fault is caused, found with its evidence, and repaired by
//! the printed command.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

use hermes_s6::ScanDir;
use hermes_tests::doctor::{
    PrintedFinding, changes, finds, finds_nothing, printed_findings, repairs, run_remedy, snapshot,
};
use hermes_tests::{
    Svscan, TestEnv, Up, alone, chmod, eventually, is_alive, kill, pid, require_root, supervisors,
};
use serde_json::Value;

/// A booted tree without gateways.
fn tree() -> Svscan {
    booted(Svscan::start())
}

fn booted(tree: Svscan) -> Svscan {
    tree.env.hermes(["boot"]).ok();
    tree
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn checks(report: &Value) -> Vec<(&str, &Value)> {
    let checks = report["checks"].as_array().expect("checks").iter();
    checks.map(|check| (check["check"].as_str().expect("an id"), &check["ok"])).collect()
}

const ALL: &str = "backend s6-programs svscan control privilege tree-home owner capacity descriptors pids \
    home profiles writers ownership dotenv active-profile boot-log obstacles config command intent resources ports port-holders topology disk \
    stop-budget container-stop strays loggers processes suspended slots stale-slots orphans foreign parked backoff starting unresponsive wanted renames \
    adoptions leftovers stale-files";

#[test]
fn every_check_has_evidence_and_changes_nothing() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    env.hermes(["gateway", "start", "a"]).ok();
    eventually("its logger has written its output", || {
        env.logged("a").iter().any(|line| line.contains("listens on")).then_some(())
    });
    let before = snapshot(env);
    let report = env.hermes(["doctor", "--json"]).json();
    assert_eq!(changes(&before, &snapshot(env)), [""; 0]);
    let all: Vec<_> = ALL.split_whitespace().map(|check| (check, &Value::Bool(true))).collect();
    assert_eq!(checks(&report), all, "{report:#}");
    let evidence = |id: &str| {
        let checks = report["checks"].as_array().expect("checks");
        let check = checks.iter().find(|check| check["check"] == id).expect("it is there");
        check["evidence"].as_str().expect("words").to_owned()
    };
    assert!(evidence("svscan").contains(&format!("process {} (s6-svscan) of uid ", tree.pid())));
    assert!(evidence("tree-home").contains(text(&env.home())));
    assert!(evidence("container-stop").contains("--stop-timeout 10"));
    assert!(evidence("wanted").starts_with("1 of 2 gateways up"));
    let printed = env.hermes(["doctor"]).ok();
    for check in ALL.split_whitespace() {
        let line =
            printed.stdout.lines().find(|line| line.split_whitespace().nth(1) == Some(check));
        assert!(line.is_some_and(|line| line.starts_with("ok ") || line.starts_with("info ")));
    }
    // The remedies have the option that names the tree, too.
    env.write(&env.slot("a").join("data/generation"), "0\n");
    let scandir = env.scandir();
    let named = alone(env, ["doctor", "--scandir", text(&scandir)]).ok();
    let remedy = format!("hermes gateway register --refresh a --scandir {}", scandir.display());
    assert!(named.stdout.contains(&remedy), "{named}");
}

#[test]
fn skipped_checks_have_a_reason() {
    let env = tree().stop();
    let finding = finds(&env, "svscan", "error", &[text(&env.scandir())]);
    assert!(finding.problem.starts_with("no s6-svscan holds the scan directory"), "{finding:?}");
    assert_eq!(finding.remedy, "hermes up");
    let report = env.hermes(["doctor", "--json"]).fails_with(1).json();
    let checks = checks(&report);
    for unseen in ["capacity", "pids", "orphans", "wanted", "slots", "stop-budget"] {
        assert!(checks.contains(&(unseen, &Value::Null)), "{unseen}: {checks:?}");
    }
    // For people, a reason that many checks have is printed once.
    let printed = env.hermes(["doctor"]).fails_with(1);
    let shared = "checks      not checked: no s6-svscan holds the scan directory";
    assert_eq!(printed.stdout.matches(shared).count(), 1, "{printed}");
    assert!(printed.stdout.contains("(capacity, descriptors, pids, "), "{printed}");
    let up = Up::start_in(env);
    finds_nothing(&up.env, "svscan");
    // The lock on the home names the scan directory.
    alone(&up.env, ["doctor"]).ok();
}

#[test]
fn no_tree_is_an_error_with_a_hint() {
    let env = TestEnv::new();
    let outcome = alone(&env, ["doctor"]).fails_with(1);
    let said = "error: backend: nothing supervises services here: neither s6 nor systemd nor launchd\n  \
        fix: hermes up\n";
    assert!(outcome.stdout.contains(said), "{outcome}");
}

#[test]
fn missing_permissions() {
    let tree = tree();
    let env = &tree.env;
    chmod(&env.scandir(), 0o555);
    repairs(env, "control", "error", &["no slots", text(&env.scandir())]);
    let fifo = ScanDir::new(env.scandir()).svscan_control();
    chmod(&fifo, 0o400);
    repairs(env, "control", "error", &["no commands", text(&fifo)]);
}

#[test]
fn a_tree_of_root_is_delegated() {
    require_root!();
    let env = TestEnv::new();
    let scandir = env.scandir();
    chown(&scandir, Some(0), Some(0)).expect("root may");
    let program = env.s6("s6-svscan").get_program().to_owned();
    let mut svscan = Command::new(program);
    svscan.arg(&scandir).env("HERMES_HOME", env.home()).stdin(Stdio::null());
    let mut svscan = svscan.stderr(Stdio::null()).spawn().expect("s6-svscan runs");
    let fifo = ScanDir::new(&scandir).svscan_control();
    eventually("s6-svscan has begun", || fifo.exists().then_some(()));
    let finding = finds(&env, "svscan", "error", &["can't be seen", "Permission denied"]);
    assert_eq!(finding.remedy, "as root: hermes boot --delegate");
    run_remedy(&env, &finding.remedy);
    finds_nothing(&env, "svscan");
    finds_nothing(&env, "control");
    finds(&env, "privilege", "warning", &["as root what uid 10000 may write"]);
    kill(svscan.id().into());
    svscan.wait().expect("a child of ours");
}

#[test]
fn a_tree_of_another_home() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("coder");
    env.hermes(["gateway", "start", "coder"]).ok();
    // It has a profile of the same name.
    let other = env.path().join("other");
    env.make_directory(&other.join("profiles/coder"));
    env.write(&other.join("profiles/coder/SOUL.md"), "");
    env.write(&other.join("profiles/coder/gateway.intent"), "running\n");
    let with_other = |args: &[&str]| env.hermes(args.to_owned()).env("HERMES_HOME", text(&other));
    let outcome = with_other(&["doctor"]).fails_with(1);
    let line = outcome.stdout.lines().find(|line| line.starts_with("error: tree-home: "));
    let line = line.expect("a line about the home");
    assert!(line.contains(text(&env.home())) && line.contains(text(&other)), "{line}");
    assert!(outcome.stdout.contains(&format!("fix: set HERMES_HOME={}", text(&env.home()))));
    // No command takes the tree's gateway for that of the other home.
    let refusal = format!("this tree runs the gateways of `{}`", text(&env.home()));
    for command in [
        "gateway status coder",
        "gateway list",
        "gateway status --all",
        "boot",
        "gateway stop coder",
    ] {
        let outcome = with_other(&command.split(' ').collect::<Vec<_>>()).fails_with(5);
        assert!(outcome.stderr.contains(&refusal), "{outcome}");
    }
    with_other(&["doctor", "--health"]).fails_with(1);
    let listed = with_other(&["profile", "list", "--json"]).json();
    assert!(
        listed.as_array().expect("a list").iter().all(|profile| profile["state"].is_null()),
        "{listed}"
    );
    assert_eq!(tree.status("coder")["state"], "up");
}

#[test]
fn a_scan_directory_that_is_full() {
    let tree = booted(Svscan::start_with_room_for(2, TestEnv::new()));
    let env = &tree.env;
    finds_nothing(env, "capacity");
    for name in ["a", "b"] {
        alone(env, ["profile", "create", name]).ok();
    }
    finds(env, "capacity", "error", &["room for 1 more", "2 profiles have no slot"]);
    env.hermes(["gateway", "register", "a"]).ok();
    finds(env, "capacity", "error", &["is full: 2 services", &tree.words_of_room_for(2)]);
}

#[test]
fn an_s6_svscan_without_descriptors() {
    let tree = tree();
    let env = &tree.env;
    let svscan = tree.pid().to_string();
    let lowered = env.command("prlimit").args(["--pid", &svscan, "--nofile=18:"]).status();
    assert!(lowered.expect("prlimit runs").success());
    let evidence = [&*format!("s6-svscan {svscan} may open 18 files"), "room for 0 more"];
    let remedy = repairs(env, "descriptors", "error", &evidence);
    assert!(remedy.starts_with("prlimit --pid "), "{remedy}");
}

#[test]
fn a_kill_within_the_stop_budget() {
    let tree = tree();
    let env = &tree.env;
    let port = env.profile_serving("a");
    let kill_after = env.slot("a").join("timeout-kill");
    let config = env.profile("a").join("config.yaml");
    for (verb, stop, severity) in [("stop", 20, "20 s"), ("start", 30, "30 s")] {
        env.hermes(["gateway", verb, "a"]).ok();
        env.write(&config, &format!("gateway: {{port: {port}, stop_timeout: {stop}}}\n"));
        let before = fs::read_to_string(&kill_after).expect("it is there");
        let evidence =
            [severity, text(&kill_after), &format!("kills it after {} ms", before.trim())];
        let remedy = repairs(env, "stop-budget", "warning", &evidence);
        assert_eq!(remedy.contains("restart"), verb == "start", "{remedy}");
    }
    assert_eq!(tree.status("a")["state"], "up");
    let report = env.hermes(["doctor"]).ok();
    assert!(report.stdout.contains("--stop-timeout 32"), "{report}");
    // From the stop budget to the container's stop timeout.
    let report = env.hermes(["doctor", "--json"]).ok();
    let chain = "requests are closed after 27 s, SIGKILL follows after 28 s, everything has ended after 30 s; a \
                 container needs a stop timeout of 32 s";
    assert!(report.stdout.contains(chain), "{report}");
}

#[test]
fn orphans_and_strays() {
    let tree = tree();
    tree.env.profile_serving("a");
    tree.env.hermes(["gateway", "start", "a"]).ok();
    let gateway = pid(&tree.status("a"));
    tree.env.lose_supervisors("a");
    repairs(&tree.env, "orphans", "error", &["`a`", &format!("as {gateway}, unsupervised")]);
    assert!(!is_alive(gateway));
    let stray = supervisors(&tree.env.slot("a"))[0];
    let tree = Svscan::start_with(tree.kill(), &[]);
    // The stray of `default` is another one.
    let found = printed_findings(&tree.env, "strays");
    let named = |finding: &PrintedFinding| {
        finding.problem.contains(&format!("process {stray} (s6-supervise)"))
    };
    assert!(found.len() == 2 && found.iter().any(named), "{found:#?}");
    assert_eq!(printed_findings(&tree.env, "slots"), [], "one fault is one finding");
    found.iter().for_each(|finding| run_remedy(&tree.env, &finding.remedy));
    finds_nothing(&tree.env, "strays");
    assert_eq!(tree.status("a")["state"], "up");
    finds_nothing(&tree.env, "slots");
}

#[test]
fn processes_left_by_a_gateway() {
    let tree = tree();
    let env = &tree.env;
    env.profile_running("a", "setsid sleep 6003 & echo $! >left; exec sleep 600");
    env.hermes(["gateway", "start", "a"]).ok();
    let gateway = pid(&tree.status("a"));
    let left = eventually("it has a child", || {
        let left = fs::read_to_string(env.home().join("left")).ok()?.trim().parse().ok()?;
        let comm = fs::read_to_string(format!("/proc/{left}/comm")).ok()?;
        (comm == "sleep\n").then_some(left)
    });
    // Without its supervisor no `finish` follows its death.
    env.write(&env.profile("a").join("gateway.intent"), "stopped\n");
    env.write(&env.slot("a").join("down"), "");
    env.lose_supervisors("a");
    kill(gateway);
    eventually("it has ended", || (!is_alive(gateway)).then_some(()));
    repairs(env, "processes", "error", &["`a` is down", &format!("process {left} (sleep)")]);
    assert!(!is_alive(left));
}

#[test]
fn parked_gateways_and_those_that_go_on_crashing() {
    let tree = tree();
    let env = &tree.env;
    env.profile_running("fatal", "test -e repaired || exit 78; exec sleep 600");
    env.profile_running("crash", "test -e repaired || exit 7; exec sleep 600");
    for name in ["fatal", "crash"] {
        env.hermes(["gateway", "start", name]).fails_with(1);
    }
    let evidence = ["`fatal` is parked since ", "exit 78", "gateway logs fatal"];
    let parked = finds(env, "parked", "error", &evidence);
    eventually("the delays are long", || {
        let status = tree.status("crash");
        (status["backoff"]["count"].as_u64()? >= 4).then_some(())
    });
    let crashing = finds(env, "backoff", "warning", &["`crash` died ", "in a row", "exit 7"]);
    env.write(&env.home().join("repaired"), "");
    for (finding, check) in [(parked, "parked"), (crashing, "backoff")] {
        run_remedy(env, &finding.remedy);
        finds_nothing(env, check);
    }
}

#[test]
fn gateways_against_their_intent() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    env.hermes(["gateway", "start", "a"]).ok();
    let s6_svc = |options: &str| {
        let status = tree.s6("s6-svc").args([options, "-T", "9000"]).arg(env.slot("a")).status();
        assert!(status.expect("s6-svc runs").success());
    };
    s6_svc("-dwD");
    repairs(env, "wanted", "error", &["`a` is wanted and down"]);
    assert_eq!(tree.status("a")["state"], "up");
    env.hermes(["gateway", "stop", "a"]).ok();
    s6_svc("-uwu");
    eventually("it is up", || (tree.status("a")["state"] == "up").then_some(()));
    repairs(env, "wanted", "warning", &["`a` is not wanted", "it is up"]);
    assert_eq!(tree.status("a")["state"], "down");
}

#[test]
fn slots_that_are_missing_unused_or_unsupervised() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    env.hermes(["gateway", "unregister", "a"]).ok();
    repairs(env, "slots", "error", &["`a` has no slot"]);
    env.hermes(["gateway", "start", "a"]).ok();
    env.hermes(["gateway", "unregister", "a"]).ok();
    repairs(env, "slots", "error", &["`a` is wanted and has no slot"]);
    assert_eq!(tree.status("a")["state"], "up");
    env.hermes(["gateway", "unregister", "a"]).ok();
    env.make_directory(&env.slot("a"));
    repairs(env, "slots", "error", &["nobody supervises the slot of `a`"]);
    fs::remove_dir_all(env.profile("a")).expect("it is there");
    repairs(env, "slots", "warning", &[text(&env.slot("a")), "has no profile"]);
    assert!(!env.slot("a").exists());
}

#[test]
fn slots_of_another_version_are_replaced() {
    let tree = tree();
    let env = &tree.env;
    for (name, verb, state) in [("a", "start", "up"), ("b", "stop", "down")] {
        env.profile_serving(name);
        env.hermes(["gateway", verb, name]).ok();
        let generation = env.slot(name).join("data/generation");
        env.write(&generation, "0\n");
        let quoted = format!("`{name}`");
        let evidence = [&*quoted, "generation 0", text(&generation)];
        let remedy = repairs(env, "stale-slots", "warning", &evidence);
        assert_eq!(remedy, format!("hermes gateway register --refresh {name}"));
        eventually("it is as before", || (tree.status(name)["state"] == state).then_some(()));
    }
    // Only the slots of another version.
    let kept = pid(&tree.status("a"));
    env.write(&env.slot("b").join("data/generation"), "");
    finds(env, "stale-slots", "warning", &["`b`", "unknown version"]);
    env.hermes(["gateway", "register", "--refresh", "--all"]).ok();
    finds_nothing(env, "stale-slots");
    assert_eq!(pid(&tree.status("a")), kept);
}

#[test]
fn leftovers_of_commands_and_gateways() {
    let tree = tree();
    let env = &tree.env;
    env.profile_serving("a");
    for left in [env.scandir().join(".hermes-x"), env.home().join("profiles/.hermes-y")] {
        env.make_directory(&left);
        let remedy = repairs(env, "leftovers", "warning", &[text(&left)]);
        assert_eq!(remedy, "hermes doctor --fix");
        assert!(!left.exists());
    }
    let stale = env.profile("a").join("gateway.pid");
    env.write(&stale, "{}");
    repairs(env, "stale-files", "warning", &["`a`", text(&stale)]);
}
