//! The gateway process: what a slot's `run` script, a systemd unit or a launchd job executes.
//!
//! A supervisor starts `hermes gateway start --foreground`, and that process calls [`run`]. Step by step it
//!
//! 1. finds the profile and removes the reason that a former gateway left for not starting;
//! 2. reads `config.yaml`, once, and fills in the placeholders;
//! 3. for a program of the user's own, puts its environment together: `gateway.env`, `.env`, and the names
//!    of home and profile;
//! 4. takes the profile's gateway lock and keeps it for life, so that a profile never has two gateways;
//! 5. returns to the limit on descriptors that `hermes up` found before it raised its own;
//! 6. arranges for readiness: a program is probed at its `ready_url` by a process beside it, the
//!    built-in gateway notifies its supervisor itself;
//! 7. executes the program in its own place, or serves `GET /health` until a signal ends it.
//!
//! A failure is a [`GatewayError`], which knows whether trying again can help. Its text is left in the
//! profile's home, where `status` and `start` find the reason.
//!
//! | module | what it does |
//! |---|---|
//! | `launch` | the steps above, in that order |
//! | `environment` | the variables of a user's own program, and which source wins |
//! | `inherited` | what this process got from its supervisor's environment |
//! | `notification` | who is notified of readiness: s6-supervise, systemd, a file |
//! | `readiness` | the probe of a `ready_url` |
//! | `server` | the built-in gateway |
//! | `error` | [`GatewayError`] |
//!
//! Unlike the other libraries, this crate reads its own process's environment (in `inherited` alone),
//! starts a process (the probe) and executes another program: it *is* the gateway, and inherits from its
//! supervisor what a gateway inherits. It prints nothing: what the gateway's log should hold goes through
//! [`log`], as warnings and as information.

mod environment;
mod error;
mod inherited;
mod launch;
mod notification;
mod readiness;
mod server;

pub use error::{GatewayError, LockHeld};
pub use launch::run;
pub use notification::Notification;
pub use readiness::await_ready;
