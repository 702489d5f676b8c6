//! The gateway process: what a slot's `run` becomes.

mod environment;
pub(crate) mod launch;
pub(crate) mod launchd;
pub(crate) mod notification;
pub(crate) mod readiness;
pub(crate) mod server;
