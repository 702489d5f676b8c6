//! The drivers of a host's service managers: systemd and launchd.
//!
//! Both keep an *installed* gateway across restarts of the machine; `register` is for s6 only.
//!
//! # Example
//!
//! A program that installs a gateway in its user's systemd and starts it:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use hermes_core::{RootHome, ServiceManager, Store, Supervisor, wait::Timeouts};
//! use hermes_host::{Account, Scope, Systemd, systemd::Setup};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let account = Account::of(1000, "/usr/bin".as_ref())?;
//! let home = RootHome::new(account.home.join(".hermes"));
//! let setup = Setup {
//!     account,
//!     runtime: "/run/user/1000".into(),
//!     program: "/usr/local/bin/hermes".into(),
//!     root: "/".into(),
//!     is_root: false,
//!     timeouts: Timeouts::default(),
//!     open_homes: false,
//! };
//! let systemd = Systemd::new(home.clone(), Scope::User, setup, "/usr/bin".as_ref());
//! let supervisor = Supervisor::new(Arc::new(systemd), Store::new(home));
//! let status = supervisor.start(&"coder".parse()?)?;
//! assert!(status.state.is_running());
//! # Ok(())
//! # }
//! ```

pub mod account;
pub mod agent_services;
pub mod command;
pub mod getent;
pub mod launchd;
pub mod privilege;
pub mod systemd;

pub use account::Account;
pub use agent_services::AgentService;
pub use launchd::Launchd;
pub use systemd::{Scope, Systemd};
