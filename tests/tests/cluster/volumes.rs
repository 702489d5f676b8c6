//! A volume that can't lock files.

use hermes_tests::installation::{Installation, variable};
use hermes_tests::suite::Machine;

#[test]
fn a_volume_without_locks_is_reported() {
    let Some(class) = variable("HERMES_TEST_CLASS_WITHOUT_LOCKS") else {
        let reason = "needs --class-without-locks";
        hermes_tests::tell(format_args!(
            "not run: volumes::a_volume_without_locks_is_reported: {reason}"
        ));
        return;
    };
    let installation = Installation::of(Some(&class));
    let outcome = installation.hermes(&["profile", "create", "coder"]).fails_with(1);
    assert!(outcome.stderr.contains("hint: this file system has no locks"), "{outcome}");
    installation.shell("test -e /opt/data/profiles/coder").fails_with(1);
}
