//! The shutdown flag of a tree: once set, this process starts no gateway in it.

use std::sync::{Arc, Mutex, PoisonError};

use hermes_core::DriverError;

/// Whether this process is stopping the tree. Clones share the flag.
///
/// The thread that stops a tree sends every service the command to go down. A boot in another thread must not
/// send a service the command to come up after that.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Mutex<bool>>);

impl Shutdown {
    /// Sets the flag. Blocks while a start is in progress; after that no other one begins. Idempotent.
    pub fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Whether the flag is set.
    pub fn has_begun(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act`, which starts a gateway and must not take long, or fails if the flag is set.
    pub(crate) fn unless_begun<T>(
        &self,
        act: impl FnOnce() -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *begun {
            true => Err(DriverError::new("the tree is being stopped")),
            false => act(),
        }
    }
}
