//! The s6 backend: everything that Hermes knows of s6, and nothing else.
//!
//! s6's protocols are spoken directly. This is what Hermes relies on, and where it is spoken:
//!
//! | protocol | of | file |
//! |---|---|---|
//! | service directory and scan directory, by name and mode | `servicedir.html`, `scandir.html` | [`slot::layout`], [`slot::stage`] |
//! | commands as bytes in a FIFO | `s6-svc.html`, `s6-svscanctl.html` | [`protocol::control`] |
//! | the binary status record and the death tally | `s6_svstatus_unpack.c`, `s6_dtally_unpack.c` | [`protocol::record`] |
//! | "supervised" as a lock that is held | `s6_svc_ok.c` | [`protocol::scandir`] |
//! | events as characters in a FIFO of one's own | `fifodir.html` | [`protocol::events`] |
//! | log directories, as files that change their names | `s6-log.html`, `s6-log.c` | [`hermes_core::log`] |
//! | "no restart" as exit 125 of `finish` | `servicedir.html` | [`slot::policy`] |
//!
//! A *slot* is the service directory of one gateway: [`slot`] creates, starts, stops and removes it. A
//! *tree* is an s6-svscan with the supervisors below it: [`tree`] runs one, finds one, and knows what a dead
//! one leaves. [`S6Driver`] is the backend over one tree; the sequences over it are
//! [`hermes_core::Supervisor`]'s.
//!
//! # Example
//!
//! A program that starts a gateway on a scan directory of its choice:
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

pub mod driver;
pub mod programs;
pub mod protocol;
pub mod slot;
pub mod tree;

pub use driver::{KIND, S6Driver};
pub use programs::S6Programs;
pub use protocol::scandir::ScanDir;
pub use slot::layout::ServiceDir;
pub use slot::render::ScriptPrograms;
pub use tree::Tree;
