//! The restart policy that all backends share, and the reasons for parking a gateway.

mod pod;
mod policy;
mod record;

use std::path::Path;
use std::time::Duration;

use crate::fsutil;
use crate::status::Exit;

pub use pod::PodRecord;
pub use policy::{Ending, History, Policy, Verdict};
pub use record::{Death, Record};

/// The beginning of the line that Hermes adds to the log of a gateway that it parks.
pub const PARKED: &str = "parked: ";

/// The exit code of a gateway whose configuration is invalid (`EX_CONFIG` of `sysexits.h`).
pub const EXIT_CONFIG: i32 = 78;
/// The exit code of a gateway that requests an immediate restart (`EX_TEMPFAIL`).
pub const EXIT_RESTART: i32 = 75;
/// The number of deaths within [`WINDOW`] after which a gateway is parked.
pub const DEATHS: usize = 10;
/// The period in which deaths count for parking.
pub const WINDOW: Duration = Duration::from_secs(600);
/// The period in which deaths count in [`Status::deaths`](crate::Status::deaths).
pub const AN_HOUR: Duration = Duration::from_secs(3600);

/// The reason for parking a gateway after its last death, `exit`, the `recent`th within [`WINDOW`]; `None` if
/// it is started again. An exit with [`EXIT_RESTART`] is no death, and must not be counted. `fault` is the gateway's own message, if there is one.
pub fn reason_to_park(exit: Exit, recent: usize, fault: Option<String>) -> Option<String> {
    match exit {
        Exit::Code(EXIT_CONFIG) => Some(invalid_configuration(fault)),
        // It is no death.
        Exit::Code(EXIT_RESTART) => None,
        _ => (recent >= DEATHS).then(|| crash_loop(recent, exit, fault)),
    }
}

/// The reason for parking a gateway that exited with [`EXIT_CONFIG`]: its own message, if there is one.
pub fn invalid_configuration(fault: Option<String>) -> String {
    fault.unwrap_or_else(|| {
        format!("its configuration is wrong (exit {EXIT_CONFIG}); its log has the reason")
    })
}

/// The reason for parking a gateway that died `count` times within [`WINDOW`], the last time with `exit`.
pub fn crash_loop(count: usize, exit: Exit, fault: Option<String>) -> String {
    let minutes = WINDOW.as_secs() / 60;
    let last = fault.unwrap_or_else(|| format!("last with {exit}; its log says more"));
    format!("it died {count} times within {minutes} minutes, {last}")
}

/// A gateway's own message about its failed start, from the file at `path`; `None` if there is none.
pub fn fault(path: &Path) -> Option<String> {
    let bytes = fsutil::read_if_there(path).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
