//! Profiles, their configuration and the operator's intent, and the two service traits that every
//! backend implements.
//!
//! This crate starts no process, reads no environment variable and prints nothing: whoever uses it
//! passes in the root home and the facts ([`detect::Facts`]) it decides on.
//!
//! | module | what it knows |
//! |---|---|
//! | [`name`] | what a profile may be called |
//! | [`home`] | every path below a home and every environment variable, by name |
//! | [`store`] | create, delete, rename, list, show and choose profiles |
//! | [`archive`] | profiles as files, going out and coming in |
//! | [`config`] | the `gateway` keys of `config.yaml` |
//! | [`dotenv`] | the variables of `.env` |
//! | [`log`] | reading and following gateways' logs, whatever backend keeps them |
//! | [`intent`] | what the operator wants of a gateway |
//! | [`manager`] | the service traits, their errors, the kinds of backend |
//! | [`backend`] | the third trait: what else is asked of a backend, whatever its kind |
//! | [`gateway`] | what every backend asks and writes down before it acts |
//! | [`reseat`] | the steps in which a service is carried over to another name |
//! | [`examination`] | what a look at the machine found |
//! | [`status`] | what a backend says of one gateway |
//! | [`detect`] | which backend is in charge, as a pure function |
//! | [`process`], [`process_lock`] | processes that are waited for and ended; who holds a gateway, a service, a scan directory |
//! | [`end_signals`] | the signals that ask a process to end, as a descriptor |
//! | [`listeners`] | who listens on a port |
//! | [`restart`] | the rules of restarting that hold under every backend |
//! | [`lock`], [`wait`], [`parallel`] | locks and waits with a deadline; the same work on many items |
//! | [`fsutil`] | durable and exclusive file changes |
//! | [`causes`], [`failure`] | what is behind an error; the errors of the traits |

pub mod archive;
pub mod backend;
pub mod config;
pub mod detect;
pub mod diagnostics;
pub mod dotenv;
pub mod end_signals;
pub mod error_chain;
pub mod failure;
pub mod fsutil;
pub mod gateway;
pub mod home;
pub mod intent;
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
pub mod reseat;
pub mod restart;
pub mod shell;
pub mod status;
pub mod store;
pub mod trusted_path;
pub mod wait;

pub use backend::Backend;
pub use home::{ProfileHome, RootHome};
pub use intent::Intent;
pub use manager::{Kind, ManagerError, ProfileRegistrar, RegisterOptions, ServiceManager};
pub use name::ProfileName;
#[cfg(target_os = "linux")]
pub use proc::Proc;
pub use status::{State, Status};
pub use store::Store;
