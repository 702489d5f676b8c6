//! The columns of a table of gateways.

use hermes::view::StatusView;
use hermes_core::size;
use hermes_core::status::Status;
use hermes_core::usage::Usage;

use crate::output::{self, Cell, Column};
use crate::states;

pub(super) const COLUMNS: [Column; 10] = [
    Column::new("PROFILE"),
    Column::new("STATE"),
    Column::optional("PID", 4),
    Column::optional("SINCE", 2),
    Column::optional("INTENT", 5),
    Column::optional("READY", 6),
    Column::optional("DEATHS", 3),
    Column::optional("PORT", 1),
    Column::optional("RUNS", 8),
    Column::optional("LAST EXIT", 7),
];

/// The columns of `--wide`: those of [`COLUMNS`], and what the gateways use.
pub(super) fn wide() -> Vec<Column> {
    let usage = [
        Column::optional("MEMORY", 2),
        Column::optional("CPU", 2),
        Column::optional("PROCESSES", 9),
    ];
    COLUMNS.into_iter().chain(usage).collect()
}

pub(super) fn row(view: &StatusView) -> Vec<Cell> {
    let Status { profile, pid, since, intent, ready, deaths, last_exit, .. } = &view.status;
    let texts = [
        output::or_dash(*pid),
        since.map_or_else(|| "-".to_owned(), output::age),
        output::or_dash(*intent),
        yes_or_no(*ready).to_owned(),
        deaths.to_string(),
        output::or_dash(view.status.port),
        output::or_dash(view.status.kind),
        output::or_dash(*last_exit),
    ];
    let state = Cell::styled(view.status.word(), states::style(&view.status));
    [profile.to_string().into(), state].into_iter().chain(texts.map(Cell::from)).collect()
}

pub(super) fn wide_row(view: &StatusView) -> Vec<Cell> {
    let usage = match &view.usage {
        Some(usage) => [memory(usage), cpu(usage), usage.processes.to_string()],
        None => ["-", "-", "-"].map(str::to_owned),
    };
    row(view).into_iter().chain(usage.map(Cell::from)).collect()
}

pub(super) fn yes_or_no(ready: Option<bool>) -> &'static str {
    match ready {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
}

/// `82.0 MiB pss`
pub(super) fn memory(usage: &Usage) -> String {
    format!("{} {}", size::shown(usage.memory_bytes), usage.memory_kind.word())
}

/// The processor time so far: `12.3 s`.
pub(super) fn cpu(usage: &Usage) -> String {
    format!("{:.1} s", usage.cpu.as_secs_f64())
}
