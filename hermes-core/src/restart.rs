//! The rules of restarting that hold under every backend, and the words for a gateway that is parked.

use std::path::Path;
use std::time::Duration;

use crate::fsutil;
use crate::status::Exit;

/// A gateway exits with this when its configuration can't become right by itself (`sysexits.h`).
pub const EXIT_CONFIG: i32 = 78;
/// A gateway exits with this to be started again at once (`EX_TEMPFAIL`).
pub const EXIT_RESTART: i32 = 75;
/// So many deaths within [`WINDOW`] park a gateway.
pub const DEATHS: usize = 10;
/// Deaths longer ago than this are not counted for parking.
pub const WINDOW: Duration = Duration::from_secs(600);

/// Why a gateway is parked that exited with [`EXIT_CONFIG`]: what it said itself, if it did.
pub fn hopeless(fault: Option<String>) -> String {
    fault.unwrap_or_else(|| {
        format!("its configuration is wrong (exit {EXIT_CONFIG}); its log says what")
    })
}

/// Why a gateway is parked that died `count` times within `window`, at last with `exit`.
pub fn crash_loop(count: usize, window: Duration, exit: Exit, fault: Option<String>) -> String {
    let minutes = window.as_secs() / 60;
    let why = fault.unwrap_or_else(|| format!("last with {exit}; its log says more"));
    format!("it died {count} times within {minutes} minutes, {why}")
}

/// What a gateway said of why it could not start, in the file at `path`; `None` if nothing.
pub fn fault(path: &Path) -> Option<String> {
    let bytes = fsutil::read_if_there(path).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
