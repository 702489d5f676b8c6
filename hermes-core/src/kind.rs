//! [`Kind`]: the name of a kind of backend.

use std::fmt;

use serde::{Serialize, Serializer};

/// The name of a kind of backend, like `s6` or `systemd`. Each backend defines its own; the core has no
/// list. Kinds with the same name are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(&'static str);

impl Kind {
    /// The kind without a service manager.
    pub const NONE: Self = Self("none");

    /// The kind called `name`: a short lower-case word.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}
