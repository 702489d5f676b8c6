//! The s6 backend: everything that Hermes knows of s6, and nothing else.
//!
//! s6's protocols are spoken directly. This is what Hermes relies on, and where it is spoken:
//!
//! | protocol | of | file |
//! |---|---|---|
//! | service directory and scan directory, by name and mode | `servicedir.html`, `scandir.html` | [`layout`], [`stage`] |
//! | commands as bytes in a FIFO | `s6-svc.html`, `s6-svscanctl.html` | [`control`] |
//! | the binary status record and the death tally | `s6_svstatus_unpack.c`, `s6_dtally_unpack.c` | [`record`] |
//! | "supervised" as a lock that is held | `s6_svc_ok.c` | [`scandir`] |
//! | events as characters in a FIFO of one's own | `fifodir.html` | [`wait`] |
//! | log directories, as files that change their names | `s6-log.html`, `s6-log.c` | [`log`] |
//! | "no restart" as exit 125 of `finish` | `servicedir.html` | [`policy`] |
//!
//! Above them: [`registry`] makes and removes slots, [`lifecycle`] starts and stops them,
//! [`reconcile`] and [`boot`] bring them in line with the profiles, [`mend`] as far as no gateway that
//! runs is disturbed, [`rename`] carries one over to another name, and [`manager`] is the service
//! traits over all that.
//!
//! # Example
//!
//! A program that starts a gateway, under whatever is in charge here:
//!
//! ```no_run
//! use hermes_core::{Kind, ProfileRegistrar, RootHome, detect::Facts, manager::NoManager};
//! use hermes_s6::{S6Manager, S6Programs, ScanDir, ScriptPrograms, Tree};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let s6 = S6Programs::find("/".as_ref(), "/usr/bin".as_ref()).ok_or("s6 is not installed")?;
//! let programs = ScriptPrograms::new(s6, "/usr/local/bin/hermes".as_ref());
//! let tree = Tree::new(ScanDir::new("/run/service"), RootHome::new("/opt/data"), programs);
//! let manager: Box<dyn ProfileRegistrar> = match Facts::gather("/".as_ref()).backend() {
//!     Kind::S6 => Box::new(S6Manager::new(tree)),
//!     _ => Box::new(NoManager),
//! };
//! let status = manager.start(&"coder".parse()?)?;
//! assert!(status.state.is_running());
//! # Ok(())
//! # }
//! ```

mod bootlog;
pub mod capacity;
mod changes;
pub mod connect;
pub mod control;
pub mod delegate;
pub mod driver;
pub mod layout;
pub mod leftovers;
pub mod lifecycle;
mod logger;
pub mod owner;
pub mod policy;
pub mod programs;
pub mod record;
pub mod registry;
pub mod render;
pub mod scandir;
mod shutdown;
pub mod stage;
mod stray;
mod survey;
pub mod svscan;
mod svscan_view;
pub mod tree;
pub mod wait;

pub use driver::{KIND, S6Driver};
pub use programs::S6Programs;
pub use render::ScriptPrograms;
pub use scandir::ScanDir;
pub use tree::Tree;
