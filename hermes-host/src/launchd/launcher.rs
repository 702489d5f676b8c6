//! The launcher's part: what launchd can't be told in a property list.
//!
//! launchd starts what is loaded, at every login too, and starts it again whatever it exits with. It asks
//! nobody whether a gateway is wanted, and no exit code stops it. `KeepAlive` can be made to depend on a
//! successful exit, or on a file: the one leaves a gateway down that ended in order (exit 0 is no intent to
//! stop), the other is a second record of what is wanted that may go astray, and "inherently race-prone and
//! lossy" by launchd's own manual. So the job's process itself, before it becomes the gateway, reads the
//! intent and the deaths, and where the gateway must not run it has its job removed. Loaded then means: to
//! be kept running. The next login loads the file again, and the launcher judges again.

use std::io;
use std::time::{Duration, Instant};

use hermes_core::driver::{DriverError, During};
use hermes_core::home::ProfileHome;
use hermes_core::manager::ManagerError;
use hermes_core::status::{Exit, Parked};
use hermes_core::wait::{self, Poll};
use hermes_core::{Intent, restart};
use jiff::Timestamp;

use super::launchctl::{Answer, Job, Launchctl};
use super::record::Record;

/// How long a launcher waits for its own end.
const TIMEOUT: Duration = Duration::from_secs(10);

/// This process, as the job that `--launchd LABEL` says it is.
#[derive(Debug)]
pub struct Launcher<'a> {
    launchctl: &'a Launchctl,
    label: &'a str,
    home: &'a ProfileHome,
}

impl<'a> Launcher<'a> {
    /// The launcher of the job `label`, for the profile at `home`. Nothing is asked yet.
    pub(super) fn new(launchctl: &'a Launchctl, label: &'a str, home: &'a ProfileHome) -> Self {
        Self { launchctl, label, home }
    }

    /// Why the gateway is not to run now, if so. A death that launchd tells of is recorded. Not idempotent:
    /// for the beginning of a process. Blocks while launchd is asked.
    pub fn objection(&self) -> Result<Option<String>, ManagerError> {
        self.judge().during("judge whether the gateway may run")
    }

    fn judge(&self) -> Result<Option<String>, DriverError> {
        if !matches!(Intent::read(self.home), Ok(Intent::Running)) {
            return Ok(Some("its intent is not `running`".to_owned()));
        }
        // A launcher that somebody ran by hand is no job's.
        let Some(job) = self.job()? else { return Ok(None) };
        let path = self.home.launchd_record();
        let now = Timestamp::now();
        let mut record = Record::default();
        // Without an end before it the job is newly loaded: a login, or an operator's start.
        if let Some(exit) = job.last_exit {
            record = Record::read(&path)?;
            record.died(now, exit);
            let reason = record.reason_to_park(now, restart::fault(&self.home.fault()));
            record.parked = reason.map(|reason| Parked { reason, since: Some(now) });
        }
        record.write(&path)?;
        Ok(record.parked.map(|parked| parked.reason))
    }

    /// Records that the gateway can't become right by itself, for this reason, and that this ends it.
    pub fn park(&self, reason: String) -> Result<(), ManagerError> {
        let path = self.home.launchd_record();
        let now = Timestamp::now();
        let park = || -> io::Result<()> {
            let mut record = Record::read(&path)?;
            record.died(now, Exit::Code(restart::EXIT_CONFIG));
            record.parked = Some(Parked { reason, since: Some(now) });
            record.write(&path)
        };
        park().during("park the gateway")
    }

    /// Has launchd remove this process's own job, which ends this process: does not return where that goes
    /// well. Blocks for ten seconds at most. A process that is no job's returns at once.
    pub fn leave(&self) -> Result<(), ManagerError> {
        self.have_job_removed().during("have launchd remove this job")
    }

    fn have_job_removed(&self) -> Result<(), DriverError> {
        let Some(job) = self.job()? else { return Ok(()) };
        if let Answer::Refused(said) = self.launchctl.bootout(job.domain, self.label)? {
            return Err(DriverError::new(said));
        }
        // Nothing to look at: whoever looks has not ended.
        let gone =
            wait::until(Instant::now() + TIMEOUT, || Ok::<Poll<()>, DriverError>(Poll::Wait))?;
        gone.ok_or_else(|| {
            let saw = "launchd has not ended this process".to_owned();
            DriverError::timed_out(TIMEOUT, saw)
                .with_hint("launchd starts it again, and it tries again")
        })
    }

    /// The job whose process this is.
    fn job(&self) -> Result<Option<Job>, DriverError> {
        let me = std::process::id();
        Ok(self.launchctl.jobs(self.label)?.into_iter().find(|job| job.pid == Some(me)))
    }
}
