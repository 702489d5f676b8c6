//! The commands that slots and the image call: `gateway after-death` and `boot --delegate`.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use hermes_core::agent::State;
use hermes_core::config::GatewayKind;
use hermes_core::driver::During;
use hermes_core::error_chain::in_one_line;
use hermes_core::events::Journal;
use hermes_core::lock::Lock;
use hermes_core::process_lock::{self, Taker};
use hermes_core::restart::{PARKED, Policy};
use hermes_core::status::Exit;
use hermes_core::{Intent, Proc, ProfileName, restart, settings};
use hermes_s6::Tree;
use hermes_s6::slot::SUPERVISE;
use hermes_s6::slot::layout::ServiceDir;
use hermes_s6::slot::policy;
use hermes_s6::tree::process_tracker;

use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// What fails if a process can't be ended.
const END_LEFTOVERS: &str = "end the processes that the gateway left";

/// Why a gateway is down that the Python agent's own command stopped.
const STOPPED_BY_AGENT: &str = "the Python agent's own `gateway stop` stopped it";

/// Runs as a slot's `finish`, in the service directory, and reads there how the gateway ended.
pub(crate) fn after_death(app: &App, group: Option<&str>, policy: &Policy) -> Result<u8, CliError> {
    let name = app.single_profile(Vec::new())?;
    let fault = restart::fault(&app.root().profile(&name).fault());
    let slot = ServiceDir::new(Path::new("."));
    let end_leftovers = || {
        let group = group.and_then(|group| group.parse().ok()).filter(|group| *group > 1);
        let slot = env::current_dir()
            .map_err(|error| CliError::new("failed to find the slot").because(error));
        let ended = slot.and_then(|slot| tree_of_slot(app, &slot)).and_then(|tree| {
            process_tracker::end_left_by_dead(&tree, &name, group)
                .during(END_LEFTOVERS)
                .map_err(CliError::from)
        });
        // The gateway is restarted or parked all the same.
        let _ = ended.inspect_err(|error| output::error(error, false));
    };
    let events = Journal::new(app.root()).of(&name);
    let (by_agent, _lock) = stopped_by_agent(app, &name, &slot).unzip();
    let code =
        policy::after_death(app.root(), &slot, policy, fault, &events, by_agent, end_leftovers)
            .map_err(|error| CliError::new("failed to apply the restart policy").because(error))?;
    if let Ok(Some(parked)) = policy::parked(&slot) {
        output::message(format_args!("{PARKED}{}", parked.reason));
    }
    Ok(code)
}

/// Ends what the last gateway of `name` left behind, if no `finish` has: its supervisor was dead when it died. To be
/// called once this process, which is the next gateway, holds the profile's lock. Does nothing outside of a slot.
pub(crate) fn leftovers_of_orphan<'a>(app: &'a App, name: &'a ProfileName) -> impl FnOnce() + 'a {
    let lock = app.root().profile(name).gateway_lock();
    let (proc, supervisor) = (Proc::default(), parent_id());
    let is_due = !process_lock::is_clean(&lock) && proc.runs(supervisor, SUPERVISE);
    // This process will take its place in the lock's file.
    let dead = Taker::recorded_at(&lock).filter(|_| is_due);
    move || {
        if !is_due {
            return;
        }
        let ended = proc
            .directory(supervisor)
            .map_err(|error| CliError::new("failed to find the slot").because(error))
            .and_then(|slot| tree_of_slot(app, &slot))
            .and_then(|tree| {
                process_tracker::end_left_by_orphan(&tree, name, dead.as_ref())
                    .during(END_LEFTOVERS)
                    .map_err(CliError::from)
            });
        // The gateway runs all the same.
        let _ = ended.inspect_err(|error| output::error(error, false));
    }
}

/// The Python agent's own command that stopped its gateway, which counts as an operator's: the intent is recorded. `None`
/// if another command is changing the profile, which decides then. The lock is held until it is dropped.
fn stopped_by_agent(
    app: &App,
    name: &ProfileName,
    slot: &ServiceDir,
) -> Option<(&'static str, Lock)> {
    let died = slot.deaths().ok()?;
    let home = app.root().profile(name);
    let runs_agent = || {
        let settings = settings::load(&home).ok();
        settings.is_some_and(|settings| settings.gateway.kind == GatewayKind::HermesAgent)
    };
    let was_stopped = died.last()?.exit == Exit::Code(0)
        && slot.record().ok()?.want_up
        && State::read(&home).ok()??.was_stopped()
        && runs_agent();
    if !was_stopped {
        return None;
    }
    let lock = Lock::acquire(&app.root().profile_lock(name), Duration::ZERO).ok()?;
    if let Err(error) = Intent::Stopped.write(&home) {
        log::warn!("{}", in_one_line(&error));
    }
    Some((STOPPED_BY_AGENT, lock))
}

/// The tree of the slot at `slot`.
fn tree_of_slot(app: &App, slot: &Path) -> Result<Tree, CliError> {
    let mut environment = app.hermes.environment().clone();
    environment.facts.named_scandir = slot.parent().map(Path::to_owned);
    Ok(Tree::in_charge(&environment)?)
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
