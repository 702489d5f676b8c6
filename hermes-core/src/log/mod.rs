//! Reading the directory that s6-log keeps: all of it, its last lines, and what is still to come.
//!
//! Sources: `s6-log.html`, `src/daemontools-extras/s6-log.c`. s6-log appends whole lines to `current`.
//! A rotation renames that to `previous`, makes a new `current`, marks `previous` as finished, links
//! it as `@<TAI64N>.s`, unlinks `previous`, and unlinks the oldest archives where there are too many.
//! A logger that starts goes on with a `current` that was finished in order, and links any other one
//! as `@<TAI64N>.u`. So
//!
//! - a file is never written to after `current` came to mean another one;
//! - the names of archives sort by time, and a file's inode stays the same under all its names;
//! - for a moment there is no `current`, and for another one a file has two names.
//!
//! Files are therefore told apart by inode, and held open for as long as that matters: the number of
//! an inode that nobody holds may come to mean another file.
//!
//! Lines over 8,192 bytes (`-l`) were split by s6-log when it wrote them; nothing here joins them.

mod directory;
mod follow;
mod lines;
mod tail;
mod watch;

pub use follow::{Follower, Next, Removed};
pub use lines::Lines;
pub use watch::Watch;
