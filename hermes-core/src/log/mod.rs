//! The logs of gateways: one trait for every backend, and its implementation over log directories.
//!
//! | file | what it does |
//! |---|---|
//! | `logs` | the traits: [`Logs`], [`Follow`] |
//! | [`line`](mod@line) | [`Line`]: when it was written, its text, whether it was cut |
//! | `selection` | [`Selection`]: which lines are read |
//! | `files` | [`LogFiles`]: the directories that s6-log and launchd write to |
//! | `profiles`, `watch` | what a follower of any source needs: deleted profiles, changes in directories |

#[cfg(target_os = "linux")]
mod files;
pub mod line;
mod logs;
#[cfg(target_os = "linux")]
mod profiles;
mod selection;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(target_os = "linux")]
pub use files::LogFiles;
pub use line::Line;
pub use logs::{Event, Follow, Lines, Logs, Removed};
#[cfg(target_os = "linux")]
pub use profiles::Profiles;
/// What [`Selection::pattern`] is.
pub use regex_lite::Regex;
pub use selection::{Filter, Selection};
#[cfg(target_os = "linux")]
pub use watch::Watch;
