//! A gateway's Pod, which sees its own home alone, can't have commands read or write another one's files for it.

use std::fs;
use std::os::unix::fs::symlink;

use hermes_tests::suite::Machine;

use crate::console::Console;

#[test]
fn no_command_follows_a_link_out_of_a_profile() {
    let console = Console::new();
    console.profile("coder");
    console.profile("writer");
    let home = |profile: &str| console.env.profile(profile);
    let secret = "gateway: {env: {KEY: the-writers-own}}\n";
    console.configure("writer", secret);
    fs::remove_file(home("coder").join("config.yaml")).expect("a configuration");
    symlink("../writer/config.yaml", home("coder").join("config.yaml")).expect("a link");
    for args in [
        &["profile", "port", "coder", "9999"][..],
        &["config", "show", "coder"],
        &["profile", "create", "third", "--clone-from", "coder"],
        &["gateway", "restart", "coder"],
    ] {
        let outcome = console.hermes(args).run();
        assert_ne!(outcome.code(), Some(0), "{outcome}");
        assert!(outcome.stderr.contains("leads out of its profile's home"), "{outcome}");
        assert!(!format!("{outcome}").contains("the-writers-own"), "{outcome}");
    }
    let text = fs::read_to_string(home("writer").join("config.yaml")).expect("a configuration");
    assert_eq!(text, secret);
    assert!(!home("third").join("config.yaml").exists());
    // A link inside of the home is one's own affair.
    fs::remove_file(home("coder").join("config.yaml")).expect("a link");
    fs::write(home("coder").join("own.yaml"), "gateway: {port: 9998}\n").expect("a file");
    symlink("own.yaml", home("coder").join("config.yaml")).expect("a link");
    let port = console.hermes(&["profile", "port", "coder"]).ok();
    assert_eq!(port.stdout.trim(), "9998");
}
