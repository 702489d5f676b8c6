//! `hermes` with the Kubernetes backend, against a cluster of the tests' own whose Pods are processes of this machine.

mod console;
mod dashboard;
mod errors;
mod events;
mod lifecycle;
mod suite;
