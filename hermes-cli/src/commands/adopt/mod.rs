//! `hermes adopt`: takes over the gateways of the Python agent that run outside of any supervisor, and puts them back.
//!
//! | file | what it does |
//! |---|---|
//! | `plan` | what runs now, and what is to be done with it |
//! | `ports` | whether it would start two gateways on one port |
//! | `steps` | takes one gateway over, or puts it back |
//! | `journal` | records how each gateway ran, before anything is changed |
//! | `former` | the process that ran before: how it was started, and its start anew |
//! | `proof` | which process answers on a port, and for which profile |

mod former;
mod journal;
mod plan;
mod ports;
mod proof;
mod steps;

use hermes_core::agent::Stage;
use hermes_core::lock::Lock;
use hermes_core::{ProfileName, Supervisor};

use self::former::Former;
use self::journal::Journal;
use self::plan::Row;
use self::steps::Steps;
use super::up;
use crate::app::App;
use crate::args::Adopt;
use crate::error::{CliError, exit};
use crate::output;

pub(crate) fn run(app: &App, args: Adopt) -> Result<u8, CliError> {
    if let Some(name) = &args.become_former {
        let entry = Journal::read(app.root())?.profiles.remove(name);
        let former = entry.and_then(|entry| entry.former);
        let absent = || CliError::new(format!("no former gateway of `{name}` is recorded"));
        return Err(former.map_or_else(absent, Former::become_it));
    }
    app.hermes.refuse_client()?;
    let _lock = Lock::acquire(&app.root().adoption_lock(), app.store().timeout())
        .map_err(|error| CliError::new("failed to begin the adoption").because(error))?;
    let mut journal = Journal::read(app.root())?;
    match args.undo {
        true => undo(app, &mut journal, args.names, args.dry_run),
        false => adopt(app, &mut journal, args.names, args.dry_run),
    }
}

/// Takes over all gateways of `names`, or of all profiles, or none of them.
fn adopt(
    app: &App,
    journal: &mut Journal,
    names: Vec<ProfileName>,
    dry_run: bool,
) -> Result<u8, CliError> {
    let rows = plan::adoption(app, journal, names)?;
    plan::print(app, &rows)?;
    ports::check(app, &rows)?;
    let rows: Vec<_> = rows.into_iter().filter(Row::does_something).collect();
    if rows.is_empty() {
        output::message("nothing to adopt: no gateway runs outside of a supervisor");
    }
    if dry_run || rows.is_empty() {
        return Ok(exit::SUCCESS);
    }
    // Durable before the first step.
    journal.has_started_tree |= needs_tree(app)?;
    let names: Vec<_> = rows.iter().map(|row| row.profile.clone()).collect();
    let entries = rows.into_iter().filter_map(|row| Some((row.profile, row.entry?)));
    journal.profiles.extend(entries);
    journal.write(app.root())?;
    let services = match supervisor(app) {
        Ok(services) => services,
        Err(error) => {
            journal.profiles.retain(|_, entry| entry.stage != Stage::Recorded);
            end_tree(app, &app.supervisor()?, journal)?;
            return Err(error);
        }
    };
    let steps = Steps::new(app, &services);
    for name in &names {
        let Err(error) = steps.adopt(journal, name) else { continue };
        output::message(format_args!("`{name}` was not adopted; putting everything back"));
        let failed = put_back(&steps, journal, names.iter().rev());
        let error = CliError::new(format!("failed to adopt the gateway of `{name}`"))
            .because(error.in_one_line())
            .with_code(error.code());
        if failed {
            return Err(error.with_hint("`hermes adopt --undo` puts the rest back"));
        }
        end_tree(app, &services, journal)?;
        return Err(error.with_hint("every gateway runs as before; correct that, and repeat it"));
    }
    Ok(exit::SUCCESS)
}

/// Puts back the adopted gateways of `names`, or all of them.
fn undo(
    app: &App,
    journal: &mut Journal,
    mut names: Vec<ProfileName>,
    dry_run: bool,
) -> Result<u8, CliError> {
    if names.is_empty() {
        names = journal.profiles.keys().cloned().collect();
    }
    if let Some(name) = names.iter().find(|name| !journal.profiles.contains_key(*name)) {
        return Err(CliError::new(format!("`{name}` was not adopted"))
            .with_hint("`hermes adopt --undo` puts back those that were"));
    }
    if names.is_empty() && !journal.has_started_tree {
        output::message("nothing to put back: no gateway was adopted");
    }
    plan::print(app, &plan::way_back(app, journal, &names))?;
    if dry_run {
        return Ok(exit::SUCCESS);
    }
    let services = app.supervisor()?;
    let steps = Steps::new(app, &services);
    if put_back(&steps, journal, names.iter()) {
        let error = CliError::new("not every gateway could be put back");
        return Err(error.with_hint("`hermes adopt --undo` tries the rest again"));
    }
    end_tree(app, &services, journal)?;
    Ok(exit::SUCCESS)
}

/// Puts back the gateways of `names`; whether one could not be.
fn put_back<'a>(
    steps: &Steps<'_>,
    journal: &mut Journal,
    names: impl Iterator<Item = &'a ProfileName>,
) -> bool {
    let mut failed = false;
    for name in names {
        if let Err(error) = steps.put_back(journal, name) {
            output::error(&error, false);
            failed = true;
        }
    }
    failed
}

/// Whether no supervisor answers, and no service manager of the host is in charge.
fn needs_tree(app: &App) -> Result<bool, CliError> {
    match app.reachable() {
        Ok(_) => Ok(false),
        Err(error) if app.supervisor()?.supports_installation() => Err(error),
        Err(_) => Ok(true),
    }
}

/// The supervisor in charge: a tree that it starts, if there is none.
fn supervisor(app: &App) -> Result<Supervisor, CliError> {
    if !needs_tree(app)? {
        return app.reachable();
    }
    output::message("no tree runs: starting `hermes up` in the background");
    up::background::start(app)
}

/// Ends the tree that an adoption started, and removes the journal, once nothing is adopted. Somebody may have ended the
/// tree before.
fn end_tree(app: &App, services: &Supervisor, journal: &mut Journal) -> Result<(), CliError> {
    if journal.profiles.is_empty() && journal.has_started_tree {
        if services.driver().reach().is_ok() {
            up::stop(app)?;
        }
        journal.has_started_tree = false;
    }
    journal.write(app.root())
}
