//! The image, in containers of its own: what `cargo xtask docker-test` runs.

mod command;
mod dashboard;
mod lifecycle;
mod owner;
mod restart;
mod stop;
mod suite;
mod unprivileged;
mod users;
