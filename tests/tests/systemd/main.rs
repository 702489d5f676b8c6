//! Gateways under a real systemd, in containers; `cargo xtask docker-test` runs these tests.

mod adopt;
mod delay;
mod events;
mod install;
mod logs;
mod many;
mod suite;
mod system;
