//! Profiles, their configuration, the operator's intent, and the two service traits that every
//! backend provides.
//!
//! This crate starts no process, reads no environment variable but `HOME` and prints nothing: its caller passes
//! in the root home and the facts ([`detect::Facts`]) for its decisions.
//!
//! | module | contents |
//! |---|---|
//! | [`name`], [`home`] | valid profile names; every path and every environment variable |
//! | [`store`], [`archive`] | create, delete, rename, list, show, choose, export and import profiles |
//! | [`config`], [`dotenv`], [`intent`] | `config.yaml`, `.env`, and the operator's intent |
//! | [`settings`], [`agent`] | the settings of a gateway; the Python agent's homes, program and address |
//! | [`gateway`] | a profile with its settings, read once |
//! | [`manager`] | the two public service traits and their errors |
//! | [`driver`] | the primitives that a backend implements, and how to write one |
//! | [`supervisor`] | the service traits, implemented once over a driver |
//! | [`reconcile`] | the actions that bring services in line with profiles, as a pure function |
//! | [`kind`], [`detect`], [`status`] | a backend's name, its detection, and the status it reports |
//! | [`diagnostics`], [`doctor`] | the findings of `hermes doctor`; the checks that every backend shares |
//! | [`events`] | the journal of what happened to which gateway, and why |
//! | [`log`], [`changes`] | the gateways' logs under any backend; which gateways may have changed |
//! | [`proc`], [`process`], [`process_lock`] | processes, waiting for them, and the holder of a lock |
//! | [`program`] | the path of the running program |
//! | [`usage`] | memory and processor time of processes with their descendants |
//! | [`control_group`] | control groups: their processes, and what they may use |
//! | [`end_signals`], [`listeners`] | termination signals as a descriptor; the process on a port |
//! | [`probe`], [`liveness`], [`health`] | HTTP requests of many gateways at once; who asks; what was found |
//! | [`restart`], [`clock`] | the restart rules of every backend; moments that the wall clock does not change |
//! | [`lock`], [`wait`], [`parallel`] | locks and waits with a deadline; the same work on many items |
//! | [`fsutil`], [`trusted_path`], [`shell`], [`size`] | durable file changes, owners of paths, quoting, sizes |
//! | [`formats`], [`tai64n`] | numbers of formats; the time format of s6 |
//! | [`passwd`], [`hosts`] | accounts and host names, without the C library's name services |
//! | [`writers`] | directories that only their owner may write |
//! | [`error_chain`], [`error_class`] | the causes of an error, and its class |

pub mod agent;
pub mod archive;
pub mod changes;
pub mod clock;
pub mod config;
pub mod control_group;
pub mod detect;
pub mod diagnostics;
pub mod doctor;
pub mod dotenv;
pub mod driver;
pub mod end_signals;
pub mod error_chain;
pub mod error_class;
pub mod events;
pub mod formats;
pub mod fsutil;
pub mod gateway;
pub mod health;
pub mod home;
pub mod hosts;
pub mod intent;
pub mod interruption;
pub mod kind;
pub mod listeners;
pub mod liveness;
pub mod lock;
pub mod log;
pub mod manager;
pub mod name;
pub mod parallel;
pub mod passwd;
pub mod probe;
pub mod proc;
pub mod process;
pub mod process_lock;
pub mod program;
pub mod reconcile;
pub mod restart;
pub mod settings;
pub mod shell;
pub mod size;
pub mod status;
pub mod store;
pub mod supervisor;
pub mod tai64n;
pub mod trusted_path;
pub mod usage;
pub mod wait;
pub mod waiting;
pub mod writers;

pub use driver::{Driver, DriverError};
pub use gateway::Gateway;
pub use home::{ProfileHome, RootHome};
pub use intent::Intent;
pub use kind::Kind;
pub use manager::{ManagerError, ProfileRegistrar, RegisterOptions, ServiceManager};
pub use name::ProfileName;
pub use proc::Proc;
pub use status::{State, Status};
pub use store::Store;
pub use supervisor::Supervisor;
