//! What people see: tables that fit the terminal, one gateway with its reason and its log, and `hermes top`.

use hermes_tests::{Svscan, eventually, kill, pid, signal};
use rustix::process::Signal;

/// A tree with a gateway that runs, one that is parked, and one with a long name.
fn with_gateways() -> Svscan {
    let tree = Svscan::start();
    let env = &tree.env;
    env.profile_running("coder", "echo one; echo two; exec sleep 600");
    env.profile_running("wrong", "echo 'no key in .env' >&2; exit 78");
    env.profile_running("a-profile-with-quite-a-long-name", "exec sleep 600");
    env.hermes(["start", "coder"]).ok();
    env.hermes(["start", "wrong"]).run();
    eventually("it is parked", || (tree.status("wrong")["state"] == "parked").then_some(()));
    tree
}

/// What `line` prints on a terminal of so many columns, without colours.
fn screen(tree: &Svscan, line: &str, columns: u16) -> Vec<String> {
    let command = tree.env.hermes(line.split(' ')).env("NO_COLOR", "1");
    let (stdout, _, _) = command.on_terminal_of(columns).ended();
    stdout.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

#[test]
fn a_table_fits_the_terminal() {
    let tree = with_gateways();
    for (columns, titles) in [
        (60, "PROFILE STATE SINCE PORT"),
        (80, "PROFILE STATE PID SINCE DEATHS PORT"),
        (120, "PROFILE STATE PID SINCE INTENT READY DEATHS PORT RUNS LAST EXIT"),
    ] {
        let lines = screen(&tree, "status", columns);
        let header = lines[0].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(header, titles, "{columns}: {lines:#?}");
        assert_eq!(lines.len(), 5, "one line for each gateway: {lines:#?}");
        for line in &lines {
            assert!(line.chars().count() <= columns.into(), "{columns}: {line}");
        }
    }
    let cut = screen(&tree, "status", 30);
    assert!(cut.iter().any(|line| line.starts_with("a-profile-with-…")), "{cut:#?}");
    // A pipe gets all of it.
    let piped = tree.env.hermes(["status"]).run().stdout;
    assert!(piped.lines().next().is_some_and(|line| line.ends_with("LAST EXIT")), "{piped}");
}

#[test]
fn states_have_colours_on_a_terminal_alone() {
    let tree = with_gateways();
    let command = tree.env.hermes(["status"]).env("TERM", "xterm");
    let (coloured, _, _) = command.on_terminal_of(120).ended();
    for state in ["\x1b[32mup\x1b[0m", "\x1b[31mparked\x1b[0m", "\x1b[90mdown\x1b[0m"] {
        assert!(coloured.contains(state), "{coloured}");
    }
    assert!(!tree.env.hermes(["status"]).run().stdout.contains('\x1b'));
}

#[test]
fn one_gateway_is_shown_with_its_reason_its_log_and_what_to_do() {
    let tree = with_gateways();
    let env = &tree.env;
    let up = eventually("its log is there", || {
        Some(env.hermes(["status", "coder"]).ok().stdout).filter(|text| text.contains("  two\n"))
    });
    assert!(up.contains("\n\nlast lines of its log:\n"), "{up}");
    assert!(!up.contains("hint"), "nothing is to be done: {up}");
    let parked = env.hermes(["status", "wrong"]).fails_with(3).stdout;
    for expected in [
        "state      parked\n",
        "\nhint       `hermes logs wrong` prints its output; once the cause is mended, `hermes start wrong`\n",
        "  no key in .env\n",
    ] {
        assert!(parked.contains(expected), "{expected}: {parked}");
    }
    // The time is local, with its offset.
    let since = up.lines().find_map(|line| line.strip_prefix("since      ")).expect("a time");
    let offset = since.split(' ').nth(2).expect("an offset");
    assert!(offset.len() == 6 && offset.contains(':'), "{since}");
}

#[test]
fn top_shows_what_gateways_use_until_it_ends() {
    let tree = with_gateways();
    let env = &tree.env;
    let twice = env.hermes(["top", "-n", "2", "--interval", "1"]).ok().stdout;
    assert_eq!(twice.matches("PROFILE").count(), 2, "{twice}");
    assert!(twice.rsplit("\n\n").next().is_some_and(|last| last.contains(" %")), "{twice}");
    let one = env.hermes(["top", "coder", "-n", "1", "--json"]).ok().json();
    assert!(one[0]["usage"]["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{one}");

    let absent = env.hermes(["top", "nope"]).fails_with(4);
    assert!(absent.stderr.contains("profile `nope` does not exist"), "{absent}");

    let slow = env.hermes(["top", "--interval", "3600"]).on_terminal_of(60);
    let pictures = || slow.stdout().matches("Ctrl-C ends").count();
    eventually("a picture is shown", || (pictures() == 1).then_some(()));
    eventually("a picture of the new size is shown", || {
        signal(slow.pid(), Signal::WINCH);
        (pictures() > 1).then_some(())
    });
    signal(slow.pid(), Signal::INT);
    assert_eq!(slow.ended().2, Some(0));

    let top = env.hermes(["top"]).on_terminal_of(60);
    let shown = eventually("a picture is shown", || {
        Some(top.stdout()).filter(|text| text.contains("coder") && text.contains("Ctrl-C ends"))
    });
    assert!(shown.starts_with("\x1b[?1049h"), "it leaves what was there: {shown:?}");
    let gateway = pid(&tree.status("coder"));
    kill(gateway);
    eventually("the change is shown", || {
        let text = top.stdout();
        (text.contains("backoff") || text.matches("coder").count() > 2).then_some(())
    });
    signal(top.pid(), Signal::INT);
    let (stdout, stderr, code) = top.ended();
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.ends_with("\x1b[?25h\x1b[?1049l"), "{stdout:?}");
}

#[test]
fn top_ends_with_its_reader() {
    let tree = with_gateways();
    let top = tree.env.shell("{ hermes top --interval 1; echo $? >&2; } | head -n 1").run();
    assert_eq!(top.stderr, "0\n", "{top}");
}
