//! Carrying a profile's service over to another name: the steps that are the same for every backend.
//!
//! The files are the store's to move ([`Renaming`]), under the locks of both names and with a journal.
//! Around that the old service is taken away and a new one made, and what ran is seen to run again; a
//! step that fails undoes those before it.

use crate::backend::RenameError;
use crate::error_chain::in_one_line;
use crate::failure::of_store;
use crate::intent::Intent;
use crate::lock::Lock;
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
    had: bool,
    /// Its gateway was up.
    ran: bool,
    /// It is to come up: wanted, and no other has its port.
    up: bool,
}

impl Before {
    /// What is known of a profile that had a service or not, whose gateway is wanted or not and was up
    /// or not, and the lock of its port ([`crate::gateway::claim_port`]), to be held until it is up
    /// again: nobody else is to get it meanwhile. Refuses one that ran and would not come up again,
    /// because another one has its port.
    pub fn new(
        had: bool,
        intent: Intent,
        was_up: bool,
        port: Result<Option<Lock>, ManagerError>,
    ) -> Result<(Self, Option<Lock>), ManagerError> {
        let wanted = intent == Intent::Running;
        let ran = wanted && was_up;
        match port {
            Ok(port) => Ok((Self { had, ran, up: wanted }, port)),
            Err(error) if ran => Err(error),
            Err(_) => Ok((Self { had, ran, up: false }, None)),
        }
    }
}

/// Renames with the service, with a journal of it. On failure everything is undone, and a gateway that
/// ran runs again.
pub fn reseat(
    services: &impl Reseat,
    operation: &str,
    renaming: &Renaming<'_>,
    (old, new): (&Profile, &Profile),
    before: Before,
) -> Result<(), RenameError> {
    renaming.record()?;
    if let Err(error) = carry_over(services, operation, renaming, (old, new), before) {
        let error = match undo(services, operation, renaming, (old, new), before) {
            Ok(()) => error,
            Err(left) => {
                let left = in_one_line(&left);
                error.with_hint(format!(
                    "it could not all be undone ({left}); the next command that changes it, or \
                     `hermes boot`, brings it to an end"
                ))
            }
        };
        return Err(error.into());
    }
    let forgotten = renaming.forget().map_err(|error| {
        let to = &new.name;
        of_store(operation, error).with_hint(format!(
            "it is called `{to}` now; the next command on it removes the journal"
        ))
    });
    Ok(forgotten?)
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
    services.make(new, before.up)?;
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
