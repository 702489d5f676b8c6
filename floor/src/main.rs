//! The floor: a minimal program that `cargo xtask bench` compares Hermes with.
//!
//! Each command makes only the system calls that its job needs, one after the other in one thread: no argument parser, no
//! YAML, no JSON, no locks against other commands, no undo, and an error number as its only message. It is not an
//! alternative to `hermes`; its time is the least that any program can take on this machine.

mod files;
mod many;
mod process;
mod record;
mod slot;
mod state;
mod tree;
mod watch;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use rustix::io::Errno;

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).map(OsString::into_string).collect();
    let args: Vec<_> = args.iter().flatten().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["nothing"] => Ok(()),
        ["list", home, scandir] => state::all(home, scandir, state::LIST),
        ["status", home, scandir] => state::all(home, scandir, state::STATUS),
        ["status", home, scandir, name] => state::one(home, scandir, name),
        ["plan", home, scandir] => state::all(home, scandir, state::PLAN),
        ["register", scandir, scripts, name] => slot::register(scandir, scripts, &[name]),
        ["unregister", scandir, name] => slot::unregister(scandir, name),
        ["boot", home, scandir, scripts] => boot(home, scandir, scripts, slot::register),
        ["boot-ready", home, scandir, scripts] => boot(home, scandir, scripts, many::boot),
        ["start", scandir] => many::change(scandir, many::START),
        ["stop", scandir] => many::change(scandir, many::STOP),
        ["restart", scandir] => many::change(scandir, many::RESTART),
        ["end", scandir] => tree::end(scandir),
        ["clear", scandir] => tree::clear(scandir),
        _ => Err(Errno::INVAL),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => ExitCode::from(u8::try_from(errno.raw_os_error()).unwrap_or(1)),
    }
}

/// Calls `create` with the names of all profiles, of which `default` has no directory among the others.
fn boot(
    home: &str,
    scandir: &str,
    scripts: &str,
    create: impl Fn(&str, &str, &[&str]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let names = state::profiles(home)?;
    let names = names.iter().map(String::as_str).chain(["default"]);
    create(scandir, scripts, &names.collect::<Vec<_>>())
}
