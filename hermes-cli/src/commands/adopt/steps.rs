//! The steps that take one gateway over, or put it back. Each may be repeated: an adoption that was killed goes on.

use std::time::{Duration, Instant};

use hermes_core::agent::{Locks, PlannedStop, Stage};
use hermes_core::wait::{self, Poll};
use hermes_core::{Gateway, Intent, ProfileName, ServiceManager, State, Supervisor};
use hermes_host::agent_services::Managers;

use super::former;
use super::journal::{Entry, Journal, restore_intent};
use super::proof;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output;

/// How long the agent may take to end its gateway, or to start it.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The service managers whose services the agent installs.
pub(super) fn managers(app: &App) -> Managers {
    let environment = app.hermes.environment();
    let variable = environment.variable;
    let home = variable("HOME").map(Into::into).unwrap_or_default();
    let path = variable("PATH").unwrap_or_default();
    // Such a call may end a gateway.
    let timeout = app.timeout.unwrap_or(TIMEOUT);
    Managers::new(home, environment.runtime_dir(), &path, timeout)
}

/// What the steps work with.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    app: &'a App,
    services: &'a Supervisor,
    timeout: Duration,
}

impl<'a> Steps<'a> {
    pub(super) fn new(app: &'a App, services: &'a Supervisor) -> Self {
        Self { app, services, timeout: app.timeout.unwrap_or(TIMEOUT) }
    }

    fn gateway(&self, name: &ProfileName) -> Result<Gateway, CliError> {
        Ok(Gateway::new(self.app.store().get(name)?))
    }

    /// Takes the gateway of `name` over, which the journal has.
    pub(super) fn adopt(&self, journal: &mut Journal, name: &ProfileName) -> Result<(), CliError> {
        let gateway = self.gateway(name)?;
        let Some(entry) = journal.profiles.get(name).cloned() else { return Ok(()) };
        journal.advance(self.app.root(), name, Stage::Adopting)?;
        self.stop_former(&gateway, &entry)?;
        let wanted = entry.former.is_some()
            || Intent::read(gateway.home()).is_ok_and(|intent| intent == Intent::Running);
        if wanted {
            output::message(format_args!("`{name}`: starting it supervised"));
            let status = self.services.start(name)?;
            let profiles = self.app.store().names()?;
            let proof = proof::supervised(&gateway, &status, entry.model.as_deref(), &profiles);
            proof.map_err(|why| {
                CliError::new("the supervised gateway is not what ran before").because(why)
            })?;
            let pid = output::or_dash(status.pid);
            output::message(format_args!("`{name}` is adopted, as process {pid}"));
        } else {
            output::message(format_args!("`{name}` is adopted, and stays down"));
        }
        journal.advance(self.app.root(), name, Stage::Adopted)
    }

    /// Stops the process that runs outside of any supervisor, if it still does, and retires its services.
    fn stop_former(&self, gateway: &Gateway, entry: &Entry) -> Result<(), CliError> {
        let pid = gateway.foreign(&Locks::default(), None);
        let stop = match pid {
            Some(pid) => PlannedStop::begin(gateway.home(), pid).map_err(not_stopped(gateway))?,
            None => None,
        };
        let (managers, aside) = (managers(self.app), Journal::aside(self.app.root()));
        for service in &entry.services {
            output::message(format_args!("`{}`: putting {} aside", gateway.name(), service.name()));
            managers.retire(service, &aside).map_err(|error| {
                CliError::new(format!("failed to put {} aside", service.name())).because(error)
            })?;
        }
        self.finish(gateway, stop, pid)
    }

    /// Completes the stop of the process `pid`.
    fn finish(
        &self,
        gateway: &Gateway,
        stop: Option<PlannedStop>,
        pid: Option<u32>,
    ) -> Result<(), CliError> {
        let Some(stop) = stop else { return Ok(()) };
        let name = gateway.name();
        output::message(format_args!("`{name}`: stopping process {}", output::or_dash(pid)));
        match stop.finish(self.timeout).map_err(not_stopped(gateway))? {
            true => Ok(()),
            false => Err(CliError::new(format!("the former gateway of `{name}` has not ended"))
                .because(format!("it was asked to {} s ago", self.timeout.as_secs()))
                .with_hint("--timeout waits longer")
                .with_code(exit::OUT_OF_TIME)),
        }
    }

    /// Puts the gateway of `name` back as it was, and takes it out of the journal.
    pub(super) fn put_back(
        &self,
        journal: &mut Journal,
        name: &ProfileName,
    ) -> Result<(), CliError> {
        let Some(entry) = journal.profiles.get(name).cloned() else { return Ok(()) };
        if let Some(profile) = self.app.store().find(name)? {
            if entry.stage != Stage::Recorded {
                journal.advance(self.app.root(), name, Stage::Returning)?;
                self.restore(&Gateway::new(profile), &entry)?;
            }
            output::message(format_args!("`{name}` is as before"));
        }
        journal.profiles.remove(name);
        journal.write(self.app.root())
    }

    fn restore(&self, gateway: &Gateway, entry: &Entry) -> Result<(), CliError> {
        let (name, home) = (gateway.name(), gateway.home());
        let mut foreign = gateway.foreign(&Locks::default(), None);
        let former = entry.former.as_ref().map(|former| former.pid);
        let model = entry.model.as_deref();
        // One that an interrupted adoption may have asked to end, or that an earlier attempt to put it back started in vain.
        let is_left = |pid: u32| {
            Some(pid) == former
                || entry.stage == Stage::Returning && proof::serves(gateway, pid, model).is_err()
        };
        if let Some(pid) = foreign.filter(|pid| is_left(*pid)) {
            let stop = PlannedStop::begin(home, pid).map_err(not_stopped(gateway))?;
            self.finish(gateway, stop, Some(pid))?;
            foreign = None;
        }
        // Without a supervisor nothing is supervised.
        if self.services.driver().reach().is_ok() {
            let status = self.services.status(name)?;
            if foreign.is_none() && (status.registered || status.state != State::Unsupervised) {
                output::message(format_args!("`{name}`: stopping the supervised gateway"));
                self.services.stop(name)?;
            }
            // The next start of the machine would start it beside the former one.
            if self.services.supports_installation() && !entry.is_installed {
                self.services.uninstall(name)?;
            }
        }
        let (managers, aside) = (managers(self.app), Journal::aside(self.app.root()));
        for service in &entry.services {
            managers.restore(service, &aside).map_err(|error| {
                CliError::new(format!("failed to restore {}", service.name())).because(error)
            })?;
        }
        // One that its own service manager starts again needs no other start.
        let is_served = entry.services.iter().any(|service| service.is_active);
        if entry.former.is_some() && Locks::default().holder(home).is_none() {
            output::message(format_args!("`{name}`: starting it as before"));
            let process = if is_served { None } else { Some(former::start_again(self.app, name)?) };
            former::await_gateway(gateway, process, self.timeout)?;
        }
        // Last: without an intent of its own the reconciler would start it beside the former one.
        restore_intent(home, entry.intent.as_deref())?;
        match model.filter(|_| entry.former.is_some()) {
            Some(model) => self.await_service(gateway, model),
            None => Ok(()),
        }
    }

    /// Blocks until the gateway that runs as before serves `model` again.
    fn await_service(&self, gateway: &Gateway, model: &str) -> Result<(), CliError> {
        let mut last = "it does not run".to_owned();
        let serves = wait::until(Instant::now() + self.timeout, || {
            let Some(pid) = Locks::default().holder(gateway.home()) else { return Ok(Poll::Wait) };
            Ok::<_, CliError>(match proof::serves(gateway, pid, Some(model)) {
                Ok(()) => Poll::Done(()),
                Err(why) => {
                    last = why;
                    Poll::Wait
                }
            })
        })?;
        serves.ok_or_else(|| {
            let what = format!("the former gateway of `{}` does not serve again", gateway.name());
            CliError::new(what).because(last).with_code(exit::OUT_OF_TIME)
        })
    }
}

/// The error of a process that could not be stopped.
fn not_stopped(gateway: &Gateway) -> impl Fn(std::io::Error) -> CliError {
    let what = format!("failed to stop the former gateway of `{}`", gateway.name());
    move |error| CliError::new(what.clone()).because(error)
}
