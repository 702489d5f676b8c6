//! Gateways in a real cluster, the one that kubectl is configured for; `cargo xtask kube-test` runs these tests.

mod console;
mod many;
mod nodes;
mod suite;
mod volumes;
