//! Gateways under a backend that the workspace does not know: that of the example
//! `hermes-cli/examples/custom_backend.rs`, in a program of its own.

mod policy;
mod suite;
