//! After a downgrade: what a newer version wrote in a format of its own is refused with a sentence, and left as it is.

use std::fs;

use hermes_tests::doctor::printed_findings;
use hermes_tests::{Svscan, TestEnv, is_one_clear_error, pid};

const SENTENCE: &str =
    "was written by a newer version of Hermes (format 99; this version knows up to ";

#[test]
fn a_slot_of_a_newer_version_is_not_replaced() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    let before = pid(&tree.status("a"));
    env.write(&env.slot("a").join("data/generation"), "99\n");
    let refresh = ["gateway", "register", "--refresh", "a"];
    for command in [&refresh[..], &["gateway", "register", "--refresh", "--all"]] {
        let refused = env.hermes(command.iter().copied()).fails_with(1);
        assert!(refused.stderr.contains(SENTENCE), "{refused}");
        assert_eq!(pid(&tree.status("a")), before, "nothing was stopped");
    }
    let found = printed_findings(env, "stale-slots");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].problem.contains(SENTENCE), "{found:?}");
    // The service itself is the operator's: the hint leads back to this version.
    let refused = env.hermes(refresh).fails_with(1);
    for command in ["gateway unregister a", "gateway start a"] {
        assert!(refused.stderr.contains(&format!("`hermes {command}`")), "{refused}");
        env.hermes(command.split(' ')).ok();
    }
    env.hermes(refresh).ok();
}

#[test]
fn a_journal_of_a_newer_rename_is_reported_and_kept() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    let journal = env.home().join("profiles/.mv-a");
    env.write(&journal, "format 99\n{\"to\": \"b\"}\n");
    let boot = env.hermes(["boot"]).run();
    assert!(boot.stderr.contains(SENTENCE), "{boot}");
    let found = printed_findings(env, "renames");
    assert!(found.iter().any(|finding| finding.problem.contains(SENTENCE)), "{found:?}");
    assert!(journal.exists());
    assert_eq!(tree.status("a")["state"], "up");
}

#[test]
fn a_journal_of_a_newer_adoption_is_refused() {
    let tree = Svscan::start_with_a(TestEnv::new());
    let env = &tree.env;
    let journal = env.home().join("hermes-adopted/journal.json");
    env.make_directory(journal.parent().expect("a directory"));
    let text = "{\"format\": 99}";
    env.write(&journal, text);
    for command in [&["adopt"][..], &["adopt", "--undo"]] {
        let refused = env.hermes(command.iter().copied()).fails_with(1);
        is_one_clear_error(&refused);
        assert!(refused.stderr.contains(SENTENCE), "{refused}");
    }
    let found = env.hermes(["doctor"]).run();
    assert!(found.stdout.contains(SENTENCE), "{found}");
    assert_eq!(fs::read_to_string(&journal).expect("it is kept"), text);
}
