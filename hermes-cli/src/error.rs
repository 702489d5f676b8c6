//! Errors as the user meets them: one line, the cause below it, a hint, an exit code.

use std::error::Error as StdError;
use std::fmt;

use hermes_core::Kind;
use hermes_core::backend::RenameError;
use hermes_core::error_chain::{chain, in_one_line, is_denied};
use hermes_core::manager::{Cause, ManagerError};
use hermes_core::store::StoreError;
use hermes_gateway::GatewayError;

/// Exit codes. `SUCCESS` is also that of a stop of what was stopped.
pub(crate) mod exit {
    /// Done.
    pub(crate) const SUCCESS: u8 = 0;
    /// It failed.
    pub(crate) const FAILURE: u8 = 1;
    /// The command line makes no sense (clap's own code).
    pub(crate) const USAGE: u8 = 2;
    /// `status`: the gateway does not run.
    pub(crate) const NOT_RUNNING: u8 = 3;
    /// No such profile or service.
    pub(crate) const NOT_FOUND: u8 = 4;
    /// The supervisor or owner is out of reach, or permission was denied.
    pub(crate) const OUT_OF_REACH: u8 = 5;
    /// The time ran out.
    pub(crate) const OUT_OF_TIME: u8 = 6;
    /// `gateway start --foreground`: the configuration can't become right by itself.
    pub(crate) const CONFIG: u8 = 78;
}

/// What to do about a gateway that runs where this command can't reach it.
const ELSEWHERE: &str = "it belongs to another supervision tree, or was started by hand: \
     name its tree with --scandir, or end it";

/// What a command failed with.
#[derive(Debug)]
pub(crate) struct CliError {
    code: u8,
    message: String,
    cause: Option<Cause>,
    hint: Option<String>,
}

impl CliError {
    /// A failure with the exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: exit::FAILURE, message: message.into(), cause: None, hint: None }
    }

    /// Names the cause; permission denied decides the exit code, too.
    pub(crate) fn because(mut self, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        if is_denied(&*cause) {
            self.code = exit::OUT_OF_REACH;
        }
        self.cause = Some(cause);
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The error and its causes in one line.
    pub(crate) fn in_one_line(&self) -> String {
        let causes = self.causes().map(|cause| format!(": {cause}"));
        format!("{self}{}", causes.collect::<String>())
    }

    /// The causes, outermost first.
    pub(crate) fn causes(&self) -> impl Iterator<Item = String> + '_ {
        self.cause.iter().flat_map(|cause| chain(&**cause)).map(ToString::to_string)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ManagerError> for CliError {
    fn from(error: ManagerError) -> Self {
        let code = match &error {
            ManagerError::NoSuchProfile { .. } => exit::NOT_FOUND,
            ManagerError::Unreachable { .. }
            | ManagerError::Denied { .. }
            | ManagerError::RegistrationUnsupported { kind: Kind::None }
            | ManagerError::InstallationUnsupported { kind: Kind::None } => exit::OUT_OF_REACH,
            ManagerError::TimedOut { .. } => exit::OUT_OF_TIME,
            _ => exit::FAILURE,
        };
        let hint = error.hint();
        Self { code, hint, ..Self::of(error) }
    }
}

impl From<RenameError> for CliError {
    fn from(error: RenameError) -> Self {
        match error {
            RenameError::Store(error) => error.into(),
            RenameError::Manager(error) => error.into(),
        }
    }
}

impl From<GatewayError> for CliError {
    fn from(error: GatewayError) -> Self {
        let code = if error.is_permanent() { exit::CONFIG } else { exit::FAILURE };
        let hint = error.hint();
        match error {
            GatewayError::Store(error) => Self { code, ..error.into() },
            error => Self { code, hint, ..Self::of(error) },
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let (code, hint) = match &error {
            StoreError::Absent { name } => {
                (exit::NOT_FOUND, Some(format!("`hermes profile create {name}` makes it")))
            }
            StoreError::Exists { name } => {
                (exit::FAILURE, Some(format!("`hermes profile show {name}` shows it")))
            }
            StoreError::Reserved { .. } => (exit::FAILURE, Some("choose another name".to_owned())),
            StoreError::InTheWay { .. } => {
                (exit::FAILURE, Some("move it away, or choose another name".to_owned()))
            }
            StoreError::Runs { .. } => (exit::FAILURE, Some(ELSEWHERE.to_owned())),
            StoreError::Torn { .. } => {
                (exit::FAILURE, Some("`hermes boot` brings it to an end".to_owned()))
            }
            StoreError::Busy(_) => (exit::OUT_OF_TIME, None),
            error if is_denied(error) => {
                let hint = "run it as the user who owns the home".to_owned();
                (exit::OUT_OF_REACH, Some(hint))
            }
            StoreError::FileExists { .. } => {
                (exit::FAILURE, Some("`--force` replaces it".to_owned()))
            }
            StoreError::OntoDefault => {
                (exit::FAILURE, Some("`--name NAME` gives it another name".to_owned()))
            }
            StoreError::Export { source, .. } | StoreError::Import { source, .. } => {
                (exit::FAILURE, source.hint().map(str::to_owned))
            }
            StoreError::Config(error) => (exit::FAILURE, error.hint()),
            StoreError::Intent(error) => (exit::FAILURE, error.hint().map(str::to_owned)),
            _ => (exit::FAILURE, None),
        };
        Self { code, hint, ..Self::of(error) }
    }
}

impl CliError {
    /// An error of ours: its own line, and its causes below.
    pub(crate) fn of(error: impl StdError + Send + Sync + 'static) -> Self {
        let message = error.to_string();
        let cause = error.source().map(|cause| Cause::from(in_one_line(cause)));
        Self { code: exit::FAILURE, message, cause, hint: None }
    }
}
