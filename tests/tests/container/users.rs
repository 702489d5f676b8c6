//! The user of the container, and its rights.

use hermes_tests::container::{Base, Container, Start, base};
use hermes_tests::eventually;

/// The options for `--user`: a /run that this user owns.
const OWN_RUN: [&str; 4] =
    ["--user", "10000:10000", "--tmpfs", "/run:exec,uid=10000,gid=10000,mode=755"];

/// Creates a profile, checks that its gateway runs as this user, and deletes the profile.
#[track_caller]
pub(crate) fn works_as(container: &Container, ids: &str) {
    container.profile_running("coder", "echo runs as $(id -u):$(id -g); exec sleep 600");
    container.hermes(["gateway", "start", "coder"]).ok();
    container.await_output(&format!("[coder] runs as {ids}\n"), 1);
    let owners = container.shell("find /opt/data -printf '%U:%G\n' | sort -u").ok();
    assert_eq!(owners.stdout, format!("{ids}\n"));
    container.hermes(["gateway", "restart", "coder"]).ok();
    container.hermes(["profile", "delete", "coder", "-y"]).ok();
}

#[test]
fn hermes_can_be_any_user() {
    for (names, uid, gid) in [
        (("HERMES_UID", "HERMES_GID"), "1000", "1000"),
        (("PUID", "PGID"), "99", "100"),
        (("HERMES_UID", "HERMES_GID"), "70000", "70001"),
    ] {
        let start = Start::new().env(names.0, uid).env(names.1, gid);
        works_as(&start.booted(), &format!("{uid}:{gid}"));
    }
}

#[test]
fn a_changed_owner_follows_no_link() {
    let container = Start::new().env("HERMES_UID", "1000").booted();
    container
        .shell("ln -s /etc/shadow /opt/data/link; mkdir /opt/data/kept; : >/opt/data/kept/f")
        .ok();
    let reason = "only root can make the volume look like one from before a remap";
    let back = "chown -hR 10000:10000 /opt/data";
    container.exec_as_root_because(reason, ["sh", "-c", back]).ok();
    container.docker("restart");
    container.await_boot(2);
    let owners = container.shell("find /opt/data -printf '%U\n' | sort -u; stat -c %U /etc/shadow");
    assert_eq!(owners.ok().stdout, "1000\nroot\n");
}

#[test]
fn invalid_ids_are_refused() {
    for wrong in ["0", "-1", "hermes", "1 2"] {
        let outcome = Start::new().env("PUID", wrong).command(["echo", "it ran"]).run();
        assert_ne!(outcome.code(), Some(0), "{outcome}");
        assert!(outcome.stderr.contains("` for HERMES_UID"), "{outcome}");
        assert!(!outcome.stdout.contains("it ran"), "{outcome}");
    }
}

#[test]
fn everything_works_without_root() {
    let container = Start::new().options(OWN_RUN).booted();
    works_as(&container, "10000:10000");
    container.profile_running("kept", "exec sleep 600");
    container.hermes(["gateway", "start", "kept"]).ok();
    container.docker("restart");
    container.await_boot(2);
    assert_eq!(container.status("kept")["state"], "up");
    container.docker("stop");
    assert_eq!(container.exit_code(), 0);
}

#[test]
fn another_user_is_refused_with_guidance() {
    let outcome = Start::new()
        .options(["--user", "1000:1000", "--tmpfs", "/run:exec,uid=1000,gid=1000,mode=755"])
        .command(["echo", "it ran"])
        .run();
    assert_ne!(outcome.code(), Some(0), "{outcome}");
    assert!(!outcome.stdout.contains("it ran"), "{outcome}");
    for words in ["--user 10000:10000", "HERMES_UID=1000", "PUID"] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome}");
    }
}

#[test]
fn a_run_of_roots_is_reported() {
    let outcome = Start::new().options(["--user", "10000:10000"]).command(["echo", "it ran"]).run();
    if base() != Base::Plain {
        // s6-overlay reports it, too; if its `preinit` is set-user-ID, it corrects that and continues.
        assert!(outcome.to_string().contains("/run belongs to uid 0"), "{outcome}");
        return;
    }
    assert_ne!(outcome.code(), Some(0), "{outcome}");
    assert!(!outcome.stdout.contains("it ran"), "{outcome}");
    assert!(outcome.stderr.contains("--tmpfs /run:exec,uid=10000,gid=10000"), "{outcome}");
}

#[test]
fn a_run_that_can_not_be_used_is_reported_before_anything_starts() {
    if base() != Base::Plain {
        // s6-overlay has checks of its own.
        return;
    }
    let options = ["--tmpfs /run", "--read-only", "--user 10000:10000 --read-only"];
    for (options, reason) in options.into_iter().zip(["noexec", "not writable", "not writable"]) {
        let outcome = Start::new().options(options.split(' ')).command(["echo", "it ran"]).run();
        assert_eq!(outcome.code(), Some(100), "{options}: {outcome}");
        for words in [reason, "hint: --tmpfs /run:exec"] {
            assert!(outcome.stderr.contains(words), "{options}: {words}: {outcome}");
        }
        assert!(!outcome.stderr.contains("s6-svscan"), "{options}: {outcome}");
    }
}

#[test]
fn a_run_of_the_users_is_refused() {
    let outcome = Start::new()
        .options(["--tmpfs", "/run:exec,uid=10000,gid=10000,mode=755"])
        .command(["echo", "it ran"])
        .run();
    if base() == Base::Plain {
        assert_ne!(outcome.code(), Some(0), "{outcome}");
        assert!(outcome.stderr.contains("/run belongs to uid 10000"), "{outcome}");
        assert!(!outcome.stdout.contains("it ran"), "{outcome}");
        return;
    }
    // s6-overlay makes root its owner.
    assert!(outcome.stdout.contains("it ran"), "{outcome}");
}

#[test]
fn root_follows_no_link_that_hermes_left() {
    let container = Start::new().booted();
    let reason = "what is looked at is what root may have given away or removed";
    let root = |line: &str| container.exec_as_root_because(reason, line.split(' ')).ok().stdout;
    let look = || root("find /etc /opt/kept -maxdepth 1 -newermt 1970-01-02 -printf %p:%u:%m\\n");
    root("mkdir /opt/kept");
    root("touch /opt/kept/file");
    let before = look();
    let plant = "for at in /run/hermes/service /opt/data /opt/data/logs; do \
                 ln -s /etc $at/etc; ln -s /opt/kept $at/.hermes-kept; ln -s /opt/kept/file $at/file; done; \
                 rm -rf /opt/data/profiles; ln -s /opt/kept /opt/data/profiles; true";
    container.shell(plant).ok();
    container.docker("restart");
    eventually("it runs again", || {
        (container.exec(["test", "-d", "/run/hermes/service"]).run().code() == Some(0))
            .then_some(())
    });
    for line in ["hermes profile create coder", "hermes boot", "hermes doctor --fix"] {
        container.exec_as_root_because(reason, line.split(' ')).run();
    }
    assert_eq!(look(), before);
}

#[test]
fn the_root_file_system_may_be_read_only() {
    let read_only = ["--read-only", "--tmpfs", "/run:exec", "--tmpfs", "/tmp"];
    works_as(&Start::new().options(read_only).booted(), "10000:10000");
    let refused =
        Start::new().options(read_only).env("PUID", "1000").command(["echo", "it ran"]).run();
    assert_ne!(refused.code(), Some(0), "{refused}");
    assert!(refused.stderr.contains("--user 10000:10000"), "{refused}");
    let both = Start::new().options(OWN_RUN).options(["--read-only", "--tmpfs", "/tmp"]);
    works_as(&both.booted(), "10000:10000");
}

#[test]
fn roots_commands_become_the_owner() {
    let container = Start::new().env("HERMES_UID", "1234").booted();
    let reason = "what is shown is what a root `hermes` becomes";
    let root = |line: &'static str| container.exec_as_root_because(reason, line.split(' '));
    root("hermes profile create coder").ok();
    root("hermes gateway start coder").ok();
    root("hermes gateway stop coder").ok();
    // Under root's s6-svscan, supervisors run as root and own the files that they write.
    let foreign = match base() {
        Base::OverlayRoot => "find /opt/data ! -user hermes",
        Base::Plain | Base::Overlay => "find /opt/data /run/hermes/service ! -user hermes",
    };
    let found = container.exec_as_root_because(reason, foreign.split(' ')).ok();
    assert_eq!(found.stdout, "", "{found}");
    root("env HERMES_AS_ROOT=1 hermes profile use coder").ok();
    let owner = root("stat -c %u /opt/data/active_profile").ok();
    assert_eq!(owner.stdout, "0\n");
}

#[test]
fn ways_to_become_root_are_reported() {
    let container = Start::new().booted();
    let report = container.hermes(["doctor", "--json"]).run().json();
    let checks = report["checks"].as_array().expect("a list");
    let privilege =
        checks.iter().find(|check| check["check"] == "privilege").expect("it is looked at");
    let expected = if base() == Base::OverlayRoot { "warning" } else { "ok" };
    assert_eq!(privilege["result"], expected, "{privilege}");
}
