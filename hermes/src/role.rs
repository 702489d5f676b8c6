//! Whether another machine or container runs the gateways of a home: `HERMES_ROLE`.

use hermes_core::RootHome;
use hermes_core::driver::DriverError;
use hermes_core::home::env;
use hermes_s6::tree::owner;

use crate::environment::text;
use crate::error::Error;

/// Fails where this process supervises nothing (`HERMES_ROLE=client`), and names the home's owner.
pub(crate) fn refuse_client(root: &RootHome) -> Result<(), Error> {
    match text(env::ROLE).as_deref() {
        None | Some("owner") => return Ok(()),
        Some(env::ROLE_CLIENT) => {}
        Some(role) => return Err(Error::Role { value: role.to_owned() }),
    }
    let home = root.path().display();
    let why = match owner::owner(root) {
        Ok(Some(owner)) => format!("the gateways of `{home}` are run by {owner}"),
        Ok(None) => format!("the gateways of `{home}` are run elsewhere, and by nobody now"),
        Err(error) => format!("the owner of `{home}` can't be read: {error}"),
    };
    let source = DriverError::unreachable(why).with_hint("run the command there");
    Err(Error::Client { source })
}

/// Whether this process supervises nothing.
pub fn is_client() -> bool {
    text(env::ROLE).as_deref() == Some(env::ROLE_CLIENT)
}
