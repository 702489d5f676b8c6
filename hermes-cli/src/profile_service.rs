//! What a change to a profile means for its gateway's service.

use hermes_core::manager::ManagerError;
use hermes_core::process_lock;
use hermes_core::{ProfileName, RegisterOptions};

use crate::app::{App, Services};
use crate::error::CliError;

/// What became of the service of a new profile.
pub(crate) enum Registered {
    /// It has one.
    Yes,
    /// This backend makes none at run time: what the user does next.
    Later(String),
}

/// Registers the service of a profile that was just made. A failure undoes the profile: success is
/// never told of one whose slot is not there.
pub(crate) fn created(
    app: &App,
    registrar: &Services,
    name: &ProfileName,
) -> Result<Registered, CliError> {
    if !registrar.supports_runtime_registration() {
        return Ok(later(registrar, name));
    }
    match registrar.register_profile_gateway(name, &RegisterOptions::default()) {
        // A boot may have been faster.
        Ok(()) | Err(ManagerError::AlreadyRegistered { .. }) => Ok(Registered::Yes),
        Err(error) => {
            let undone = app.store.delete(name, true);
            let error = CliError::from(error);
            Err(match undone {
                Ok(()) => error,
                Err(left) => error.with_hint(format!("the profile is still there: {left}")),
            })
        }
    }
}

/// Renames a profile, with its service if it has one: all or nothing.
pub(crate) fn rename(
    app: &App,
    services: &Services,
    from: &ProfileName,
    to: &ProfileName,
) -> Result<Registered, CliError> {
    services.rename_profile(&app.store, from, to)?;
    let has_one = services.status(to).is_ok_and(|status| status.registered);
    Ok(if has_one { Registered::Yes } else { later(services, to) })
}

/// What the user does next where the backend makes no service by itself.
fn later(services: &Services, name: &ProfileName) -> Registered {
    Registered::Later(match services.supports_installation() {
        true => format!("`hermes gateway install {name}` has its gateway supervised"),
        false => "`hermes up` runs its gateway".to_owned(),
    })
}

/// Removes a profile: its service, all of its home, and what may have been registered meanwhile. A
/// gateway that runs under a supervisor which can't be reached from here keeps its profile.
pub(crate) fn delete(app: &App, name: &ProfileName, keep_logs: bool) -> Result<(), CliError> {
    let services = app.registrar()?;
    services.withdraw(name)?;
    let lock = app.root().profile(name).gateway_lock();
    let holder = process_lock::holder(&lock)
        .map_err(|error| CliError::new(format!("failed to delete `{name}`")).because(error))?;
    if let Some(holder) = holder {
        let pid = holder.pid.map_or_else(|| "elsewhere".to_owned(), |pid| format!("as {pid}"));
        return Err(CliError::new(format!("`{name}` was not deleted: its gateway runs {pid}"))
            .because("it belongs to another supervision tree, or was started by hand")
            .with_hint("name its tree with --scandir, or end it"));
    }
    app.store.delete(name, keep_logs)?;
    // Nobody can register what is no profile any more, but somebody may have just before.
    Ok(services.withdraw(name)?)
}
