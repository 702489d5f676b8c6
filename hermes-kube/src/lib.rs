//! The Kubernetes backend: each gateway is a [StatefulSet] with no or one replica, and its Pod sees its own profile alone.
//!
//! | file | what it does |
//! |---|---|
//! | `names` | the names of a profile's objects |
//! | `objects` | the objects of a gateway, as pure functions of its profile |
//! | `driver` | what each primitive of a backend is in a cluster |
//! | `lifecycle` | brings gateways up and down |
//! | `logs` | reads and follows the gateways' logs |
//! | `look`, `status` | looks at the objects of gateways; what they say about a gateway |
//! | `registry` | which profiles have a service, before their first start as well |
//! | `watch` | notices changes of the gateways, without polling the cluster |
//! | `distant_events` | records the deaths in Pods in the journal of events |
//! | `examine` | the checks of `doctor` |
//! | `client` | blocking calls to the API server, each with a deadline |
//! | `permissions` | what those calls have to be allowed |
//! | `api_error` | why a call failed, and what the user can do about it |
//!
//! [StatefulSet]: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/

mod api_error;
mod client;
mod distant_events;
mod driver;
mod examine;
mod lifecycle;
mod logs;
mod look;
#[cfg(test)]
mod mock;
pub mod names;
pub mod objects;
mod permissions;
mod registry;
mod status;
mod watch;

pub use api_error::ApiError;
pub use client::Client;
pub use driver::{KIND, Kubernetes, Setup};
pub use permissions::{LEAST_ROLE, Rule};
