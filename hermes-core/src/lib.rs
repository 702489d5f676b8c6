//! Profiles, their configuration and the operator's intent, and the two service traits that every
//! backend implements.
//!
//! This crate starts no process, reads no environment variable and prints nothing: whoever uses it
//! passes in the root home and the facts ([`detect::Facts`]) it decides on.
//!
//! | module | what it knows |
//! |---|---|
//! | [`name`], [`home`] | what a profile may be called; every path and every environment variable |
//! | [`store`], [`archive`] | create, delete, rename, list, show, choose, export and import profiles |
//! | [`config`], [`dotenv`], [`intent`] | `config.yaml`, `.env`, and what the operator wants |
//! | [`gateway`] | a profile with its configuration, read once |
//! | [`manager`] | the two public service traits and their errors |
//! | [`driver`] | what a backend must be able to do: the trait of primitives |
//! | [`supervisor`] | every sequence over a driver: the service traits, implemented once |
//! | [`reconcile`] | which actions bring services in line with profiles, as a pure function |
//! | [`kind`], [`detect`], [`status`] | what a backend is called, which one is in charge, what it reports |
//! | [`diagnostics`] | what a look at the machine found |
//! | [`log`], [`changes`] | gateways' logs, whatever backend keeps them; which gateways may have changed |
//! | [`proc`], [`process`], [`process_lock`] | processes, how to wait for them, and which one holds a lock |
//! | [`end_signals`], [`listeners`] | the signals that end a process, as a descriptor; who listens on a port |
//! | [`restart`] | the rules of restarting that hold under every backend |
//! | [`lock`], [`wait`], [`parallel`] | locks and waits with a deadline; the same work on many items |
//! | [`fsutil`], [`trusted_path`], [`shell`] | durable file changes, paths that others decide, quoting |
//! | [`error_chain`] | the causes of an error |

pub mod archive;
pub mod changes;
pub mod config;
pub mod detect;
pub mod diagnostics;
pub mod dotenv;
pub mod driver;
pub mod end_signals;
pub mod error_chain;
pub mod error_class;
pub mod fsutil;
pub mod gateway;
pub mod home;
pub mod intent;
pub mod kind;
#[cfg(target_os = "linux")]
pub mod listeners;
pub mod lock;
pub mod log;
pub mod manager;
pub mod name;
pub mod parallel;
#[cfg(target_os = "linux")]
pub mod proc;
#[cfg(target_os = "linux")]
pub mod process;
pub mod process_lock;
pub mod reconcile;
pub mod restart;
pub mod shell;
pub mod status;
pub mod store;
pub mod supervisor;
pub mod trusted_path;
pub mod wait;

pub use driver::{Driver, DriverError};
pub use gateway::Gateway;
pub use home::{ProfileHome, RootHome};
pub use intent::Intent;
pub use kind::Kind;
pub use manager::{ManagerError, ProfileRegistrar, RegisterOptions, ServiceManager};
pub use name::ProfileName;
#[cfg(target_os = "linux")]
pub use proc::Proc;
pub use status::{State, Status};
pub use store::Store;
pub use supervisor::Supervisor;
