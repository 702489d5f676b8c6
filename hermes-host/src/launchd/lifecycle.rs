//! Starts and stops one gateway under launchd.
//!
//! The exit code of launchctl does not prove the result: `bootstrap` may fail although it loaded the job,
//! `bootout` returns before the job is gone, and for seconds after that `bootstrap` fails with 5. So success
//! means that the process which launchd names holds the gateway's lock.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fs_err as fs;
use hermes_core::Gateway;
use hermes_core::driver::DriverError;
use hermes_core::driver::startup::{self, NOT_READY, NOT_SETTLED, STOPPED_MEANWHILE, Settling};
use hermes_core::fsutil;
use hermes_core::home::ProfileHome;
use hermes_core::process_lock::{locker, other_holder};
use hermes_core::restart::Record;
use hermes_core::status::Parked;
use hermes_core::wait::{self, Poll, Timeouts};
use hermes_core::waiting::{Goal, Waiting};
use jiff::Timestamp;
use rustix::process::{Pid, Signal};

use super::launchctl::{Answer, Domain, Job, Launchctl};
use super::log;

/// How long launchd may refuse to load a job that it is removing. Five seconds have been observed.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(15);

/// The launchd job of one gateway.
pub(super) struct ManagedJob<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) launchctl: &'a Launchctl,
    pub(super) timeouts: Timeouts,
    pub(super) label: String,
    /// Its property list.
    pub(super) agent: PathBuf,
    /// The directory of its log.
    pub(super) log: PathBuf,
}

impl ManagedJob<'_> {
    /// The loaded jobs with its label.
    pub(super) fn jobs(&self) -> Result<Vec<Job>, DriverError> {
        self.launchctl.jobs(&self.label)
    }

    /// The process that has the gateway's lock, by the kernel's word: the gateway, even if launchd did not start it.
    fn locker(&self) -> Result<Option<u32>, DriverError> {
        Ok(locker(&self.gateway.home().gateway_lock())?.and_then(|holder| holder.pid))
    }

    /// The same, or the process that the lock's file records as its holder. A file proves nothing, so this process
    /// must not be signaled.
    fn recorded_holder(&self) -> Result<Option<u32>, DriverError> {
        Ok(other_holder(&self.gateway.home().gateway_lock(), None)?)
    }

    /// Loads the job unless it runs, and blocks until the gateway is ready, or has been up for a second if it
    /// never reports readiness. A death is an error at once; launchd keeps restarting the gateway.
    pub(super) fn bring_up(&self, domain: Domain) -> Result<(), DriverError> {
        let jobs = self.jobs()?;
        // The launcher of a parked gateway is about to unload the job.
        let leaving = self.parked().is_some();
        let running = jobs.iter().find_map(|job| job.pid).filter(|_| !leaving);
        if running.is_none() {
            // Loading the job again also skips launchd's delay before a restart.
            self.bring_down()?;
            self.prepare()?;
            self.load(domain)?;
        }
        self.await_ready(running)
    }

    /// Loads the job unless it is loaded. Does not wait for the gateway.
    pub(super) fn request_up(&self, domain: Domain) -> Result<(), DriverError> {
        if !self.jobs()?.is_empty() {
            return Ok(());
        }
        self.prepare()?;
        self.load(domain)
    }

    /// Removes the record of the previous job, and rotates its log.
    fn prepare(&self) -> Result<(), DriverError> {
        let removed = fsutil::remove_file_if_there(&self.gateway.home().launchd_record());
        Ok(removed.and_then(|_| log::rotate(&self.log))?)
    }

    /// Makes launchd load the job and blocks until it is loaded.
    fn load(&self, domain: Domain) -> Result<(), DriverError> {
        let mut reason = String::new();
        let loaded =
            wait::until(Instant::now() + REMOVAL_TIMEOUT.min(self.timeouts.start), || {
                let answer = self.launchctl.bootstrap(domain, &self.agent)?;
                if !self.jobs()?.is_empty() {
                    return Ok(Poll::Done(()));
                }
                match answer {
                    // The launcher may have unloaded the job already, which `await_ready` detects.
                    Answer::Accepted => return Ok(Poll::Done(())),
                    Answer::Busy(message) => reason = message,
                    Answer::Refused(message) => return Err(self.not_loaded(message, domain)),
                }
                // Only `bootout` removes a job that is partly loaded.
                self.launchctl.bootout(domain, &self.label)?;
                Ok(Poll::Wait)
            })?;
        loaded.ok_or_else(|| self.not_loaded(reason, domain))
    }

    fn not_loaded(&self, reason: String, domain: Domain) -> DriverError {
        let label = &self.label;
        let hint =
            format!("if it is disabled: `launchctl enable {domain}/{label}`, then start it again");
        DriverError::new(reason).with_hint(hint)
    }

    /// Waits until the gateway of a loaded job is ready. `running` is its process, unless this command has just
    /// loaded the job. While the lock is held the gateway is alive, and launchctl, which is slower, is not called.
    fn await_ready(&self, running: Option<u32>) -> Result<(), DriverError> {
        let mut first = running;
        let mut settling = Settling::default();
        let mut last_seen = "its process does not hold the gateway's lock yet";
        let mut up_if_first = |first: &mut Option<u32>, gateway| match gateway {
            Some(pid) if *first.get_or_insert(pid) == pid => Some(self.is_up(pid, &mut settling)),
            _ => None,
        };
        let deadline = Instant::now() + self.timeouts.start;
        let _waiting = Waiting::begin(Goal::Ready(self.gateway.name().clone()), deadline);
        let done = wait::until(deadline, || {
            let up = up_if_first(&mut first, self.locker()?);
            if let Some(later @ (Poll::Wait | Poll::WaitUntil(_))) = up {
                last_seen = match self.gateway.notifies_readiness() {
                    true => NOT_READY,
                    false => NOT_SETTLED,
                };
                return Ok(later);
            }
            let jobs = self.jobs()?;
            let job = jobs.iter().find(|job| job.pid.is_some()).or(jobs.first());
            let Some(job) = job else { return Err(self.gone()) };
            let another = first.is_some() && job.pid != first;
            if another || running.is_none() && job.last_exit.is_some() {
                // The launcher parked the gateway and is about to unload the job.
                if self.parked().is_some() {
                    last_seen = "it is parked, and launchd has not unloaded its job";
                    return Ok(Poll::Wait);
                }
                return Err(self.died(job));
            }
            // Without the lock the gateway is starting, or has just ended and launchd has not noticed, or it has lost
            // the lock: launchd's process counts that the lock's file records.
            let gateway = self.recorded_holder()?.filter(|pid| job.pid == Some(*pid));
            Ok(up.or_else(|| up_if_first(&mut first, gateway)).unwrap_or(Poll::Wait))
        })?;
        done.ok_or_else(|| startup::not_ready(self.gateway, self.timeouts.start, last_seen))
    }

    /// Whether the gateway that holds the lock is ready, or up for a second if it never reports readiness.
    fn is_up(&self, pid: u32, settling: &mut Settling) -> Poll<()> {
        if self.gateway.notifies_readiness() {
            return if is_ready(self.gateway.home(), pid) { Poll::Done(()) } else { Poll::Wait };
        }
        // The time of the lock file is no measure: the clock may have been set since.
        settling.poll(pid)
    }

    /// The error of a start during which the job was unloaded.
    fn gone(&self) -> DriverError {
        match self.parked() {
            Some(parked) => startup::died(self.gateway, "launchd", Some(&parked), None, None),
            None => DriverError::new(STOPPED_MEANWHILE),
        }
    }

    /// Why the launcher parked the gateway; `None` if it did not.
    fn parked(&self) -> Option<Parked> {
        Record::read(&self.gateway.home().launchd_record()).unwrap_or_default().parked
    }

    /// The error of a start during which the gateway's process ended.
    fn died(&self, job: &Job) -> DriverError {
        startup::died(self.gateway, "launchd", None, job.last_exit, None)
    }

    /// Makes launchd unload the job and blocks until it is unloaded and no process holds the gateway's lock,
    /// orphans included. Kills a process that remains after the stop budget. Idempotent.
    pub(super) fn bring_down(&self) -> Result<(), DriverError> {
        let started = Instant::now();
        let timeout = self.gateway.stop_timeout().budget() + self.timeouts.stop_beyond_budget;
        let kill_at = started + self.gateway.stop_timeout().kill_after();
        let mut booted_out: Vec<Job> = Vec::new();
        let mut signaled = None;
        let mut last_seen = String::new();
        let _waiting = Waiting::begin(Goal::End(self.gateway.name().clone()), started + timeout);
        let done = wait::until(started + timeout, || {
            let jobs = self.jobs()?;
            for job in &jobs {
                // A job with another process was started again.
                if booted_out.iter().any(|old| (old.domain, old.pid) == (job.domain, job.pid)) {
                    continue;
                }
                let answer = self.launchctl.bootout(job.domain, &self.label)?;
                if let Answer::Refused(reason) = answer {
                    return Err(DriverError::new(reason));
                }
                booted_out.push(*job);
            }
            let (locker, recorded) = (self.locker()?, self.recorded_holder()?);
            let late = Instant::now() >= kill_at;
            // A process that only the file records may be about to end. The caller reports one that stays.
            if jobs.is_empty() && locker.is_none() && (recorded.is_none() || late) {
                return Ok(Poll::Done(()));
            }
            last_seen = match recorded {
                Some(pid) => format!("it still runs as {pid}"),
                None => "launchd still has its job".to_owned(),
            };
            // launchd ends its own process, and kills it after `ExitTimeOut`.
            let orphan = locker.filter(|_| jobs.is_empty());
            if let Some(pid) = orphan.filter(|pid| late || signaled != Some(*pid)) {
                self.signal(pid, if late { Signal::KILL } else { Signal::TERM })?;
                signaled = Some(pid);
            }
            Ok(Poll::WaitUntil(kill_at))
        })?;
        done.ok_or_else(|| startup::not_ended(timeout, last_seen))
    }

    /// Signals the process that has the gateway's lock. macOS has no pidfd, so the holder is checked again right
    /// before, in case the process id was reused.
    fn signal(&self, pid: u32, signal: Signal) -> Result<(), DriverError> {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(process) =
            process.filter(|_| matches!(self.locker(), Ok(Some(now)) if now == pid))
        else {
            return Ok(());
        };
        match rustix::process::kill_process(process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }
}

/// When the gateway that holds the lock started: the time of the lock file, which it writes then.
pub(super) fn started_at(home: &ProfileHome) -> Option<Timestamp> {
    fs::metadata(home.gateway_lock()).ok()?.modified().ok()?.try_into().ok()
}

/// Whether the gateway that runs as `pid` has reported readiness.
pub(super) fn is_ready(home: &ProfileHome, pid: u32) -> bool {
    let ready_pid = fsutil::read_if_there(&home.readiness()).ok().flatten();
    ready_pid.is_some_and(|text| text.trim_ascii() == pid.to_string().as_bytes())
}
