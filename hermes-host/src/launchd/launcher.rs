//! The launcher: decides in the job's process whether it may become the gateway, as a property list can't.
//!
//! launchd starts every loaded job, also at login, and restarts it after any exit code. `KeepAlive` can depend
//! on a successful exit or on a file. The first would leave a gateway down after exit code 0, which is no
//! intent to stop. The second would be another record of the intent, and is "inherently race-prone and lossy"
//! by launchd's own manual. So the job's process reads the intent and the deaths before it becomes the
//! gateway, and unloads its own job if the gateway must not run. The next login loads the job again, and the
//! launcher decides again.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hermes_core::clock::Moment;
use hermes_core::driver::{DriverError, During};
use hermes_core::error_chain::in_one_line;
use hermes_core::events::{Recorder, What};
use hermes_core::home::ProfileHome;
use hermes_core::manager::ManagerError;
use hermes_core::restart::Record;
use hermes_core::status::{Exit, Parked};
use hermes_core::wait::{self, Poll};
use hermes_core::{Intent, restart};
use jiff::Timestamp;

use super::launchctl::{Answer, Job, Launchctl};
use super::log;

/// How long a launcher waits for launchd to end it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// This process, as the job named by `--launchd LABEL`.
#[derive(Debug)]
pub struct Launcher<'a> {
    launchctl: &'a Launchctl,
    label: &'a str,
    home: &'a ProfileHome,
    /// The directory of the gateway's log.
    log: PathBuf,
    events: Recorder,
}

impl<'a> Launcher<'a> {
    /// The launcher of the job `label`, for the profile at `home`. Runs nothing yet.
    pub(super) fn new(
        launchctl: &'a Launchctl,
        label: &'a str,
        home: &'a ProfileHome,
        log: PathBuf,
        events: Recorder,
    ) -> Self {
        Self { launchctl, label, home, log, events }
    }

    /// Why the gateway must not run now; `None` if it may. Ends the last line of the job's log, and records the death
    /// that launchd reports, so a process must call it once, when it starts, before it prints anything. Blocks while launchctl runs.
    pub fn objection(&self) -> Result<Option<String>, ManagerError> {
        self.reason_not_to_run().during("check whether the gateway may run")
    }

    fn reason_not_to_run(&self) -> Result<Option<String>, DriverError> {
        // A user may run the launcher by hand, outside any job.
        let job = self.own_job();
        if let Ok(Some(_)) = job
            && let Err(error) = log::end_last_line(&self.log)
        {
            ::log::warn!("the log's last line has no newline: {}", in_one_line(&error));
        }
        if !matches!(Intent::read(self.home), Ok(Intent::Running)) {
            return Ok(Some("its intent is not `running`".to_owned()));
        }
        let Some(job) = job? else { return Ok(None) };
        let path = self.home.launchd_record();
        let (now, moment) = (Timestamp::now(), Moment::now());
        let mut record = Record::default();
        // Without an earlier exit the job was just loaded, by a login or by `start`.
        if let Some(exit) = job.last_exit {
            record = Record::read(&path)?;
            record.add_death(now, &moment, exit);
            let reason = record.reason_to_park(&moment, restart::fault(&self.home.fault()));
            record.parked = reason.map(|reason| Parked { reason, since: Some(now) });
            self.events.record_death(exit);
            if let Some(parked) = &record.parked {
                self.events.record(What::Parked, parked.reason.as_str());
            }
        }
        record.write(&path)?;
        Ok(record.parked.map(|parked| parked.reason))
    }

    /// Records a death whose reason a restart can't fix, and parks the gateway.
    pub fn park(&self, reason: String) -> Result<(), ManagerError> {
        let path = self.home.launchd_record();
        let (now, exit) = (Timestamp::now(), Exit::Code(restart::EXIT_CONFIG));
        self.events.record_death(exit);
        self.events.record(What::Parked, reason.as_str());
        let park = || -> io::Result<()> {
            let mut record = Record::read(&path)?;
            record.add_death(now, &Moment::now(), exit);
            record.parked = Some(Parked { reason, since: Some(now) });
            record.write(&path)
        };
        park().during("park the gateway")
    }

    /// Makes launchd unload this process's own job, which ends this process. Returns at once if this process
    /// is not the job's, and otherwise only an error, after at most ten seconds.
    pub fn leave(&self) -> Result<(), ManagerError> {
        self.unload().during("unload the launchd job")
    }

    fn unload(&self) -> Result<(), DriverError> {
        let Some(job) = self.own_job()? else { return Ok(()) };
        if let Answer::Refused(reason) = self.launchctl.bootout(job.domain, self.label)? {
            return Err(DriverError::new(reason));
        }
        // Success ends this process, so there is nothing to poll.
        let ended =
            wait::until(Instant::now() + TIMEOUT, || Ok::<Poll<()>, DriverError>(Poll::Wait))?;
        ended.ok_or_else(|| {
            DriverError::timed_out(TIMEOUT, "launchd has not ended this process")
                .with_hint("launchd restarts it, and it tries again")
        })
    }

    /// The job whose process this is.
    fn own_job(&self) -> Result<Option<Job>, DriverError> {
        let me = std::process::id();
        Ok(self.launchctl.jobs(self.label)?.into_iter().find(|job| job.pid == Some(me)))
    }
}
