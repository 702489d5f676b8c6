//! What a change to a profile means for its gateway's service.

use hermes_core::manager::ManagerError;
use hermes_core::process_lock;
use hermes_core::{Kind, ProfileName, RegisterOptions};
use hermes_s6::rename::RenameError;

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
        return Ok(later(registrar));
    }
    match registrar.register_profile_gateway(name, &RegisterOptions::default()) {
        // A boot may have been faster.
        Ok(()) | Err(ManagerError::AlreadyRegistered { .. }) => Ok(Registered::Yes),
        Err(error) => {
            let undone = app.store.delete(name, true);
            let error = CliError::from(error);
            Err(match undone {
                Ok(()) => error,
                Err(left) => error.hint(format!("the profile is still there: {left}")),
            })
        }
    }
}

/// Renames a profile, with its service where this backend makes one at run time: all or nothing.
pub(crate) fn rename(
    app: &App,
    registrar: &Services,
    from: &ProfileName,
    to: &ProfileName,
) -> Result<Registered, CliError> {
    match registrar.kind() {
        Kind::S6 => match app.s6()?.rename(from, to) {
            Ok(_) => Ok(Registered::Yes),
            Err(RenameError::Store(error)) => Err(error.into()),
            Err(RenameError::Manager(error)) => Err(error.into()),
        },
        Kind::Systemd | Kind::Launchd | Kind::None => {
            app.store.rename(from, to)?;
            Ok(later(registrar))
        }
    }
}

/// What the user does next where the backend makes no service at run time.
fn later(registrar: &Services) -> Registered {
    Registered::Later(match registrar.kind() {
        Kind::None => "`hermes up` runs its gateway".to_owned(),
        kind => format!("this version installs no gateways under {kind}; `hermes up` runs it"),
    })
}

/// Removes a profile: its service, all of its home, and what may have been registered meanwhile. A
/// gateway that runs under a supervisor which can't be reached from here keeps its profile.
pub(crate) fn delete(app: &App, name: &ProfileName, keep_logs: bool) -> Result<(), CliError> {
    let registrar = app.registrar()?;
    unregister(&registrar, name)?;
    let lock = app.root().profile(name).gateway_lock();
    let holder = process_lock::holder(&lock)
        .map_err(|error| CliError::new(format!("failed to delete `{name}`")).because(error))?;
    if let Some(holder) = holder {
        let pid = holder.pid.map_or_else(|| "elsewhere".to_owned(), |pid| format!("as {pid}"));
        return Err(CliError::new(format!("`{name}` was not deleted: its gateway runs {pid}"))
            .because("it belongs to another supervision tree, or was started by hand")
            .hint("name its tree with --scandir, or end it"));
    }
    app.store.delete(name, keep_logs)?;
    // Nobody can register what is no profile any more, but somebody may have just before.
    unregister(&registrar, name)
}

fn unregister(registrar: &Services, name: &ProfileName) -> Result<(), CliError> {
    match registrar.unregister_profile_gateway(name) {
        // Nothing to take away is fine.
        Ok(()) | Err(ManagerError::RegistrationUnsupported { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
