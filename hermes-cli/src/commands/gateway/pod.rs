//! `gateway pod`: the main process of a Pod (`hermes_gateway::pod`).

use std::net::SocketAddr;

use hermes_gateway::pod;

use crate::app::App;
use crate::args::gateway::Pod;
use crate::error::{CliError, exit};

/// Runs until the Pod is to end.
pub(super) fn run(app: &App, args: Pod) -> Result<u8, CliError> {
    let Pod { uid, address, port, pace } = args;
    let pod = pod::Pod { uid, probes: SocketAddr::new(address, port), policy: pace.into() };
    pod::run(app.store(), &app.single_profile(Vec::new())?, pod)?;
    Ok(exit::SUCCESS)
}
