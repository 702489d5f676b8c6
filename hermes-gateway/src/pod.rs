//! The main process of a Pod: starts the profile's gateway, and starts it again after a death, as s6 does on one machine.
//!
//! Kubernetes alone has no part of our policy: its delays grow to five minutes, and it never parks. So a dead gateway is
//! this process's to start again, and the Pod stays. A parked one leaves a Pod that is not ready, uses nothing, and says why
//! in its termination message.
//!
//! | file | what it does |
//! |---|---|
//! | `probes` | answers `/ready` and `/live` for the kubelet |
//! | `children` | starts the gateway, reaps and ends processes |
//! | `events` | what this process waits for |

mod children;
mod events;
mod probes;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hermes_core::clock::Moment;
use hermes_core::driver::startup::SETTLED;
use hermes_core::error_chain::in_one_line;
use hermes_core::events::{Journal, Recorder, What};
use hermes_core::home::ProfileHome;
use hermes_core::restart::{self, PARKED, PodRecord, Policy, Verdict};
use hermes_core::settings::Surroundings;
use hermes_core::status::{Backoff, Exit, Parked};
use hermes_core::{Gateway, ProfileName, Store};
use jiff::Timestamp;

use self::children::Child;
use self::events::{Event, Events};
use self::probes::Probes;
use crate::error::GatewayError;

/// Where a Pod says why its gateway is parked (`terminationMessagePath` of a container).
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// What a Pod is told about itself.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its unique ID.
    pub uid: String,
    /// Where the kubelet asks for `/ready` and `/live`: at the Pod's address, on which the gateway listens, too, unless its
    /// profile names another one.
    pub probes: SocketAddr,
    /// The policy for restarts.
    pub policy: Policy,
}

/// Runs the gateway of the profile `name` as the main process of `pod`. Blocks until SIGTERM or SIGINT, ends the gateway
/// within its stop budget, and returns. An absent profile is an error at once.
pub fn run(store: &Store, name: &ProfileName, pod: Pod) -> Result<(), GatewayError> {
    let surroundings = Surroundings {
        host: Some(pod.probes.ip().to_string()),
        defaults: Some(store.root().projected_defaults()),
    };
    let gateway = Gateway::in_surroundings(store.get(name)?, surroundings.clone());
    let failed = |source| GatewayError::Pod { profile: name.clone(), source };
    let events = Events::register().map_err(failed)?;
    children::adopt_orphans().map_err(failed)?;
    let probes = Probes::serve(pod.probes).map_err(failed)?;
    let record = PodRecord::read(&gateway.home().pod_record(), &pod.uid).map_err(failed)?;
    let mut launcher = Launcher {
        begun: Moment::now(),
        events: Journal::new(store.root()).of(name),
        record: record.unwrap_or_else(|| PodRecord::new(pod.uid)),
        surroundings,
        policy: pod.policy,
        gateway,
        probes,
    };
    let mut state = launcher.first();
    loop {
        let event = events.wait(&state).map_err(failed)?;
        state = match (state, event) {
            (state, Event::End) => return launcher.end(state).map_err(failed),
            (State::Up(child), Event::Children) => launcher.reap(child),
            (State::Up(child), Event::Ready | Event::Due) => launcher.settle(child),
            (State::Waiting(_), Event::Due) => launcher.start(),
            (state, _) => {
                // Processes that lost their parents.
                children::reap();
                state
            }
        };
    }
}

/// What the gateway is doing.
#[derive(Debug)]
enum State {
    Up(Child),
    /// It starts again at this time.
    Waiting(Instant),
    Parked,
}

impl State {
    /// When something is due without an event.
    fn due(&self) -> Option<Instant> {
        match self {
            Self::Up(child) => child.settles_at(),
            Self::Waiting(until) => Some(*until),
            Self::Parked => None,
        }
    }
}

struct Launcher {
    gateway: Gateway,
    policy: Policy,
    probes: Probes,
    events: Recorder,
    record: PodRecord,
    surroundings: Surroundings,
    /// When this process began to run the gateway.
    begun: Moment,
}

impl Launcher {
    fn home(&self) -> &ProfileHome {
        self.gateway.home()
    }

    /// When what still runs is killed, if it is asked to end now.
    fn stop_deadline(&self) -> Instant {
        Instant::now() + self.gateway.stop_timeout().kill_after()
    }

    /// The first state: a container that Kubernetes starts again in a Pod whose gateway is parked goes on so.
    fn first(&mut self) -> State {
        match self.record.record.parked.is_some() {
            true => State::Parked,
            false => self.start(),
        }
    }

    fn start(&mut self) -> State {
        self.record.backoff = None;
        let notifies = self.gateway.notifies_readiness();
        let settles_at = (!notifies).then(|| Instant::now() + SETTLED);
        match Child::start(self.gateway.name(), &self.surroundings, settles_at) {
            Ok(child) => {
                self.record.pid = Some(child.pid());
                self.record.since = Timestamp::now();
                self.record.ready = notifies.then_some(false);
                self.write();
                State::Up(child)
            }
            Err(error) => {
                log::error!("failed to start the gateway: {error}");
                self.follow_death(Exit::Code(1))
            }
        }
    }

    fn settle(&mut self, mut child: Child) -> State {
        if !child.has_settled() {
            return State::Up(child);
        }
        self.record.ready = self.record.ready.map(|_| true);
        self.probes.ready(true);
        self.write();
        State::Up(child)
    }

    /// Follows the end of a child, maybe the gateway's.
    fn reap(&mut self, child: Child) -> State {
        match children::reap().get(&child.pid()) {
            Some(exit) => self.follow_death(*exit),
            None => State::Up(child),
        }
    }

    /// What follows the end of the gateway, which nobody asked for.
    fn follow_death(&mut self, exit: Exit) -> State {
        self.probes.ready(false);
        let (now, moment) = (Timestamp::now(), Moment::now());
        self.events.record_death(exit);
        self.record.pid = None;
        self.record.since = now;
        self.record.ready = None;
        self.record.record.add_death(now, &moment, exit);
        // Nothing of it may disturb the next one.
        children::end_rest(self.stop_deadline());
        let history = self.record.record.history(&moment, Some(&self.begun));
        let fault = restart::fault(&self.home().fault());
        let state = match self.policy.decide(&history, fault) {
            Verdict::Park(reason) => self.park(reason),
            Verdict::Restart { after, .. } if after.is_zero() => return self.start(),
            Verdict::Restart { after, count } => self.back_off(after, count),
        };
        self.write();
        state
    }

    fn back_off(&mut self, after: Duration, count: u32) -> State {
        let seconds = after.as_secs_f32();
        self.events.record(What::BackedOff, format!("{seconds} s, after death {count} in a row"));
        self.record.backoff = Some(Backoff { count, until: Timestamp::now() + after });
        State::Waiting(Instant::now() + after)
    }

    fn park(&mut self, reason: String) -> State {
        log::error!("{PARKED}{reason}");
        self.events.record(What::Parked, reason.as_str());
        if let Err(error) = std::fs::write(TERMINATION_MESSAGE, format!("{PARKED}{reason}\n")) {
            log::debug!("no termination message: {error}");
        }
        self.record.record.parked = Some(Parked { reason, since: Some(Timestamp::now()) });
        State::Parked
    }

    /// Ends the gateway, and all that it started.
    fn end(mut self, state: State) -> std::io::Result<()> {
        self.probes.ready(false);
        let deadline = self.stop_deadline();
        if let State::Up(child) = state {
            child.end(deadline)?;
        }
        children::end_rest(deadline);
        (self.record.pid, self.record.ready, self.record.backoff) = (None, None, None);
        self.record.since = Timestamp::now();
        self.write();
        Ok(())
    }

    /// A record that can't be written changes nothing for the gateway.
    fn write(&self) {
        if let Err(error) = self.record.write(&self.home().pod_record()) {
            log::warn!("the status is out of date: {}", in_one_line(&error));
        }
    }
}
