//! The traits for gateways' logs: reading the lines that a log holds, and following the ones to come.
//!
//! A profile is meant by its place: its index in the list of profiles that the caller passed in.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::line::Line;
use super::selection::Selection;
use crate::manager::ManagerError;
use crate::name::ProfileName;

/// The logs of the gateways of one root home, wherever the backend keeps them.
///
pub trait Logs {
    /// Whether the profile has a log. A source that can't know without reading returns `true`. Does not
    /// wait.
    fn exists(&self, profile: &ProfileName) -> Result<bool, ManagerError>;

    /// The selected lines in the logs of `profiles` at the time of the call, in the order of time. A profile
    /// without a log has no lines. May block until the source has been read.
    fn read(&self, profiles: &[ProfileName], selection: &Selection) -> Result<Lines, ManagerError>;

    /// Follows the logs of `profiles`, beginning with the selected lines of each. The lines to come are
    /// selected by time and pattern. A log need not exist yet, its profile must. May block until the
    /// first lines have been read.
    fn follow(
        &self,
        profiles: &[ProfileName],
        selection: &Selection,
    ) -> Result<Box<dyn Follow>, ManagerError>;
}

/// Lines, each with the place of its profile.
pub type Lines = Box<dyn Iterator<Item = Result<(usize, Line), ManagerError>>>;

/// Logs that are being followed. Dropping it ends that.
pub trait Follow: Send {
    /// The next event and the place of its profile, in the order of time as far as the events are
    /// known; `None` until there may be more. Does not block.
    fn next(&mut self) -> Result<Option<(usize, Event)>, ManagerError>;

    /// Descriptors to wait for after a `None`: one is readable when there may be another event.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;

    /// How long to wait for them at most before [`next`](Self::next) is called again; `None` for as
    /// long as it takes. Ask anew before each wait.
    fn max_wait(&mut self) -> Option<Duration>;
}

/// An event of a log that is followed.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The gateway wrote a line.
    Line(Line),
    /// Lines are missing here.
    Removed(Removed),
    /// The profile was deleted or renamed. Its log has no further events.
    Ended,
}

/// Archived log files that were removed before they could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The number of files known to be missing.
    pub archives: usize,
    /// Whether no other files are missing.
    pub exact: bool,
}

impl Removed {
    /// The warning about the missing lines of `profile`.
    pub fn warning(self, profile: &ProfileName) -> String {
        let at_least = if self.exact { "" } else { "at least " };
        match self.archives {
            0 => format!(
                "lines of `{profile}` may be missing here: archived files may have been removed before \
                 they could be read, and nothing tells how many"
            ),
            1 => format!(
                "lines of `{profile}` are missing here: {at_least}1 archived file was removed before \
                 it could be read"
            ),
            archives => format!(
                "lines of `{profile}` are missing here: {at_least}{archives} archived files were \
                 removed before they could be read"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_states_as_much_as_is_known() {
        let coder = "coder".parse().unwrap();
        let warning = |archives, exact| Removed { archives, exact }.warning(&coder);
        let warnings = [warning(1, true), warning(2, false), warning(0, false)];
        assert_eq!(
            warnings.map(|warning| warning.replace("before they could be read", "unread")),
            [
                "lines of `coder` are missing here: 1 archived file was removed before it could be read",
                "lines of `coder` are missing here: at least 2 archived files were removed unread",
                "lines of `coder` may be missing here: archived files may have been removed unread, \
                 and nothing tells how many",
            ]
        );
    }
}
