//! The end of a tree, as those of the same process see it who start things in it.

use std::sync::{Arc, Mutex, PoisonError};

use hermes_core::DriverError;

/// Whether the tree is being stopped. Clones are one and the same.
///
/// Who stops a tree tells every service to go down; a boot that goes on in another thread must not tell
/// one to come up after that.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Mutex<bool>>);

impl Shutdown {
    /// Says that the tree is being stopped. When this returns, nothing is being started, and nothing
    /// will be.
    pub fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Whether it is being stopped.
    pub fn has_begun(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that starts a gateway, which must not take long, unless the tree is being stopped.
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
