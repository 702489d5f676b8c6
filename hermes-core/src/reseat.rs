//! Carrying a profile's service over to another name: the steps that are the same for every backend.
//!
//! The files are the store's to move ([`Renaming`]), under the locks of both names and with a journal.
//! Around that the old service is taken away and a new one made, and what ran is seen to run again; a
//! step that fails undoes those before it.

use crate::causes::in_one_line;
use crate::failure::of_store;
use crate::manager::ManagerError;
use crate::name::ProfileName;
use crate::store::{Profile, Renaming};

/// What a rename does with the services of its two names, whose locks are held.
pub trait Reseat {
    /// Stops the gateway and takes its service away; one without service is done.
    fn take_away(&self, profile: &ProfileName) -> Result<(), ManagerError>;

    /// Makes a service of the profile, which comes up by itself if `up`.
    fn make(&self, profile: &Profile, up: bool) -> Result<(), ManagerError>;

    /// Whether the profile has a service.
    fn has(&self, profile: &ProfileName) -> bool;

    /// Starts the gateway and blocks until it is ready.
    fn start(&self, profile: &Profile) -> Result<(), ManagerError>;
}

/// What the service of a profile was before the rename.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// It had one.
    pub had: bool,
    /// It is to have one afterwards.
    pub wants: bool,
    /// Its gateway was up.
    pub ran: bool,
    /// It is to come up: wanted, and no other has its port.
    pub up: bool,
}

/// Renames with the service, once the journal is written. On failure everything is undone, and a gateway that ran runs again.
pub fn reseat(
    services: &impl Reseat,
    operation: &str,
    renaming: &Renaming<'_>,
    (old, new): (&Profile, &Profile),
    before: Before,
) -> Result<(), ManagerError> {
    if let Err(error) = carry_over(services, operation, renaming, (old, new), before) {
        return Err(match undo(services, operation, renaming, (old, new), before) {
            Ok(()) => error,
            Err(left) => {
                let left = in_one_line(&left);
                error.with_hint(format!(
                    "it could not all be undone ({left}); the next command that changes it, or \
                     `hermes boot`, brings it to an end"
                ))
            }
        });
    }
    renaming.forget().map_err(|error| {
        let to = &new.name;
        of_store(operation, error).with_hint(format!(
            "it is called `{to}` now; the next command on it removes the journal"
        ))
    })
}

fn carry_over(
    services: &impl Reseat,
    operation: &str,
    renaming: &Renaming<'_>,
    (old, new): (&Profile, &Profile),
    before: Before,
) -> Result<(), ManagerError> {
    services.take_away(&old.name)?;
    renaming.move_files().map_err(|error| of_store(operation, error))?;
    if before.wants {
        services.make(new, before.up)?;
    }
    if before.ran { services.start(new) } else { Ok(()) }
}

fn undo(
    services: &impl Reseat,
    operation: &str,
    renaming: &Renaming<'_>,
    (old, new): (&Profile, &Profile),
    before: Before,
) -> Result<(), ManagerError> {
    services.take_away(&new.name)?;
    renaming.move_back().map_err(|error| of_store(operation, error))?;
    if !before.had {
        return Ok(());
    }
    if !services.has(&old.name) {
        services.make(old, before.up)?;
    }
    match before.up.then(|| services.start(old)) {
        // What did not run before may fail to start again.
        Some(Err(error)) if before.ran => Err(error),
        _ => Ok(()),
    }
}
