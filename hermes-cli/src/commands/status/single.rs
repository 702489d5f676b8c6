//! The status of one gateway: its state, why it does not run, what to do, and its last log lines.

use hermes::view::StatusView;
use hermes_core::status::ReasonKind;
use hermes_core::{ProfileName, State};

use super::columns::{cpu, memory, yes_or_no};
use crate::app::App;
use crate::commands::logs;
use crate::error::CliError;
use crate::output;
use crate::states;

/// How many of its last log lines are printed.
const LINES: usize = 10;

pub(super) fn print(app: &App, view: &StatusView) -> Result<(), CliError> {
    let status = &view.status;
    let line = |name: &str, value: String| output::line(format_args!("{name:<9}  {value}"));
    line("profile", status.profile.to_string())?;
    output::styled_line("state      ", &status.word(), states::style(status))?;
    line("pid", output::or_dash(status.pid))?;
    let zone = hermes::local_zone();
    let since = |since| format!("{} ({} ago)", output::local(since, &zone), output::age(since));
    let since = status.since.map(since);
    line("since", output::or_dash(since))?;
    line("intent", output::or_dash(status.intent))?;
    line("ready", yes_or_no(status.ready).to_owned())?;
    line("deaths", format!("{} in the last hour", status.deaths))?;
    line("last exit", output::or_dash(status.last_exit))?;
    line("port", output::or_dash(status.port))?;
    line("runs", output::or_dash(status.kind))?;
    if status.state == State::Served {
        line("served by", ProfileName::default_profile().to_string())?;
    }
    if let Some(usage) = &view.usage {
        line("memory", memory(usage))?;
        line("cpu", cpu(usage))?;
        line("processes", usage.processes.to_string())?;
    }
    // That of a parked one has a line of its own.
    if let Some(reason) = status.reason.as_ref().filter(|it| it.kind != ReasonKind::Parked) {
        line("reason", reason.text.clone())?;
    }
    if let Some(backoff) = &status.backoff {
        line("backoff", backoff.summary())?;
    }
    if let Some(parked) = &status.parked {
        line("parked", parked.reason.clone())?;
    }
    if let Some(advice) = &view.advice {
        line("hint", output::named(advice).into_owned())?;
    }
    logs::print_last(app, &status.profile, LINES)
}
