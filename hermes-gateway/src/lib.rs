//! The gateway process, which a slot's `run` script, a systemd unit or a launchd job executes.
//!
//! A supervisor starts `hermes gateway start --foreground`, and that process calls [`run`], which
//!
//! 1. finds the profile and removes a former gateway's message about a failed start;
//! 2. reads `config.yaml`, once, and replaces the placeholders;
//! 3. collects the environment of a `gateway.command`: `gateway.env`, `.env`, and the variables of Hermes;
//! 4. takes the profile's gateway lock and holds it until it ends, so that a profile never has two gateways;
//! 5. enters a control group of its own under s6, where one can be had;
//! 6. sets the limit on descriptors: `gateway.resources.files`, or the one before `hermes up` raised it;
//! 7. arranges for readiness: a separate process probes the `ready_url` of a `gateway.command`; the
//!    built-in gateway notifies its supervisor itself;
//! 8. executes the program in its place, or serves `GET /health` until a signal ends it.
//!
//! A failure is a [`GatewayError`], which knows whether a retry can help. [`run`] also writes its text to
//! the profile's home, where `status` and `start` read it.
//!
//! | module | contents |
//! |---|---|
//! | `launch` | the steps above, in that order |
//! | `environment` | the environment of a `gateway.command` |
//! | `inherited` | the environment that this process inherited from its supervisor |
//! | `notification` | the receivers of readiness: s6-supervise, systemd, a file |
//! | `readiness` | the probe of a `ready_url` |
//! | `server` | the built-in gateway |
//! | [`pod`] | the main process of a Pod, which starts the gateway again after a death |
//! | [`connections`] | HTTP connections within limits, also for the dashboard |
//! | `error` | [`GatewayError`] |
//!
//! Unlike the other libraries, this crate reads its process's environment (only in `inherited`), starts a
//! process (the probe) and executes another program: its process *is* the gateway. It prints nothing:
//! messages for the gateway's log go through [`log`].

pub mod connections;
mod environment;
mod error;
mod inherited;
mod launch;
mod notification;
pub mod pod;
mod readiness;
mod server;

pub use error::{GatewayError, LockHeld};
pub use inherited::places_of_agent;
pub use launch::run;
pub use notification::Notification;
pub use readiness::await_ready;
