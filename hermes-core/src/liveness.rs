//! Liveness: whether gateways that are up still answer.
//!
//! `hermes up` asks them, all in one thread ([`watch`]), and records the verdict where every command reads it
//! ([`health`]). Where no tree asks, a command asks on the spot ([`Supervisor::ask_now`]).

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::changes::Announcements;
use crate::config::{Liveness, OnHang};
use crate::error_chain::in_one_line;
use crate::events::What;
use crate::fsutil;
use crate::gateway::Gateway;
use crate::health;
use crate::listeners::{Descriptor, Listeners};
use crate::lock::Lock;
use crate::name::ProfileName;
use crate::probe::{Failure, Requests, Target, ask_all};
use crate::proc::Proc;
use crate::status::{Reason, ReasonKind, State, Status};
use crate::supervisor::Supervisor;

/// The limit of a request on the spot, for which somebody waits. A shorter `liveness.timeout` counts.
const ON_THE_SPOT: Duration = Duration::from_secs(2);

/// A gateway that is asked.
#[derive(Debug)]
struct Asked {
    gateway: Gateway,
    pid: u32,
    target: Target,
    settings: Liveness,
    on_hang: OnHang,
    next: Instant,
    /// The failures in a row.
    failures: u32,
    unresponsive: bool,
    /// The socket that answered, which is known to be the gateway's.
    own: Option<(SocketAddr, Descriptor)>,
}

impl Asked {
    /// `None` if the gateway is not to be asked.
    fn new(gateway: Gateway, status: &Status) -> Option<Self> {
        let (pid, target, settings) = to_ask(&gateway, status)?;
        let unresponsive = status.is_unresponsive();
        Some(Self {
            pid,
            target,
            next: Instant::now() + settings.interval,
            failures: if unresponsive { settings.failures } else { 0 },
            unresponsive,
            own: None,
            on_hang: gateway.config().on_hang,
            settings,
            gateway,
        })
    }

    /// Takes the settings of `new`, the same process as its file is now. Its address counts at the next start: the
    /// process listens where it was told to when it came up.
    fn configure(&mut self, new: Self) {
        if self.settings != new.settings {
            (self.settings, self.next) = (new.settings, new.next);
        }
        self.on_hang = new.on_hang;
    }
}

/// Asks the gateways of `supervisor` that are up, each at its interval, and records those that do not answer. With
/// `on_hang: restart` such a gateway is killed, which counts as a death. Learns from `changes` which gateways come up
/// and go down. Blocks until `stop` is readable or at its end. While it runs, commands do not ask on the spot.
pub fn watch(supervisor: &Supervisor, mut changes: Announcements, stop: BorrowedFd<'_>) {
    // Another process that asks is no error: the verdicts are the same.
    let _lock = Lock::acquire(&supervisor.store().root().liveness_lock(), Duration::ZERO).ok();
    let mut watch = Watch { supervisor, asked: BTreeMap::new() };
    let mut requests = Requests::default();
    loop {
        let until = watch.begin_due(&mut requests);
        let (asked, wake) = (&mut watch.asked, [stop, changes.fd()]);
        let ended = requests.wait(until, &wake, |(name, pid): &(_, u32), address| {
            accept(asked, name, *pid, address)
        });
        if crate::wait::readable(&[stop], Some(Instant::now())).is_ok_and(|ready| ready[0]) {
            return;
        }
        for ((name, pid), answer) in ended {
            watch.judge(&name, pid, answer.map(drop));
        }
        let changed = changes.take();
        match changed.all {
            true => watch.observe_all(),
            false => watch.observe(&changed.profiles),
        }
    }
}

/// Whether an answer is the gateway's own. A socket that was the gateway's stays its own while it has it open.
fn accept(
    asked: &mut BTreeMap<ProfileName, Asked>,
    name: &ProfileName,
    pid: u32,
    address: SocketAddr,
) -> Result<(), Failure> {
    let Some(asked) = asked.get_mut(name) else { return Ok(()) };
    let is_known = |(known, own): &(SocketAddr, Descriptor)| *known == address && own.is_open();
    if !asked.own.as_ref().is_some_and(is_known) {
        let own = health::require_own(address, pid)?;
        asked.own = own.map(|descriptor| (address, descriptor));
    }
    Ok(())
}

struct Watch<'a> {
    supervisor: &'a Supervisor,
    asked: BTreeMap<ProfileName, Asked>,
}

impl Watch<'_> {
    fn observe_all(&mut self) {
        // A home that can't be listed now is listed the next time.
        let Ok(names) = self.supervisor.store().names() else { return };
        let names: BTreeSet<_> = names.into_iter().collect();
        self.asked.retain(|name, _| names.contains(name));
        self.observe(&names);
    }

    /// Begins to ask those of `names` that are up, and ends to ask the others.
    fn observe(&mut self, names: &BTreeSet<ProfileName>) {
        if names.is_empty() {
            return;
        }
        let found = names.iter().filter_map(|name| self.supervisor.gateway(name).ok());
        let mut gateways: Vec<_> = found.collect();
        // The configuration of an idle gateway is not read.
        let Ok(running) = self.supervisor.driver().running(&gateways) else { return };
        let running: BTreeSet<_> = running.into_iter().collect();
        self.asked.retain(|name, _| running.contains(name) || !names.contains(name));
        gateways.retain(|gateway| running.contains(gateway.name()));
        if gateways.is_empty() {
            return;
        }
        let Ok(statuses) = self.supervisor.observe_many(&gateways) else { return };
        for (gateway, status) in gateways.into_iter().zip(statuses) {
            let name = gateway.name().clone();
            let pid = status.as_ref().ok().and_then(|status| status.pid);
            let known = self.asked.get_mut(&name).filter(|known| Some(known.pid) == pid);
            let is_unreadable = gateway.loaded().is_err();
            match (known, status.ok().and_then(|status| Asked::new(gateway, &status))) {
                (Some(known), Some(new)) => known.configure(new),
                // It is asked as before: its file counts at the next start.
                (Some(_), None) if is_unreadable => {}
                (_, Some(new)) => drop(self.asked.insert(name, new)),
                (_, None) => drop(self.asked.remove(&name)),
            }
        }
    }

    /// Begins the requests that are due. Returns when the next one is.
    fn begin_due(&mut self, requests: &mut Requests<(ProfileName, u32)>) -> Option<Instant> {
        let now = Instant::now();
        for (name, asked) in &mut self.asked {
            if asked.next <= now && !requests.any(|(other, _)| other == name) {
                asked.next = now + asked.settings.interval;
                requests.begin((name.clone(), asked.pid), &asked.target, asked.settings.timeout);
            }
        }
        let idle = self.asked.values().map(|asked| asked.next).filter(|next| *next > now);
        idle.min()
    }

    fn judge(&mut self, name: &ProfileName, pid: u32, answer: Result<(), Failure>) {
        let Some(asked) = self.asked.get_mut(name).filter(|asked| asked.pid == pid) else {
            return;
        };
        let health = asked.gateway.home().health();
        let Err(failure) = answer else {
            asked.failures = 0;
            if std::mem::take(&mut asked.unresponsive) {
                log::info!("`{name}` answers again");
                self.supervisor.record(name, What::Responsive, "");
                note(name, health::clear(&health));
            }
            return;
        };
        asked.failures = asked.failures.saturating_add(1);
        if !asked.failures.is_multiple_of(asked.settings.failures) {
            return;
        }
        // It may have ended, or have been stopped, since it was asked.
        let now = self.supervisor.driver().observe(&asked.gateway);
        if !now.is_ok_and(|now| now.state == State::Up && now.pid == Some(pid)) {
            return;
        }
        let reason = unresponsive(&asked.target, &failure, asked.settings.failures);
        if !asked.unresponsive {
            log::warn!("`{name}` is unresponsive: {}", reason.text);
            self.supervisor.record(name, What::Unresponsive, reason.text.as_str());
            asked.unresponsive = true;
            note(name, health::record(&health, pid, reason));
        }
        if asked.on_hang == OnHang::Restart {
            log::warn!("`{name}` is killed, to be started again");
            // Before the death, which it explains.
            self.supervisor.record(
                name,
                What::Requested,
                "restart, by the tree: `on_hang: restart`",
            );
            if let Err(error) = self.supervisor.driver().kill(&asked.gateway) {
                log::warn!("failed to kill `{name}`: {}", in_one_line(&error));
            }
        }
    }
}

fn note(name: &ProfileName, recorded: std::io::Result<()>) {
    if let Err(error) = recorded {
        log::warn!("failed to record the health of `{name}`: {error}");
    }
}

fn unresponsive(target: &Target, failure: &Failure, failures: u32) -> Reason {
    let times = if failures == 1 { String::new() } else { format!(", {failures} times in a row") };
    Reason { kind: ReasonKind::Unresponsive, text: format!("GET {target}: {failure}{times}") }
}

impl Supervisor {
    /// Whether a tree asks the gateways for their liveness, and records it.
    pub fn is_watched(&self) -> bool {
        fsutil::is_in_use(&self.store().root().liveness_lock())
    }

    /// As [`ask_now`], of gateways whose configurations were not read yet.
    pub fn ask_now<'a>(&self, statuses: impl IntoIterator<Item = &'a mut Status>) {
        let with_gateway = |status: &'a mut Status| {
            let gateway = self.gateway(&status.profile).ok()?;
            Some((gateway, status))
        };
        let mut all: Vec<_> = statuses.into_iter().filter_map(with_gateway).collect();
        ask_now(all.iter_mut().map(|(gateway, status)| (&*gateway, &mut **status)));
    }
}

/// Asks those of the gateways that are up, all at the same time, and gives the statuses of those that do not answer the
/// reason. Blocks at most two seconds.
pub fn ask_now<'a>(statuses: impl IntoIterator<Item = (&'a Gateway, &'a mut Status)>) {
    let mut all = Vec::new();
    let mut targets = Vec::new();
    for (gateway, status) in statuses {
        if let Some((pid, target, settings)) = to_ask(gateway, status) {
            all.push((status, pid));
            targets.push((target, settings.timeout.min(ON_THE_SPOT)));
        }
    }
    // Read once for all answers, after every gateway was connected to.
    let listeners = LazyCell::new(|| Listeners::read(&Proc::default()));
    let answers = ask_all(&targets, |index, address| {
        health::require_own_among(&listeners, address, all[index].1)
    });
    for ((status, _), (answer, (target, _))) in all.into_iter().zip(answers.iter().zip(&targets)) {
        match answer {
            Err(failure) => status.reason = Some(unresponsive(target, failure, 1)),
            // It answers again, which the tree has not seen yet.
            Ok(_) if status.is_unresponsive() => status.reason = None,
            Ok(_) => {}
        }
    }
}

/// The process of a gateway that is to be asked, where, and how.
fn to_ask(gateway: &Gateway, status: &Status) -> Option<(u32, Target, Liveness)> {
    let settings = gateway.liveness().filter(|_| status.state == State::Up)?;
    Some((status.pid?, gateway.health_target()?, settings))
}
