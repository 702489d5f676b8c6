//! Renaming a profile together with its service: all of it, or nothing.
//!
//! The files are the store's to move ([`Renaming`]), under the locks of both names and with a journal.
//! Around that the old service is removed and a new one created, and a gateway that ran is brought up
//! again; a step that fails undoes those before it.

use super::{ProfileError, Supervisor};
use crate::driver::{CreateOptions, DriverError, During, Lifetime};
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;
use crate::intent::Intent;
use crate::lock::Lock;
use crate::manager::ManagerError;
use crate::name::ProfileName;
use crate::status::State;
use crate::store::Renaming;

/// The two ends of a rename, whose names are locked.
struct RenameTarget<'a> {
    renaming: Renaming<'a>,
    old: Gateway,
    new: Gateway,
}

/// What the service was before the rename.
#[derive(Debug, Clone, Copy)]
struct PriorState {
    /// There was one.
    existed: bool,
    /// Its gateway was up, and is to be up again.
    ran: bool,
    /// It comes up by itself: the intent is `running` and no other gateway has its port.
    up: bool,
}

impl Supervisor {
    /// Renames a profile: stops its gateway and removes its service, moves home, logs and sticky choice,
    /// creates the service under the new name and starts what ran. All or nothing: on failure everything
    /// is undone, and a gateway that ran runs again; that includes a gateway which was up and does not
    /// come up under the new name. One that was wanted and not up is not waited for. Blocks until all
    /// that was observed. Returns the gateway under its new name. Not idempotent. Which names are refused, [`Store::begin_rename`] says.
    ///
    /// [`Store::begin_rename`]: crate::Store::begin_rename
    pub fn rename(&self, from: &ProfileName, to: &ProfileName) -> Result<Gateway, ProfileError> {
        let operation = format!("rename profile `{from}` to `{to}`");
        self.driver.check_name(to).during(&operation)?;
        let registers = self.driver.lifetime() == Lifetime::Registered;
        if !registers && !self.driver.exists(from).during(&operation)? {
            // Files alone; a gateway without a service that runs is refused by the store.
            self.store.rename(from, to)?;
            return Ok(self.gateway_called(to));
        }
        if registers {
            self.driver.reach().during(&operation)?;
        }
        self.driver.check(from, &format!("profile rename {from} {to}")).during(&operation)?;
        let target = RenameTarget {
            renaming: self.store.begin_rename(from, to, self.store.timeout())?,
            old: self.gateway_called(from),
            new: self.gateway_called(to),
        };
        let (prior, _port) = self.prior_state(&target).during(&operation)?;
        target.renaming.record()?;
        if let Err(error) = self.carry_over(&target, prior) {
            let error = ManagerError::of(&operation, error);
            return Err(match self.undo(&target, prior) {
                Ok(()) => error,
                Err(left) => error.with_hint(format!(
                    "not everything could be undone ({}); the next command on `{from}`, or \
                     `hermes boot`, completes it",
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
        Ok(target.new)
    }

    /// What the service was, and the lock on its port, held until the gateway is up again so that no other
    /// gets it meanwhile. Refuses a gateway that ran and would not come up again because another one has
    /// its port, and a new name that has a service already.
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
        let (up, port) = match self.claim_port(old) {
            Ok(port) => (wanted, port),
            Err(error) if ran => return Err(error),
            Err(_) => (false, None),
        };
        Ok((PriorState { existed: status.registered, ran, up }, port))
    }

    fn carry_over(&self, target: &RenameTarget<'_>, prior: PriorState) -> Result<(), DriverError> {
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

    fn undo(&self, target: &RenameTarget<'_>, prior: PriorState) -> Result<(), DriverError> {
        self.driver.remove(&target.new)?;
        target.renaming.move_back()?;
        if !prior.existed {
            return Ok(());
        }
        if !self.driver.exists(target.old.name())? {
            self.create_again(&target.old, prior)?;
        }
        match prior.up.then(|| self.driver.up(&target.old)) {
            // What did not run before may fail to start again.
            Some(Err(error)) if prior.ran => Err(error),
            _ => Ok(()),
        }
    }

    fn create_again(&self, gateway: &Gateway, prior: PriorState) -> Result<(), DriverError> {
        let options = CreateOptions { up: prior.up, ..CreateOptions::default() };
        self.driver.create(gateway, &options)?;
        if prior.up { self.driver.request_up(gateway) } else { Ok(()) }
    }
}
