//! Bringing one gateway up and down under launchd.
//!
//! What a command of launchctl exits with is never taken for what happened: `bootstrap` may fail and have
//! loaded the job, `bootout` answers before the job is gone, and for seconds after that `bootstrap` fails
//! with 5. What counts is the process that launchd names, and that it holds the gateway's own lock.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fs_err as fs;
use hermes_core::Gateway;
use hermes_core::driver::DriverError;
use hermes_core::driver::startup::{self, NOT_READY, NOT_SETTLED, SETTLED, STOPPED_MEANWHILE};
use hermes_core::fsutil;
use hermes_core::home::ProfileHome;
use hermes_core::process_lock::other_holder;
use hermes_core::status::Parked;
use hermes_core::wait::{self, Poll, Timeouts};
use jiff::Timestamp;
use rustix::process::{Pid, Signal};

use super::launchctl::{Answer, Domain, Job, Launchctl};
use super::log;
use super::record::Record;

/// For so long launchd may refuse to load what it is about to remove: five seconds were seen.
const REMOVAL: Duration = Duration::from_secs(15);

/// The job of one gateway, and how it is reached.
pub(super) struct ManagedJob<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) launchctl: &'a Launchctl,
    pub(super) timeouts: Timeouts,
    pub(super) label: String,
    /// Its property list.
    pub(super) agent: PathBuf,
    /// The directory of its lines.
    pub(super) log: PathBuf,
}

impl ManagedJob<'_> {
    /// Its jobs.
    pub(super) fn jobs(&self) -> Result<Vec<Job>, DriverError> {
        self.launchctl.jobs(&self.label)
    }

    /// The process that holds the gateway's lock: the gateway, whoever started it.
    pub(super) fn holder(&self) -> Result<Option<u32>, DriverError> {
        Ok(other_holder(&self.gateway.home().gateway_lock(), None)?)
    }

    /// Loads the job, unless it runs, and blocks until the gateway is ready, or up for a second where it
    /// never says that it is. A death on the way is an error at once; launchd goes on trying.
    pub(super) fn bring_up(&self, domain: Domain) -> Result<(), DriverError> {
        let (jobs, holder) = (self.jobs()?, self.holder()?);
        if let Some(pid) = holder.filter(|pid| !jobs.iter().any(|job| job.pid == Some(*pid))) {
            return Err(startup::runs_already(self.gateway, pid));
        }
        // One whose launcher is about to leave is not running.
        let leaving = self.parked().is_some();
        let anew = leaving || jobs.iter().all(|job| job.pid.is_none());
        if anew {
            // What launchd waits to start again, it starts at once when it is loaded anew.
            self.bring_down()?;
            self.prepare()?;
            self.load(domain)?;
        }
        self.await_ready(anew)
    }

    /// Forgets what was of the former job, before the next is loaded.
    fn prepare(&self) -> Result<(), DriverError> {
        let forget = fsutil::remove_file_if_there(&self.gateway.home().launchd_record());
        Ok(forget.and_then(|_| log::make_room(&self.log))?)
    }

    /// Has launchd load the job and blocks until it is loaded.
    fn load(&self, domain: Domain) -> Result<(), DriverError> {
        let mut said = String::new();
        let loaded = wait::until(Instant::now() + REMOVAL.min(self.timeouts.start), || {
            let answer = self.launchctl.bootstrap(domain, &self.agent)?;
            if !self.jobs()?.is_empty() {
                return Ok(Poll::Done(()));
            }
            match answer {
                // It may have ended and left already: what became of it is looked at next.
                Answer::Taken => return Ok(Poll::Done(())),
                Answer::Busy(why) => said = why,
                Answer::Refused(why) => return Err(self.not_loaded(why, domain)),
            }
            // It may be half loaded, which nothing but its removal ends.
            self.launchctl.bootout(domain, &self.label)?;
            Ok(Poll::Wait)
        })?;
        loaded.ok_or_else(|| self.not_loaded(said, domain))
    }

    fn not_loaded(&self, said: String, domain: Domain) -> DriverError {
        let label = &self.label;
        let hint =
            format!("if it was disabled: `launchctl enable {domain}/{label}`, then start it again");
        DriverError::new(said).with_hint(hint)
    }

    /// Waits for the gateway of a job that is loaded, by this command if `anew`. As long as the lock is held
    /// the gateway lives, and launchd, which takes longer to answer, is not asked.
    fn await_ready(&self, anew: bool) -> Result<(), DriverError> {
        let mut first = None;
        let mut saw = "its process does not hold the gateway's lock yet";
        let done = wait::until(Instant::now() + self.timeouts.start, || {
            let up = match self.holder()? {
                Some(pid) if *first.get_or_insert(pid) == pid => Some(self.is_up(pid)),
                _ => None,
            };
            if let Some(later @ (Poll::Wait | Poll::WaitUntil(_))) = up {
                saw = match self.gateway.notifies_readiness() {
                    true => NOT_READY,
                    false => NOT_SETTLED,
                };
                return Ok(later);
            }
            let jobs = self.jobs()?;
            let job = jobs.iter().find(|job| job.pid.is_some()).or(jobs.first());
            let Some(job) = job else { return Err(self.gone()) };
            let another = first.is_some() && job.pid != first;
            if another || anew && job.last_exit.is_some() {
                // Parked before that end, it is about to be removed.
                if self.parked().is_some() {
                    saw = "it is parked, and launchd has not removed its job";
                    return Ok(Poll::Wait);
                }
                return Err(self.died(job));
            }
            // Without the lock it is about to begin, or has just ended and launchd has not seen that.
            Ok(up.unwrap_or(Poll::Wait))
        })?;
        done.ok_or_else(|| startup::not_ready(self.gateway, self.timeouts.start, saw))
    }

    /// Whether the gateway that holds the lock is ready, or has been up for a second where it never says so.
    fn is_up(&self, pid: u32) -> Poll<()> {
        if self.gateway.notifies_readiness() {
            return if is_ready(self.gateway.home(), pid) { Poll::Done(()) } else { Poll::Wait };
        }
        let age = begun(self.gateway.home()).map(|begun| Timestamp::now().duration_since(begun));
        let age = age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
        match SETTLED.checked_sub(age) {
            None => Poll::Done(()),
            Some(left) => Poll::WaitUntil(Instant::now() + left),
        }
    }

    /// The error of a gateway whose job has gone while it was waited for.
    fn gone(&self) -> DriverError {
        match self.parked() {
            Some(parked) => startup::died(self.gateway, "launchd", Some(&parked), None, None),
            None => DriverError::new(STOPPED_MEANWHILE),
        }
    }

    /// Why the launcher has parked the gateway, if it has.
    fn parked(&self) -> Option<Parked> {
        Record::read(&self.gateway.home().launchd_record()).unwrap_or_default().parked
    }

    /// The error of a gateway whose process has ended while it was waited for.
    fn died(&self, job: &Job) -> DriverError {
        startup::died(self.gateway, "launchd", None, job.last_exit, None)
    }

    /// Has launchd remove the job and blocks until that is so and nobody holds the gateway's lock, an orphan
    /// included. What is not gone after the stop budget is killed. Idempotent.
    pub(super) fn bring_down(&self) -> Result<(), DriverError> {
        let started = Instant::now();
        let timeout = self.gateway.stop_timeout().budget() + self.timeouts.stop_beyond_budget;
        let kill_at = started + self.gateway.stop_timeout().kill_after();
        let mut told: Vec<Job> = Vec::new();
        let mut asked_to_end = None;
        let mut saw = String::new();
        let done = wait::until(started + timeout, || {
            let jobs = self.jobs()?;
            for job in &jobs {
                // A job that was told and has another process was started again.
                if told.iter().any(|told| (told.domain, told.pid) == (job.domain, job.pid)) {
                    continue;
                }
                let answer = self.launchctl.bootout(job.domain, &self.label)?;
                if let Answer::Refused(said) = answer {
                    return Err(DriverError::new(said));
                }
                told.push(*job);
            }
            let holder = self.holder()?;
            if jobs.is_empty() && holder.is_none() {
                return Ok(Poll::Done(()));
            }
            saw = match holder {
                Some(pid) => format!("it still runs as {pid}"),
                None => "launchd still has its job".to_owned(),
            };
            // launchd ends its own, and kills it in time.
            let orphan = holder.filter(|_| jobs.is_empty());
            let late = Instant::now() >= kill_at;
            if let Some(pid) = orphan.filter(|pid| late || asked_to_end != Some(*pid)) {
                self.signal(pid, if late { Signal::KILL } else { Signal::TERM })?;
                asked_to_end = Some(pid);
            }
            Ok(Poll::WaitUntil(kill_at))
        })?;
        done.ok_or_else(|| startup::not_ended(timeout, saw))
    }

    /// Signals the holder of the gateway's lock. macOS has nothing that keeps a number from meaning another
    /// process, so the kernel is asked for the holder once more right before.
    fn signal(&self, pid: u32, signal: Signal) -> Result<(), DriverError> {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(process) =
            process.filter(|_| matches!(self.holder(), Ok(Some(now)) if now == pid))
        else {
            return Ok(());
        };
        match rustix::process::kill_process(process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }
}

/// When the gateway that holds the lock began: it writes into its lock then.
pub(super) fn begun(home: &ProfileHome) -> Option<Timestamp> {
    fs::metadata(home.gateway_lock()).ok()?.modified().ok()?.try_into().ok()
}

/// Whether the gateway that runs as `pid` has said that it is ready.
pub(super) fn is_ready(home: &ProfileHome, pid: u32) -> bool {
    let said = fsutil::read_if_there(&home.readiness()).ok().flatten();
    said.is_some_and(|said| said.trim_ascii() == pid.to_string().as_bytes())
}
