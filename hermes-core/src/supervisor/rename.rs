//! Renames a profile together with its service: all of it, or nothing.
//!
//! The store moves the files ([`Renaming`]), under the locks of both names and with a journal. Before that the
//! old service is removed; after it the new one is created, and a gateway that ran is brought up again. A step
//! that fails undoes the steps before it.

use super::prior::PriorState;
use super::{ProfileError, Supervisor};
use crate::driver::{DriverError, During, Lifetime};
use crate::error_chain::in_one_line;
use crate::events::What;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::interruption;
use crate::lock::Lock;
use crate::manager::ManagerError;
use crate::name::ProfileName;
use crate::status::State;
use crate::store::Renaming;

/// The old and the new gateway of a rename. Both names are locked.
struct RenameTarget<'a> {
    renaming: Renaming<'a>,
    old: Gateway,
    new: Gateway,
}

impl Supervisor {
    /// Renames a profile: stops its gateway, removes its service, moves its home, its logs and the default
    /// profile, creates the service under the new name, and starts a gateway that ran. On failure everything is
    /// undone, and a gateway that ran runs again; it is a failure if a gateway that was up does not come up under
    /// the new name. A gateway that was wanted but not up is not waited for. Blocks until all this was observed.
    /// Returns the gateway under its new name. Not idempotent. [`Store::begin_rename`] lists the refused names.
    ///
    /// [`Store::begin_rename`]: crate::Store::begin_rename
    pub fn rename(&self, from: &ProfileName, to: &ProfileName) -> Result<Gateway, ProfileError> {
        let operation = format!("rename profile `{from}` to `{to}`");
        self.driver.check_name(to).during(&operation)?;
        self.store.refuse_open(Some(self.gateway_called(from).home())).during(&operation)?;
        let registers = self.driver.lifetime() == Lifetime::Registered;
        if registers {
            self.driver.reach().during(&operation)?;
        }
        let has_service = || Ok::<_, DriverError>(registers || self.driver.exists(from)?);
        let check = || self.driver.check(from, &format!("profile rename {from} {to}"));
        let checked = has_service().during(&operation)?;
        if checked {
            check().during(&operation)?;
        }
        let renaming = self.store.begin_rename(from, to, self.store.timeout())?;
        self.refuse_foreign(&self.gateway_called(from)).during(&operation)?;
        // Another command may have installed or removed it before the profile was locked.
        if !has_service().during(&operation)? {
            // Only files are moved; the store refuses a running gateway without a service.
            renaming.complete()?;
            self.record(to, What::Renamed, format!("it was `{from}`"));
            return Ok(self.gateway_called(to));
        }
        if !checked {
            check().during(&operation)?;
        }
        let target =
            RenameTarget { renaming, old: self.gateway_called(from), new: self.gateway_called(to) };
        let (prior, _port) = self.prior_state(&target).during(&operation)?;
        target.renaming.record()?;
        if let Err(error) = self.carry_over(&target, &prior) {
            let error = ManagerError::of(&operation, error);
            return Err(match self.undo(&target, &prior) {
                Ok(()) => error,
                Err(left) => error.with_hint(format!(
                    "not everything could be undone ({}); `hermes boot`, or the next command on the profile under the \
                     name that it has now, settles the rest",
                    in_one_line(&left)
                )),
            }
            .into());
        }
        let forgotten = target.renaming.forget().during(&operation).map_err(|error| {
            error.with_hint(format!(
                "the profile is called `{to}` now; the next command on it removes the journal"
            ))
        });
        forgotten?;
        self.record(to, What::Renamed, format!("it was `{from}`"));
        Ok(target.new)
    }

    /// The service before the rename, and the lock on its port, which the caller holds until the gateway is up
    /// again. Refuses a gateway that runs and could not come up again because another one has its port, and a new
    /// name that already has a service.
    fn prior_state(
        &self,
        target: &RenameTarget<'_>,
    ) -> Result<(PriorState, Option<Lock>), DriverError> {
        let RenameTarget { old, new, .. } = target;
        if self.driver.exists(new.name())? {
            let to = new.name();
            let (why, hint) = match self.driver.lifetime() {
                Lifetime::Registered => {
                    ("registered", "`hermes boot` removes the service".to_owned())
                }
                _ => ("installed", format!("`hermes gateway uninstall {to}` removes the service")),
            };
            let why = format!("a service of `{to}` is {why} already, and belongs to no profile");
            return Err(DriverError::new(why).with_hint(hint));
        }
        let wanted = Intent::read(old.home())? == Intent::Running;
        let status = self.driver.observe(old)?;
        let ran = wanted && status.state == State::Up;
        if ran {
            self.refuse_open(old)?;
        }
        let (up, port) = match self.claim_port(old) {
            Ok(port) => (wanted, port),
            Err(error) if ran => return Err(error),
            Err(_) => (false, None),
        };
        let extra_env = self.driver.extra_env(old.name())?;
        Ok((PriorState { existed: status.registered, ran, up, extra_env }, port))
    }

    fn carry_over(&self, target: &RenameTarget<'_>, prior: &PriorState) -> Result<(), DriverError> {
        let RenameTarget { renaming, old, new } = target;
        let step = |verb: &str, name| format!("{verb} the gateway of `{name}`");
        let removed = self.driver.remove(old);
        removed.map_err(|error| error.in_step(step("unregister", old.name())))?;
        renaming.move_files()?;
        let created = self.create_again(new, prior);
        created.map_err(|error| error.in_step(step("register", new.name())))?;
        let started = if prior.ran { self.driver.up(new) } else { Ok(()) };
        started.map_err(|error| error.in_step(step("start", new.name())))
    }

    fn undo(&self, target: &RenameTarget<'_>, prior: &PriorState) -> Result<(), DriverError> {
        interruption::shielded(|| {
            self.driver.remove(&target.new)?;
            target.renaming.move_back()?;
            self.restore(&target.old, prior)
        })
    }
}
