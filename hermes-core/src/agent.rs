//! The Python agent (hermes-agent): which homes are its own, its program, and where its API server listens.
//!
//! Hermes supervises the agent's gateway on its own homes as they are. What the agent decides by itself, such as its
//! port, is read from its files in its own order.
//!
//! | file | contents |
//! |---|---|
//! | `state` | `gateway_state.json`, which the agent's gateway writes |
//! | `locks` | which process is the agent's gateway, whoever started it |
//! | `served` | which profiles a gateway serves, and the record of that |
//! | `adoption` | how far the adoption of each gateway has come |
//! | `planned_stop` | stops it in the agent's own way |
//! | `program` | where the program is, and its version |
//! | `address` | whether and where the API server listens; every place that names a port |
//! | `preset` | `gateway.kind: hermes-agent`: the keys that it fills in |

mod address;
mod adoption;
mod locks;
mod planned_stop;
mod preset;
mod program;
mod served;
mod state;

use crate::config::AgentKeys;
use crate::home::ProfileHome;

pub use address::{Address, Switch};
pub(crate) use address::{FALLBACK, PORT};
pub use adoption::{ADOPTION_FORMAT, Adopted, Adoption, Stage, read_adoption};
pub use locks::Locks;
pub use planned_stop::PlannedStop;
pub(crate) use preset::{MULTIPLEX, apply};
pub use program::{Found, NoProgram, Places, Program, find, is_used_by};
pub use served::{Served, forget as forget_served};
pub use state::{State, StateError};

/// Directories that the agent's `profile create` makes in every home.
const DIRECTORIES: [&str; 2] = ["sessions", "skills"];
/// The agent's database of sessions, and the log of its commands.
const FILES: [&str; 2] = ["state.db", "logs/agent.log"];

/// Whether the home is the agent's: it wrote its state, configuration, directories or files there, or its files in the
/// root home. `keys` are the agent's keys in the home's `config.yaml`.
pub(crate) fn owns(home: &ProfileHome, keys: &AgentKeys) -> bool {
    keys.has_version
        || [home.path(), home.root()]
            .iter()
            .any(|home| FILES.iter().any(|file| home.join(file).exists()))
        || DIRECTORIES.iter().all(|name| home.path().join(name).is_dir())
        || State::read(home).is_ok_and(|state| state.is_some_and(|state| state.is_gateways()))
}
