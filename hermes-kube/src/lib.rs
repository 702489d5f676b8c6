//! The Kubernetes backend: each gateway is a [StatefulSet] with no or one replica, and its Pod sees its own profile alone.
//!
//! | file | what it does |
//! |---|---|
//! | `names` | the names of a profile's objects |
//! | `objects` | the objects of a gateway, as pure functions of its profile |
//!
//! [StatefulSet]: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/

pub mod names;
pub mod objects;
