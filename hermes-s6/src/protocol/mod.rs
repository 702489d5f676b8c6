//! s6's protocols, one file each, spoken directly and not through s6's programs.

pub mod control;
pub mod events;
pub mod record;
pub mod scandir;
