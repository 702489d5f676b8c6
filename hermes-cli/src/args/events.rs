//! The arguments of `hermes events`.

use clap::Args;
use hermes_core::ProfileName;

use super::values::number;

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only the events of these profiles, which may be gone [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<ProfileName>,
    /// Print only the last N events [default: all, with --follow 10]
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = |text: &str| number::<usize>(text, 0..=u64::MAX))]
    pub(crate) lines: Option<usize>,
    /// Keep printing new events, until interrupted or until --timeout
    #[arg(short, long)]
    pub(crate) follow: bool,
}
