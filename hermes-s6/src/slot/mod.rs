//! Slots: creates, starts, stops and removes the service directory of a gateway and its logger.

pub(crate) mod batch;
pub(crate) mod deaths;
pub(crate) mod displaced;
pub mod layout;
pub mod lifecycle;
pub(crate) mod logger;
pub mod policy;
pub(crate) mod quick_stop;
pub mod registry;
pub mod render;
pub mod stage;
mod watch;

pub use displaced::SUPERVISE;
