//! The image, in containers; `cargo xtask docker-test` runs these tests.

mod agent_files;
mod command;
mod compose;
mod dashboard;
mod lifecycle;
mod linked_statically;
mod owner;
mod restart;
mod stop;
mod suite;
mod unprivileged;
mod users;
