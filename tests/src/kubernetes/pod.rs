//! A Pod on its node: its container is started, probed, started again after its end, and ended with the Pod.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use hermes_core::status::Exit;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::deletion::is_ending;
use super::events::{Event, Probe};
use super::plan;
use super::pod_status::{Container, write};
use super::probing::Prober;
use super::resource::Resource;
use super::sandbox::Run;
use super::shared::Shared;
use super::time;
use crate::SOON;

/// The longest wait before a restart, and how long a container has to run until the waits are short again.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
const CALM: Duration = Duration::from_secs(600);
/// What a container has to end in if its Pod's object is gone.
const LEAST_GRACE: Duration = Duration::from_secs(1);
/// What holds an address for a Pod.
const ADDRESS_PORT: u16 = 64_999;

/// A container that runs, with its probes.
#[derive(Debug)]
struct Running {
    run: Run,
    begun: Instant,
    /// Until it has started.
    startup: Option<Prober>,
    readiness: Option<Prober>,
    liveness: Option<Prober>,
    /// When it is killed, once it was asked to end.
    kill_at: Option<Instant>,
    was_killed: bool,
}

/// A Pod and its container.
#[derive(Debug)]
pub(super) struct Pod {
    shared: Arc<Shared>,
    object: Arc<Value>,
    name: String,
    uid: String,
    address: Ipv4Addr,
    /// Holds the address.
    _holder: UdpSocket,
    sender: Sender<Event>,
    events: Receiver<Event>,
    container: Container,
    running: Option<Running>,
    /// When the container is started, if it does not run.
    start_at: Option<Instant>,
    /// How many restarts followed each other so far.
    restarts_in_a_row: u32,
    /// The number of the container's run.
    number: u64,
}

impl Pod {
    pub(super) fn new(
        shared: &Arc<Shared>,
        object: &Arc<Value>,
        sender: Sender<Event>,
        events: Receiver<Event>,
    ) -> Self {
        let (address, holder) = address();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            shared: Arc::clone(shared),
            object: Arc::clone(object),
            name: text(&object["metadata"]["name"]),
            uid: text(&object["metadata"]["uid"]),
            address,
            _holder: holder,
            sender,
            events,
            container: Container::default(),
            running: None,
            start_at: Some(Instant::now()),
            restarts_in_a_row: 0,
            number: 0,
        }
    }

    /// Blocks until the Pod has ended.
    pub(super) fn run(&mut self) {
        while self.follow_object() {
            let now = Instant::now();
            if self.start_at.is_some_and(|at| at <= now) {
                self.start();
            }
            if let Some(running) = &mut self.running
                && running.kill_at.is_some_and(|at| at <= now)
                && !running.was_killed
            {
                running.was_killed = true;
                running.run.signal(Signal::KILL);
            }
            match self.wait() {
                Some(Event::Exited(exit, message)) => self.follow_exit(exit, &message),
                Some(Event::Probed(probe, run, is_well)) if run == self.number => {
                    self.follow_answer(probe, is_well);
                }
                Some(Event::End) => {
                    self.end();
                    break;
                }
                Some(Event::Probed(..) | Event::Changed) | None => {}
            }
        }
        self.shared.with_settings(|settings| settings.pods.remove(&self.uid));
    }

    /// The next event; `None` when something is due.
    fn wait(&self) -> Option<Event> {
        let kill_at = self.running.as_ref().filter(|running| !running.was_killed);
        let kill_at = kill_at.and_then(|running| running.kill_at);
        match self.start_at.into_iter().chain(kill_at).min() {
            Some(at) => {
                match self.events.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(event) => Some(event),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => {
                        unreachable!("it has a sender of its own")
                    }
                }
            }
            None => self.events.recv().ok(),
        }
    }

    /// The object as the server has it.
    fn current(&self) -> Option<Arc<Value>> {
        let object = self.shared.store.get(Resource::Pods, &self.name)?;
        (object["metadata"]["uid"] == *self.uid).then_some(object)
    }

    /// Does what the object says; whether the Pod goes on.
    fn follow_object(&mut self) -> bool {
        if self.shared.is_lost(&self.object) {
            // Nothing reaches the node.
            return true;
        }
        let current = self.current();
        let grace = match &current {
            None => LEAST_GRACE,
            Some(object) if is_ending(object) => {
                let seconds = object["metadata"]["deletionGracePeriodSeconds"].as_u64();
                Duration::from_secs(seconds.unwrap_or_default())
            }
            Some(_) => {
                self.report();
                return true;
            }
        };
        self.start_at = None;
        if self.running.is_some() {
            self.ask_to_end(grace);
            self.report();
            return true;
        }
        self.report();
        if current.is_some() {
            self.shared.store.with(|data| data.remove(Resource::Pods, &self.name));
        }
        false
    }

    /// Asks the container to end; the shortest of several times holds.
    fn ask_to_end(&mut self, grace: Duration) {
        let Some(running) = &mut self.running else { return };
        let at = Instant::now() + grace;
        if running.kill_at.is_none() {
            running.run.signal(Signal::TERM);
        }
        running.kill_at = Some(running.kill_at.map_or(at, |former| former.min(at)));
        // A Pod that ends is not asked any more, and gets no requests.
        (running.startup, running.readiness, running.liveness) = (None, None, None);
        self.container.is_ready = false;
    }

    fn start(&mut self) {
        self.start_at = None;
        self.number += 1;
        let (plan, directory) = self.shared.with_settings(|settings| {
            let directory = settings.directory.as_ref().expect("a directory").path().to_owned();
            (plan::plan(&self.object, self.address, settings), directory)
        });
        let message = directory.join(format!("{}-{}", self.uid, self.number));
        let started = plan.and_then(|plan| {
            let log = self.shared.begin_log(&self.uid);
            Run::start(plan, &self.uid, message, log, self.sender.clone())
        });
        let run = match started {
            Ok(run) => run,
            Err(why) => {
                self.container.waits("CreateContainerError", &why);
                self.start_at =
                    Some(Instant::now() + self.shared.with_settings(|all| all.back_off));
                self.report();
                return;
            }
        };
        self.shared
            .with_settings(|settings| settings.processes.insert(self.uid.clone(), run.pid()));
        let has_readiness = self.object["spec"]["containers"][0]["readinessProbe"].is_object();
        self.container.runs(!has_readiness);
        let startup = self.prober(Probe::Startup);
        let has_started = startup.is_none();
        self.running = Some(Running {
            run,
            begun: Instant::now(),
            startup,
            readiness: None,
            liveness: None,
            kill_at: None,
            was_killed: false,
        });
        if has_started {
            self.begin_probes();
        }
        self.report();
    }

    fn prober(&self, probe: Probe) -> Option<Prober> {
        let spec = &self.object["spec"]["containers"][0];
        let faster = self.shared.with_settings(|settings| settings.faster);
        Prober::start(probe, spec, self.address, (self.number, faster), &self.sender)
    }

    /// Begins the probes of a container that has started.
    fn begin_probes(&mut self) {
        let (readiness, liveness) = (self.prober(Probe::Readiness), self.prober(Probe::Liveness));
        if let Some(running) = &mut self.running {
            (running.readiness, running.liveness) = (readiness, liveness);
        }
    }

    fn follow_exit(&mut self, exit: Exit, message: &str) {
        let Some(running) = self.running.take() else { return };
        self.shared.with_settings(|settings| settings.processes.remove(&self.uid));
        self.container.ended(exit, message);
        let policy = self.object["spec"]["restartPolicy"].as_str().unwrap_or("Always");
        if policy == "Never" || policy == "OnFailure" && exit == Exit::Code(0) {
            self.container.is_over = true;
            return;
        }
        if running.begun.elapsed() >= CALM {
            self.restarts_in_a_row = 0;
        }
        let first = self.shared.with_settings(|settings| settings.back_off);
        let delay = match self.restarts_in_a_row {
            0 => Duration::ZERO,
            times => first.saturating_mul(1 << (times - 1).min(10)).min(LONGEST_BACK_OFF),
        };
        self.restarts_in_a_row += 1;
        self.start_at = Some(Instant::now() + delay);
    }

    fn follow_answer(&mut self, probe: Probe, is_well: bool) {
        let Some(running) = &mut self.running else { return };
        let prober = match probe {
            Probe::Startup => &mut running.startup,
            Probe::Readiness => &mut running.readiness,
            Probe::Liveness => &mut running.liveness,
        };
        match (probe, prober.as_mut().and_then(|prober| prober.count(is_well))) {
            (Probe::Startup, Some(true)) => {
                running.startup = None;
                self.begin_probes();
            }
            (Probe::Readiness, Some(decided)) => self.container.is_ready = decided,
            (Probe::Startup | Probe::Liveness, Some(false)) => {
                let grace = self.object["spec"]["terminationGracePeriodSeconds"].as_u64();
                self.ask_to_end(Duration::from_secs(grace.unwrap_or(30)));
            }
            (_, None) | (Probe::Liveness, Some(true)) => {}
        }
    }

    /// Tells the server the state. A lost node's words don't reach it.
    fn report(&self) {
        if !self.shared.is_lost(&self.object) && self.current().is_some() {
            let started = json!(time::now());
            self.shared.store.with(|data| {
                data.update(Resource::Pods, &self.name, |pod| {
                    if pod["metadata"]["uid"] == *self.uid {
                        write(pod, &self.container, self.address, &started);
                    }
                });
            });
        }
    }

    /// Kills the container, and blocks until it has ended.
    fn end(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.run.signal(Signal::KILL);
        let deadline = Instant::now() + SOON;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Exited(..)) => return,
                Ok(_) => {}
                Err(error) => panic!("the container of {} does not end: {error}", self.name),
            }
        }
    }
}

/// An address of the loopback interface that no other Pod has, in any test. The socket holds it.
fn address() -> (Ipv4Addr, UdpSocket) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Concurrent test processes start far apart. The network 127.0 is the machine's own.
    let begin = std::process::id().wrapping_mul(4099);
    loop {
        let number = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        let part = |byte: u8| 1 + byte % 254;
        let address = Ipv4Addr::new(127, part(number[1]), part(number[2]), part(number[3]));
        if let Ok(holder) = UdpSocket::bind((address, ADDRESS_PORT)) {
            return (address, holder);
        }
    }
}
