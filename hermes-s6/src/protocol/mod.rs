//! s6's protocols, one file each. Hermes speaks them itself and does not run s6's tools for them.

pub mod control;
pub mod events;
pub mod record;
pub(crate) mod resume;
pub(crate) mod rewritten;
pub mod scandir;
