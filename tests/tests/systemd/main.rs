//! Gateways under a real systemd, in containers of its own: what `cargo xtask docker-test` runs.

mod install;
mod logs;
mod many;
mod suite;
mod system;
