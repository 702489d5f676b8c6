//! The logs of gateways: one trait for every backend, and its implementation over log directories.
//!
//! | file | what it does |
//! |---|---|
//! | `logs` | the traits: [`Logs`], [`Follow`] |
//! | [`line`](mod@line) | a line's time stamp, and the line as JSON |
//! | `files` | [`LogFiles`]: the directories that s6-log and launchd write to |
//! | `profiles`, `watch` | what a follower of any source needs: deleted profiles, changes in directories |

#[cfg(target_os = "linux")]
mod files;
pub mod line;
mod logs;
#[cfg(target_os = "linux")]
mod profiles;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(target_os = "linux")]
pub use files::LogFiles;
pub use logs::{Event, Follow, Lines, Logs, Removed};
#[cfg(target_os = "linux")]
pub use profiles::Profiles;
#[cfg(target_os = "linux")]
pub use watch::Watch;
