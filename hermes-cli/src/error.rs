//! The errors that commands print: one line, the causes below it, a hint, and an exit code.

use std::error::Error as StdError;
use std::fmt;

use hermes::view::{ErrorView, code};
use hermes_core::config::Quote;
use hermes_core::driver::{Cause, DriverError, LastLine};
use hermes_core::error_chain::{chain, in_one_line, is_denied};
use hermes_core::manager::ManagerError;
use hermes_core::store::StoreError;
use hermes_core::supervisor::ProfileError;
use hermes_dashboard::DashboardError;
use hermes_gateway::GatewayError;
use thiserror::Error;

use crate::called;
use crate::output::quotes;

/// Exit codes. To stop a stopped gateway is a `SUCCESS`.
pub(crate) mod exit {
    /// Done.
    pub(crate) const SUCCESS: u8 = 0;
    /// Any other failure.
    pub(crate) const FAILURE: u8 = 1;
    /// An invalid command line (clap's own code).
    pub(crate) const USAGE: u8 = 2;
    /// `status`: the gateway does not run.
    pub(crate) const NOT_RUNNING: u8 = 3;
    /// No such profile or service.
    pub(crate) const NOT_FOUND: u8 = 4;
    /// The supervisor or owner is out of reach, or permission was denied.
    pub(crate) const OUT_OF_REACH: u8 = 5;
    /// A timeout.
    pub(crate) const OUT_OF_TIME: u8 = 6;
    /// SIGINT has cut off a wait.
    pub(crate) const INTERRUPTED: u8 = 130;
    /// SIGTERM has cut off a wait.
    pub(crate) const TERMINATED: u8 = 143;
    /// `gateway start --foreground`: the configuration is wrong, so a restart can't help.
    pub(crate) const CONFIG: u8 = 78;
}

/// The error of a command.
#[derive(Debug)]
pub(crate) struct CliError {
    code: u8,
    message: String,
    cause: Option<Cause>,
    hint: Option<String>,
    quotes: Vec<Quote>,
}

impl CliError {
    /// An error with the exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            code: exit::FAILURE,
            message: message.into(),
            cause: None,
            hint: None,
            quotes: Vec::new(),
        }
    }

    /// Adds the cause. If that is a denied permission, the exit code becomes 5.
    pub(crate) fn because(mut self, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        if is_denied(&*cause) {
            self.code = exit::OUT_OF_REACH;
        }
        self.quotes = quotes(&*cause);
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

    /// Whether it is the end of an interrupted command, and no failure.
    pub(crate) fn is_interruption(&self) -> bool {
        [exit::INTERRUPTED, exit::TERMINATED].contains(&self.code)
    }

    /// The error and its causes in one line.
    pub(crate) fn in_one_line(&self) -> String {
        let causes = self.causes().map(|cause| format!(": {cause}"));
        format!("{self}{}", causes.collect::<String>())
    }

    /// The error as an object, for people who called this program by one of its names.
    pub(crate) fn view(&self) -> ErrorView {
        let named = |text: String| called::named(&text).into_owned();
        ErrorView {
            profile: None,
            error: named(self.to_string()),
            causes: self.causes().map(named).collect(),
            hint: self.hint.clone().map(named),
            code: self.code,
        }
    }

    /// The lines of a configuration that it is about.
    pub(crate) fn quotes(&self) -> &[Quote] {
        &self.quotes
    }

    /// The causes, outermost first, without those that only repeat the one before.
    pub(crate) fn causes(&self) -> impl Iterator<Item = String> + '_ {
        let mut last = self.message.clone();
        let causes = self.cause.iter().flat_map(|cause| chain(&**cause)).map(ToString::to_string);
        causes.filter(move |cause| !std::mem::replace(&mut last, cause.clone()).ends_with(cause))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error of a library, with its class and its hint.
macro_rules! from_library {
    ($($error:ty),*) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                let (code, hint) = (code(&error.class()), error.hint().map(Into::into));
                Self { code, hint, ..Self::of(error) }
            }
        })*
    };
}

from_library!(ManagerError, StoreError, hermes::Error);

impl From<ProfileError> for CliError {
    fn from(error: ProfileError) -> Self {
        hermes::Error::from(error).into()
    }
}

impl From<DriverError> for CliError {
    fn from(error: DriverError) -> Self {
        let (code, hint) = (code(error.class()), error.hint().map(str::to_owned));
        Self { code, hint, ..Self::of(error) }
    }
}

impl From<GatewayError> for CliError {
    fn from(error: GatewayError) -> Self {
        let code = match () {
            () if error.is_permanent() => exit::CONFIG,
            () if error.is_gone() => exit::NOT_FOUND,
            () => exit::FAILURE,
        };
        let hint = error.hint();
        match error {
            GatewayError::Store(error) => Self { code, ..error.into() },
            error => Self { code, hint, ..Self::of(error) },
        }
    }
}

impl From<DashboardError> for CliError {
    fn from(error: DashboardError) -> Self {
        let code = if error.is_permanent() { exit::CONFIG } else { exit::FAILURE };
        let hint = error.hint().map(str::to_owned);
        Self { code, hint, ..Self::of(error) }
    }
}

impl CliError {
    /// An error with its own line and its causes, with the exit code 1.
    pub(crate) fn of(error: impl StdError + Send + Sync + 'static) -> Self {
        let message = error.to_string();
        let cause = error.source().map(|cause| Cause::from(Joined::of(cause)));
        let quotes = quotes(&error);
        Self { code: exit::FAILURE, message, cause, hint: None, quotes }
    }
}

/// Causes in one line, and the last line that a gateway printed in a line of its own.
#[derive(Debug, Error)]
#[error("{causes}")]
struct Joined {
    causes: String,
    #[source]
    last_line: Option<LastLine>,
}

impl Joined {
    fn of(cause: &(dyn StdError + 'static)) -> Self {
        let last_line = chain(cause).find_map(|cause| cause.downcast_ref::<LastLine>());
        let causes = in_one_line(cause);
        match last_line {
            None => Self { causes, last_line: None },
            Some(line) => {
                let above = causes.strip_suffix(&format!(": {line}")).unwrap_or(&causes);
                Self { causes: above.to_owned(), last_line: Some(line.clone()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hermes_core::ProfileName;
    use hermes_core::driver::Class;

    use super::*;

    #[test]
    fn every_class_of_the_library_has_its_exit_code() {
        let name = ProfileName::default_profile;
        for (class, expected) in [
            (Class::Usage, exit::USAGE),
            (Class::NoSuchProfile(name()), exit::NOT_FOUND),
            (Class::Unreachable, exit::OUT_OF_REACH),
            (Class::Denied, exit::OUT_OF_REACH),
            (Class::TimedOut(Duration::ZERO), exit::OUT_OF_TIME),
            (Class::AlreadyRegistered(name()), exit::FAILURE),
            (Class::Failed, exit::FAILURE),
        ] {
            assert_eq!(code(&class), expected, "{class:?}");
        }
    }
}
