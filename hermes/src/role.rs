//! Whether another machine or container runs the gateways of a home: `HERMES_ROLE`.

use hermes_core::RootHome;
use hermes_core::driver::DriverError;
use hermes_core::home::env;

use crate::environment::text;
use crate::error::Error;
use crate::trees;

/// Returns an error, which names the home's owner, if `HERMES_ROLE=client`.
pub(crate) fn refuse_client(root: &RootHome) -> Result<(), Error> {
    match text(env::ROLE).as_deref() {
        None | Some("owner") => return Ok(()),
        Some(env::ROLE_CLIENT) => {}
        Some(role) => return Err(Error::Role { value: role.to_owned() }),
    }
    let home = root.path().display();
    let reason = match trees::owner(root) {
        Ok(Some(owner)) => format!("the gateways of `{home}` are run by {owner}"),
        Ok(None) => format!("no supervisor runs the gateways of `{home}` now"),
        Err(error) => format!("the owner of `{home}` can't be read: {error}"),
    };
    let source = DriverError::unreachable(reason).with_hint("run the command there");
    Err(Error::Client { source })
}

/// Whether `HERMES_ROLE=client`: another machine or container runs the gateways.
pub fn is_client() -> bool {
    text(env::ROLE).as_deref() == Some(env::ROLE_CLIENT)
}
