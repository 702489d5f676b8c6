//! The arguments of `hermes adopt`.

use clap::Args;
use hermes_core::ProfileName;

/// `hermes adopt`.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// The profiles
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Print the plan and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run the adopted gateways as before again
    #[arg(long)]
    pub(crate) undo: bool,
    /// Become the former process of a gateway; `adopt --undo` starts itself with this option
    #[arg(long = "become", hide = true, value_name = "NAME")]
    pub(crate) become_former: Option<ProfileName>,
}
