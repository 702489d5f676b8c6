//! Renders the three scripts of a slot.
//!
//! The scripts expand `${HERMES_HOME}` when they run, so the tree that runs a slot decides where the home
//! is. A script run by root switches to the user `hermes`; other users stay. Under `hermes up` a script
//! keeps its user and `HOME`, since that tree belongs to the user. Other users can't read the logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hermes_core::ProfileName;
use hermes_core::home::env;
use hermes_core::log::line::NO_NEWLINE;
use hermes_core::shell::{BadVariable, exports, quote};

use crate::programs::S6Programs;
use crate::slot::layout::NOTIFICATION_FD;

/// The unprivileged user of a container's gateways.
pub const USER: &str = "hermes";

/// The programs that the scripts run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPrograms {
    /// s6.
    pub s6: S6Programs,
    /// The `hermes` program.
    pub hermes: PathBuf,
}

impl ScriptPrograms {
    /// The s6 programs `s6` and the `hermes` program at `hermes`.
    pub fn new(s6: S6Programs, hermes: &Path) -> Self {
        Self { s6, hermes: hermes.to_owned() }
    }
}

/// The scripts of one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripts {
    /// `run`: starts the gateway.
    pub run: String,
    /// `finish`: decides what happens after a death.
    pub finish: String,
    /// `log/run`: starts the logger.
    pub log_run: String,
}

/// Renders the scripts of the slot of `profile`. `extra_env` is exported to the gateway.
pub fn scripts(
    programs: &ScriptPrograms,
    profile: &ProfileName,
    extra_env: &BTreeMap<String, String>,
) -> Result<Scripts, BadVariable> {
    let program = |name: &str| quote(&programs.s6.program(name).to_string_lossy());
    let (setuidgid, s6_log) = (program("s6-setuidgid"), program("s6-log"));
    let hermes = quote(&programs.hermes.to_string_lossy());
    let shebang = match &programs.s6.with_contenv {
        Some(with_contenv) => format!("#!{} sh", with_contenv.display()),
        None => "#!/bin/sh".to_owned(),
    };
    let exports = exports(extra_env)?;
    let (home, up) = (env::HOME, env::UP);
    // The beginning of every script. It leaves the prefix for a command in "$@".
    let begin = format!(
        r#"exec 2>&1
: "${{{home}:?is not set in this supervision tree}}"
set --
if [ -z "${{{up}:-}}" ] && [ "$(id -u)" -eq 0 ]; then
  set -- {setuidgid} {USER}
fi"#
    );
    let run = format!(
        r#"{shebang}
# Runs the gateway of profile {profile}. Made by `hermes gateway register`.
{begin}
[ -n "${{{up}:-}}" ] || export HOME="${{{home}}}"
cd "${{{home}}}" || exit 111
{exports}exec "$@" {hermes} -p {profile} gateway start --foreground 0<&{NOTIFICATION_FD}
"#
    );
    let finish = format!(
        r#"{shebang}
# Decides what follows a death of the gateway of profile {profile}; 125 leaves it down.
{begin}
echo '{NO_NEWLINE}'
exec "$@" {hermes} -p {profile} gateway after-death "$4"
"#
    );
    let log_run = format!(
        r#"{shebang}
# Logs the gateway of profile {profile}: with its name where the tree writes, and to rotated files.
{begin}
umask 027
"$@" mkdir -p -- "${{{home}}}/logs/gateways/{profile}" || exit 111
exec "$@" {s6_log} -bp -- '-^{NO_NEWLINE}$' 'p[{profile}]' 1 p t n10 s1000000 "${{{home}}}/logs/gateways/{profile}"
"#
    );
    Ok(Scripts { run, finish, log_run })
}

#[cfg(test)]
mod tests;
