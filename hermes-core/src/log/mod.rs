//! The logs of gateways: one trait for every backend, and its implementation over log directories.
//!
//! | file | what it does |
//! |---|---|
//! | `logs` | the traits: [`Logs`], [`Follow`] |
//! | [`line`](mod@line) | [`Line`]: when it was written, its text, whether it was cut |
//! | `selection` | [`Selection`]: which lines are read |
//! | `files` | [`LogFiles`]: the directories that s6-log and launchd write to |
//! | `profiles`, `watch` | what a follower of any source needs: deleted profiles, changes in directories |
//! | `polling` | the same as `watch`, where the kernel has no inotify |

mod files;
pub mod line;
mod logs;
mod profiles;
mod selection;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(not(target_os = "linux"))]
#[path = "polling.rs"]
mod watch;

use std::time::Duration;

pub use files::LogFiles;
pub use line::Line;
pub use logs::{Event, Follow, Lines, Logs, Removed};
pub use profiles::Profiles;
/// What [`Selection::pattern`] is.
pub use regex_lite::Regex;
pub use selection::{Filter, Selection};
pub use watch::Watch;

/// How often followers look where the kernel does not notify them.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
