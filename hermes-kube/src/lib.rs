//! The Kubernetes backend: each gateway is a [StatefulSet] with no or one replica, and its Pod sees its own profile alone.
//!
//! | file | what it does |
//! |---|---|
//! | `names` | the names of a profile's objects |
//! | `objects` | the objects of a gateway, as pure functions of its profile |
//! | `client` | blocking calls to the API server, each with a deadline |
//! | `api_error` | why a call failed, and what the user can do about it |
//!
//! [StatefulSet]: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/

mod api_error;
mod client;
#[cfg(test)]
mod mock;
pub mod names;
pub mod objects;

pub use api_error::ApiError;
pub use client::Client;
