//! The environment of this process: the one file of the library that reads environment variables.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use hermes_core::agent::Places;
use hermes_core::detect::{self, Facts};
use hermes_core::driver::Environment;
use hermes_core::home::{self, CONTAINER_ROOT, HomeFacts, ProfileHome};
use hermes_core::wait::Timeouts;
use hermes_core::{ProfileName, RootHome, fsutil, passwd};
use hermes_host::Account;
use jiff::tz::TimeZone;

use crate::Settings;
use crate::error::Error;
use crate::trees;

/// The rules of the machine's time zone, as tzset(3) reads them.
const LOCALTIME: &str = "/etc/localtime";

/// The value of an environment variable; an empty one counts as unset.
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The value of an environment variable as text; an empty one counts as unset.
pub fn text(name: &str) -> Option<String> {
    variable(name).map(|value| value.to_string_lossy().into_owned())
}

/// The time zone of this process: `TZ`, or else the machine's `/etc/localtime`; UTC if neither is readable.
///
/// A database of zones is read only for `TZ`: listing its files takes longer than a status.
pub fn local_zone() -> TimeZone {
    let machine = env::var_os("TZ").is_none().then(|| fsutil::read(LOCALTIME.as_ref()));
    let zone = machine.and_then(|bytes| TimeZone::tzif("local", &bytes.ok()?).ok());
    zone.unwrap_or_else(TimeZone::system)
}

/// Where to look for the Python agent's program of the profile at `home`.
pub(crate) fn places_of_agent<'a>(
    home: &'a ProfileHome,
    configured: Option<&'a Path>,
) -> Places<'a> {
    Places::of(home, configured, passwd::home_dir(), variable)
}

/// Whether homes that other users may write to are used. Root, if it trusts the home, does so, too.
pub(crate) fn allows_open_homes(environment: &Environment) -> bool {
    let trusts = hermes_core::diagnostics::me() == 0 && variable(home::env::AS_ROOT).is_some();
    trusts || environment.allows_open_homes()
}

/// The home directory of an account that is not in `/etc/passwd`, unless the root home needs none.
fn home_of_name_service() -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let account = || Account::of(hermes_core::diagnostics::me(), &path).ok();
    Some(variable(home::env::HOME).is_none().then(account)??.home)
}

/// The environment for drivers, and the profile whose home `HERMES_HOME` is, if it lies below `profiles/`.
pub(crate) fn gather(settings: &Settings) -> Result<(Environment, Option<ProfileName>), Error> {
    let mut facts = Facts::gather(Path::new("/"));
    facts.requested = text(home::env::BACKEND);
    facts.named_scandir = match &settings.scandir {
        Some(dir) => Some(
            std::path::absolute(dir)
                .map_err(|source| Error::Directory { path: dir.clone(), source })?,
        ),
        None => variable(home::env::SCANDIR).map(PathBuf::from),
    };
    facts.launchd |= variable(home::env::TEST_LAUNCHCTL).is_some();
    let home_facts = HomeFacts {
        hermes_home: variable(home::env::HOME).map(PathBuf::from),
        user_home: passwd::home_dir().or_else(home_of_name_service),
        s6_in_charge: facts.s6_in_charge(),
        container_root: Path::new(CONTAINER_ROOT).is_dir(),
    };
    let (root, home_profile): (RootHome, _) = home::locate(&home_facts)?;
    let timeouts = settings.timeout.map_or_else(Timeouts::default, Timeouts::all);
    let program = hermes_core::program::path().map_err(|source| Error::Program { source })?;
    let mut environment =
        Environment { facts, root, program, timeouts, system: settings.system, variable };
    let runtime = environment.runtime_dir();
    environment.facts.user_scandir =
        trees::find_user_scandir(&environment.root, runtime.as_deref());
    let socket = runtime.map(|dir| dir.join("systemd/private"));
    environment.facts.user_systemd = socket.filter(|socket| detect::answers(socket));
    Ok((environment, home_profile))
}
