//! Queries about trees of s6, whichever backend is in charge. Only Linux has such trees.

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{KIND, find_user_scandir, obstacle, other_tree, owner};
#[cfg(target_os = "linux")]
pub(crate) use linux::{KIND, find_user_scandir, obstacle, other_tree, owner};

#[cfg(target_os = "linux")]
mod linux {
    use hermes_core::driver::{DriverError, Environment};

    pub(crate) use hermes_s6::KIND;
    pub(crate) use hermes_s6::tree::connect::find_user_scandir;
    pub(crate) use hermes_s6::tree::owner::{elsewhere as other_tree, owner};

    /// Why `hermes up` can't run a tree here.
    pub(crate) fn obstacle(environment: &Environment) -> Option<DriverError> {
        hermes_s6::Tree::of_user(environment).err()
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::convert::Infallible;
    use std::io;
    use std::path::{Path, PathBuf};

    use hermes_core::driver::{DriverError, Environment};
    use hermes_core::{Kind, RootHome};

    pub(crate) const KIND: Kind = Kind::new("s6");

    pub(crate) fn find_user_scandir(_: &RootHome, _: Option<&Path>) -> Option<PathBuf> {
        None
    }

    pub(crate) fn owner(_: &RootHome) -> io::Result<Option<Infallible>> {
        Ok(None)
    }

    pub(crate) fn other_tree(owner: &Infallible) -> DriverError {
        match *owner {}
    }

    pub(crate) fn obstacle(_: &Environment) -> Option<DriverError> {
        Some(DriverError::new("s6 runs on Linux alone").with_hint("use this system's launchd"))
    }
}
