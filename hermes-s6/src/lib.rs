//! The s6 backend. No other crate depends on how s6 works.
//!
//! Hermes speaks s6's protocols itself instead of running s6's command-line tools:
//!
//! | protocol | source | file |
//! |---|---|---|
//! | service directory and scan directory, by name and mode | `servicedir.html`, `scandir.html` | [`slot::layout`], [`slot::stage`] |
//! | commands as bytes in a FIFO | `s6-svc.html`, `s6-svscanctl.html` | [`protocol::control`] |
//! | the binary status record and the death tally | `s6_svstatus_unpack.c`, `s6_dtally_unpack.c` | [`protocol::record`] |
//! | "supervised" means that a lock is held | `s6_svc_ok.c` | [`protocol::scandir`] |
//! | events as characters in the listener's FIFO | `fifodir.html` | [`protocol::events`] |
//! | log directories and their rotated files | `s6-log.html`, `s6-log.c` | [`hermes_core::log`] |
//! | exit 125 of `finish` means no restart | `servicedir.html` | [`slot::policy`] |
//!
//! A *slot* is the service directory of one gateway: [`slot`] creates, starts, stops and removes it. A
//! *tree* is an s6-svscan with its supervisors: [`tree`] starts and finds trees and cleans up after dead
//! ones. [`S6Driver`] provides the backend's primitives over one tree; [`hermes_core::Supervisor`] composes
//! them.
//!
//! # Example
//!
//! Start a gateway on a given scan directory:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use hermes_core::{RootHome, ServiceManager, Store, Supervisor};
//! use hermes_s6::{S6Driver, S6Programs, ScanDir, ScriptPrograms, Tree};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let root = RootHome::new("/opt/data");
//! let s6 = S6Programs::find("/".as_ref(), "/usr/bin".as_ref()).ok_or("s6 is not installed")?;
//! let programs = ScriptPrograms::new(s6, "/usr/local/bin/hermes".as_ref());
//! let tree = Tree::new(ScanDir::new("/run/service"), root.clone(), programs);
//! let supervisor = Supervisor::new(Arc::new(S6Driver::new(tree)), Store::new(root));
//! let status = supervisor.start(&"coder".parse()?)?;
//! assert!(status.state.is_running());
//! # Ok(())
//! # }
//! ```

mod doctor;
pub mod driver;
pub mod programs;
pub mod protocol;
pub mod slot;
mod status;
pub mod tree;

pub use driver::{KIND, S6Driver};
pub use programs::S6Programs;
pub use protocol::scandir::ScanDir;
pub use slot::layout::ServiceDir;
pub use slot::render::ScriptPrograms;
pub use tree::Tree;
