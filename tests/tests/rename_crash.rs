//! `profile rename`, killed between any two steps, and failing at any step.

use std::fs;
use std::path::Path;

use hermes_tests::crash::{CHANGES, at_every};
use hermes_tests::{
    Outcome, Svscan, TestEnv, alone, eventually, is_alive, is_one_clear_error, pid, tell,
};

struct Scene {
    tree: Svscan,
    /// The current name of the profile.
    name: &'static str,
    /// The lines in its gateway's log so far.
    logged: usize,
}

impl Scene {
    /// The profile `a`, whose gateway is up and which is the chosen one.
    fn new() -> Self {
        let tree = Svscan::start();
        let env = &tree.env;
        env.hermes(["boot"]).ok();
        env.profile_serving("a");
        env.write(&env.profile("a").join("memory"), "mine");
        env.hermes(["gateway", "start", "a"]).ok();
        env.hermes(["profile", "use", "a"]).ok();
        Self { tree, name: "a", logged: 0 }
    }

    fn other(&self) -> &'static str {
        if self.name == "a" { "b" } else { "a" }
    }

    /// Renames the profile to its other name, with faults injected into system calls.
    fn rename(&self, injections: &[&str]) -> Outcome {
        let args = ["profile", "rename", self.name, self.other()];
        self.tree.env.hermes_injected(injections, args).run()
    }

    /// Boots after a killed rename, and asserts that the profile is whole.
    #[track_caller]
    fn boot_repairs(&mut self, killed: &Outcome) {
        let booted = self.tree.env.hermes(["boot"]).ok();
        let seen = format!("{booted}\n{killed}");
        // Boot does not touch a slot that is already starting.
        let up =
            |name| self.tree.env.slot(name).exists() && self.tree.status(name)["state"] == "up";
        eventually("it is up", || ["a", "b"].into_iter().any(up).then_some(()));
        self.is_whole(false, &seen);
        let again = self.tree.env.hermes(["boot"]).ok();
        assert!(again.stdout.lines().all(|line| line.starts_with("keep ")), "{again}\n{seen}");
    }

    /// Asserts that one profile exists, whole and up, and records its name.
    #[track_caller]
    fn is_whole(&mut self, hidden_slots: bool, scene: &str) {
        let env = &self.tree.env;
        let home = env.home();
        let profiles = names(&home.join("profiles"));
        let name = match profiles.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [".locks", "a"] => "a",
            [".locks", "b"] => "b",
            _ => panic!("{profiles:?}\n{scene}"),
        };
        self.name = name;
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let profile = env.profile(name);
        assert_eq!(read(&profile.join("memory")), "mine", "{scene}");
        assert_eq!(read(&profile.join("gateway.intent")), "running\n", "{scene}");
        assert_eq!(read(&home.join("active_profile")), format!("{name}\n"), "{scene}");
        assert_eq!(names(&home), ["active_profile", "logs", "profiles"], "{scene}");
        assert_eq!(names(&home.join("logs/gateways")), [name, "default"], "{scene}");
        let logged = env.logged(name).len();
        assert!(logged >= self.logged && logged > 0, "{logged} < {}\n{scene}", self.logged);
        self.logged = logged;
        let slots: Vec<_> = names(&env.scandir())
            .into_iter()
            .filter(|slot| {
                slot.starts_with("gateway-") || !hidden_slots && slot.starts_with(".hermes-")
            })
            .collect();
        assert_eq!(slots, [&format!("gateway-{name}"), "gateway-default"], "{scene}");
        let status = self.tree.status(name);
        assert_eq!(status["state"], "up", "{status}\n{scene}");
        assert!(is_alive(pid(&status)), "{scene}");
    }
}

/// Whether strace injected the fault into the last command.
fn was_injected(scene: &Scene) -> bool {
    let trace = fs::read_to_string(scene.tree.env.path().join("strace.log"));
    trace.expect("a trace").contains("(INJECTED)")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name != ".gateways")
        .collect();
    names.sort();
    names
}

#[test]
fn boot_settles_a_killed_rename() {
    let mut scene = Scene::new();
    let steps = at_every(&CHANGES, "signal=KILL", |injection| {
        let renamed = scene.rename(&[injection]);
        match renamed.code() {
            Some(code) => {
                assert_eq!(code, 0, "{renamed}");
                scene.is_whole(false, &renamed.to_string());
            }
            None => scene.boot_repairs(&renamed),
        }
        renamed.code().is_none()
    });
    tell(format_args!("crash: `hermes profile rename` killed at {steps} points"));
    assert!(steps >= 100, "it has that many steps at least: {steps}");
    let log = fs::read_to_string(scene.tree.env.home().join("logs/container-boot.log")).unwrap();
    for said in ["prior=running action=rename-finished detail=\"it was `", "action=rename-undone"] {
        assert!(log.contains(said), "{said}\n{log}");
    }
}

#[test]
fn boot_settles_a_killed_undo() {
    let mut scene = Scene::new();
    // The first FIFO is for the events of the stop, the second is in the new slot; the rest was moved.
    let fails = "mknodat:error=EIO:when=2";
    let mut steps = 0;
    let calls = ["renameat2", "renameat", "rename", "unlink", "fsync", "write"];
    at_every(&calls, "signal=KILL", |injection| {
        let from = scene.name;
        let renamed = scene.rename(&[fails, injection]);
        match renamed.code() {
            Some(code) => {
                assert_eq!(code, 1, "{renamed}");
                scene.is_whole(false, &renamed.to_string());
                assert_eq!(scene.name, from, "{renamed}");
            }
            None => {
                steps += usize::from(was_injected(&scene));
                scene.boot_repairs(&renamed);
            }
        }
        renamed.code().is_none()
    });
    tell(format_args!("crash: a rename that is undone killed at {steps} points"));
    assert!(steps >= 25, "undoing has that many steps at least: {steps}");
}

#[test]
fn a_failed_step_is_undone() {
    let mut scene = Scene::new();
    let mut failures = 0;
    // Printing may fail.
    let [calls @ .., _write] = &CHANGES;
    at_every(calls, "error=EIO", |injection| {
        let (from, to) = (scene.name, scene.other());
        let renamed = scene.rename(&[injection]);
        if !was_injected(&scene) {
            assert_eq!(renamed.code(), Some(0), "{renamed}");
            scene.is_whole(false, &renamed.to_string());
            return false;
        }
        let seen = renamed.to_string();
        if renamed.code() == Some(0) {
            // For example a lock file that stays.
            scene.is_whole(true, &seen);
            assert_eq!(scene.name, to, "{seen}");
        } else {
            failures += 1;
            is_one_clear_error(&renamed);
            let done = renamed.stderr.contains(&format!("is called `{to}` now"));
            if !done {
                scene.is_whole(true, &seen);
                assert_eq!(scene.name, from, "{seen}");
            }
        }
        // Boot has slots to clear at most.
        let booted = scene.tree.env.hermes(["boot"]).ok();
        scene.is_whole(false, &format!("{booted}\n{seen}"));
        true
    });
    assert!(failures >= 60, "it has that many steps that may fail: {failures}");
}

#[test]
fn undo_registers_a_stopped_gateway() {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_serving("a");
    for call in ["renameat2:error=EIO:when=2", "unlinkat:error=EIO:when=3"] {
        let refused = env.hermes_injected(&[call], ["profile", "rename", "a", "b"]).fails_with(1);
        is_one_clear_error(&refused);
        let status = tree.status("a");
        assert_eq!((&status["state"], &status["registered"]), (&"down".into(), &true.into()));
        assert_eq!(names(&env.home().join("profiles")), [".locks", "a"], "{refused}");
    }
}

#[test]
fn boot_finishes_a_failed_undo() {
    let mut scene = Scene::new();
    // The new slot can't be published, and nothing can be moved back.
    let refused = scene.rename(&["renameat2:error=EIO:when=4+"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    is_one_clear_error(&refused);
    for said in
        ["failed to register the gateway of `b`", "not everything could be undone", "`hermes boot`"]
    {
        assert!(refused.stderr.contains(said), "{said}\n{refused}");
    }
    scene.boot_repairs(&refused);
    assert_eq!(scene.name, "b", "{refused}");
}

#[test]
fn without_a_backend_a_failed_step_is_undone() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "a"]).ok();
    let rename = |injection: &str| {
        let hermes = env.hermes_injected(&[injection], ["profile", "rename", "a", "b"]);
        let runtime = env.path().join("runtime");
        let hermes = hermes.env("XDG_RUNTIME_DIR", runtime.to_str().expect("a UTF-8 path"));
        let failed = hermes.env_remove("HERMES_SCANDIR").fails_with(1);
        is_one_clear_error(&failed);
        failed
    };
    let undone = rename("renameat2:error=EIO:when=2");
    assert!(undone.stderr.starts_with("error: failed to rename profile `a` to `b`\n"), "{undone}");
    assert_eq!(names(&env.home().join("profiles")), [".locks", "a"], "{undone}");
    let torn = rename("renameat2:error=EIO:when=2+");
    assert!(torn.stderr.contains("could not be undone"), "{torn}");
    assert_eq!(names(&env.home().join("profiles")), [".locks", ".mv-a", "b"], "{torn}");
    // The next command that changes the profile completes the rename.
    alone(&env, ["profile", "rename", "b", "c"]).ok();
    assert_eq!(names(&env.home().join("profiles")), [".locks", "c"]);
}
