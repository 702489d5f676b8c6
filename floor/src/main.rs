//! The floor of the machine: what Hermes is measured against by `cargo xtask bench`.
//!
//! Each command makes the system calls that its job can't do without, one after the other in one
//! thread, and nothing else: no argument parser, no YAML, no JSON, no locks against other commands, no
//! undo, and hardly an error message. It is no alternative to `hermes`; it is the time below which no
//! program can get here.

mod files;
mod look;
mod slot;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use rustix::io::Errno;

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).map(OsString::into_string).collect();
    let args: Vec<_> = args.iter().flatten().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["nothing"] => Ok(()),
        ["list", home, scandir] => look::all(home, scandir, look::LIST),
        ["status", home, scandir] => look::all(home, scandir, look::STATUS),
        ["status", home, scandir, name] => look::one(home, scandir, name),
        ["plan", home, scandir] => look::all(home, scandir, look::PLAN),
        ["register", scandir, scripts, name] => slot::register(scandir, scripts, &[name]),
        ["unregister", scandir, name] => slot::unregister(scandir, name),
        ["boot", home, scandir, scripts] => boot(home, scandir, scripts),
        _ => Err(Errno::INVAL),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => ExitCode::from(u8::try_from(errno.raw_os_error()).unwrap_or(1)),
    }
}

/// A slot for every profile, with one scan for all of them.
fn boot(home: &str, scandir: &str, scripts: &str) -> Result<(), Errno> {
    let names = look::profiles(home)?;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    slot::register(scandir, scripts, &names)
}
