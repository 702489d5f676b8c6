//! The commands that work only with s6, on a system without it: each fails, and says what takes its place.

use hermes_core::ProfileName;
use hermes_core::end_signals::Held;
use hermes_core::restart::Policy;

use crate::app::App;
use crate::error::CliError;

type Refused = Result<u8, CliError>;

fn no_s6() -> CliError {
    CliError::new("s6 runs on Linux alone, and so does `hermes up`")
        .with_hint("`hermes gateway install` has this system's own service manager run a gateway")
}

fn refuse() -> Refused {
    Err(no_s6())
}

pub(crate) fn run(_: &App, _: bool, _: bool, _: Option<Held>) -> Refused {
    refuse()
}

pub(crate) fn adopt(_: &App, _: Option<Held>) -> Refused {
    refuse()
}

pub(crate) fn become_svscan(_: &App, _: u32) -> Refused {
    refuse()
}

pub(crate) fn stop(_: &App) -> Refused {
    refuse()
}

pub(crate) fn delegate(_: &App) -> Refused {
    refuse()
}

pub(crate) fn after_death(_: &App, _: Option<&str>, _: &Policy) -> Refused {
    refuse()
}

/// A gateway outside of a slot has none.
pub(crate) fn leftovers_of_orphan(_: &App, _: &ProfileName) -> impl FnOnce() + use<> {
    || {}
}

pub(crate) mod background {
    use hermes_core::Supervisor;

    use crate::app::App;
    use crate::error::CliError;

    pub(crate) fn run(_: &App) -> super::Refused {
        super::refuse()
    }

    pub(crate) fn start(_: &App) -> Result<Supervisor, CliError> {
        Err(super::no_s6())
    }
}
