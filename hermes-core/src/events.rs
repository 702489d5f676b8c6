//! The journal of events: what happened to which gateway, when and why.
//!
//! The file `logs/events.jsonl` in the root home has one JSON object per line. Whoever decides something appends to it:
//! commands, the tree, a gateway's own process. It is a record and nothing decides by it, so an event that can't be
//! written, as on a full disk, is logged, and the work goes on.
//!
//! | file | what it does |
//! |---|---|
//! | `journal` | [`Journal`]: appends events, and moves a full file to `.1` |
//! | `follow` | [`Follow`]: reads the events, and those to come |

mod follow;
mod journal;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::ProfileName;

pub use follow::Follow;
pub use journal::{Journal, Recorder};

/// An event of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, by the wall clock.
    pub time: Timestamp,
    /// The gateway's profile.
    pub profile: ProfileName,
    /// What happened.
    pub event: What,
    /// Why, as text for people; may be empty.
    #[serde(default)]
    pub why: String,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum What {
    /// Its service was created.
    Registered,
    /// Its service was removed, or its profile with it.
    Removed,
    /// Its profile was renamed to the name in the event.
    Renamed,
    /// A command, a boot, the tree or the gateway itself asked for a start, a stop or a restart.
    Requested,
    /// Its process runs.
    Started,
    /// It is ready.
    Ready,
    /// It was stopped as requested.
    Stopped,
    /// It is up and does not answer.
    Unresponsive,
    /// It answers again.
    Responsive,
    /// Its process ended without a request.
    Died,
    /// It is started again after a delay.
    BackedOff,
    /// It is not started again.
    Parked,
    /// The tree mended a difference from the intent.
    Mended,
    /// The tree failed to mend a difference from the intent.
    NotMended,
}

impl What {
    /// Every kind, as the documentation lists them.
    pub const ALL: [Self; 14] = [
        Self::Registered,
        Self::Removed,
        Self::Renamed,
        Self::Requested,
        Self::Started,
        Self::Ready,
        Self::Stopped,
        Self::Unresponsive,
        Self::Responsive,
        Self::Died,
        Self::BackedOff,
        Self::Parked,
        Self::Mended,
        Self::NotMended,
    ];

    /// Its name, as in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Removed => "removed",
            Self::Renamed => "renamed",
            Self::Requested => "requested",
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Unresponsive => "unresponsive",
            Self::Responsive => "responsive",
            Self::Died => "died",
            Self::BackedOff => "backed-off",
            Self::Parked => "parked",
            Self::Mended => "mended",
            Self::NotMended => "not-mended",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The event in a line of the file; `None` for a line that was cut short or that a later version wrote.
fn parse(line: &[u8]) -> Option<Event> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests;
