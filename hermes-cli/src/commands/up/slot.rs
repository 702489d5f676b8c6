//! The commands that slots and the image call: `gateway after-death` and `boot --delegate`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use hermes_core::restart;
use hermes_s6::Tree;
use hermes_s6::slot::layout::ServiceDir;
use hermes_s6::slot::policy::{self, Policy};

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// Runs as a slot's `finish`, in the service directory, and reads there how the gateway ended.
pub(crate) fn after_death(app: &App, faster: u32) -> Result<u8, CliError> {
    let fault = restart::fault(&app.root().profile(&app.single_profile(Vec::new())?).fault());
    let slot = ServiceDir::new(Path::new("."));
    let code = policy::after_death(&slot, &Policy::default().faster(faster), fault)
        .map_err(|error| CliError::new("failed to apply the restart policy").because(error))?;
    if let Ok(Some(parked)) = policy::parked(&slot) {
        output::message(format_args!("parked: {}", parked.reason));
    }
    Ok(code)
}

/// `boot --delegate`, run by root: gives the scan directory to the owner of the home.
pub(crate) fn delegate(app: &App) -> Result<u8, CliError> {
    let home = app.root().path();
    let owner = fs::metadata(home)
        .map_err(|error| CliError::new("failed to find the owner of the home").because(error))?;
    let tree = Tree::in_charge(app.hermes.environment())?;
    let scandir = tree.scandir.path();
    hermes_s6::tree::delegate::delegate(scandir, owner.uid(), owner.gid()).map_err(CliError::of)?;
    let uid = owner.uid();
    output::message(format_args!("changed the owner of `{}` to uid {uid}", scandir.display()));
    Ok(exit::SUCCESS)
}
