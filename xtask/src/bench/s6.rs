//! s6's own tools on all gateways of a scan directory: a loop, as an operator's script has.

use std::path::Path;

use anyhow::Result;

use super::testbed::{Home, time};

/// Sends each service the command `$3` and waits for the state `$2`, then reads the state of each.
const LOOP: &str = r#"cd "$1" || exit
for slot in gateway-*; do s6-svc "$2" "$3" "$slot" || exit; done
for slot in gateway-*; do s6-svstat "$slot" || exit; done"#;

/// Starts, restarts or stops all gateways, and returns how many milliseconds that took.
pub(super) fn change(home: &Home, verb: &str) -> Result<f64> {
    let command = |[wait, command]: [&str; 2]| {
        let mut shell = home.command(Path::new("sh"));
        shell.args(["-c", LOOP, "sh"]).arg(&home.scandir).args([wait, command]);
        time(shell, &[0])
    };
    steps(verb).iter().map(|step| command(*step)).sum()
}

/// The options of s6-svc: the state that it waits for, with `finish` and readiness, and the command. Its restart in one
/// step, `-r`, is a death to `finish`, which delays what follows by a second.
fn steps(verb: &str) -> &'static [[&'static str; 2]] {
    const UP: [&str; 2] = ["-wU", "-u"];
    const DOWN: [&str; 2] = ["-wD", "-d"];
    match verb {
        "start" => &[UP],
        "restart" => &[DOWN, UP],
        _ => &[DOWN],
    }
}
