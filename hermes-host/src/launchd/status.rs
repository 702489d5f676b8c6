//! The status of a gateway, from launchd's jobs, the gateway's lock and the record.

use hermes_core::clock::Moment;
use hermes_core::driver::DriverError;
use hermes_core::process_lock::other_holder;
use hermes_core::restart::Record;
use hermes_core::status::{State, Status};
use hermes_core::{Gateway, Intent};

use super::launchctl::Job;
use super::lifecycle::{is_ready, started_at};
use super::{Launchd, plist};

impl Launchd {
    pub(super) fn status_of(&self, gateway: &Gateway) -> Result<Status, DriverError> {
        let jobs = self.launchctl.jobs(&self.label(gateway.name()))?;
        let record = Record::read(&gateway.home().launchd_record())?;
        let holder = other_holder(&gateway.home().gateway_lock(), None)?;
        let intent = Intent::read(gateway.home()).ok();
        let registered = plist::pinned(&self.agent_path(gateway.name()))?;
        let registered = self.is_ours(&registered);
        let notifies = gateway.notifies_readiness();
        let ready = holder.filter(|_| notifies).map(|pid| is_ready(gateway.home(), pid));
        let parked = record.parked.clone().filter(|_| jobs.is_empty() && registered);
        let (state, pid) = match state(&jobs, holder, ready) {
            None if parked.is_some() => (State::Parked, None),
            None if registered => (State::Down, None),
            None => (State::Unsupervised, None),
            // launchd is unloading its job.
            Some((State::Up | State::Starting, pid)) if intent == Some(Intent::Stopped) => {
                (State::Stopping, pid)
            }
            Some(state) => state,
        };
        let since = match (&parked, holder) {
            (Some(parked), _) => parked.since,
            (None, Some(_)) => started_at(gateway.home()),
            (None, None) => None,
        };
        Ok(Status {
            registered,
            state,
            pid,
            since,
            intent,
            ready: ready.filter(|_| matches!(state, State::Up | State::Starting)),
            deaths: record.in_the_last_hour(&Moment::now()),
            last_exit: jobs.iter().find_map(|job| job.last_exit).or_else(|| record.last_exit()),
            parked,
            ..Status::unsupervised(gateway.name())
        })
    }
}

/// The state, and its process, from launchd's jobs and the holder of the gateway's lock; `None` if there is
/// neither a job nor a gateway.
fn state(jobs: &[Job], holder: Option<u32>, ready: Option<bool>) -> Option<(State, Option<u32>)> {
    let job = jobs.iter().find(|job| job.pid.is_some()).or(jobs.first());
    let ours = |pid: &u32| jobs.iter().any(|job| job.pid == Some(*pid));
    Some(match (holder, job) {
        (Some(pid), _) if !ours(&pid) => (State::Orphan, Some(pid)),
        (Some(pid), _) if ready == Some(false) => (State::Starting, Some(pid)),
        (Some(pid), _) => (State::Up, Some(pid)),
        (None, Some(Job { pid: Some(pid), .. })) => (State::Starting, Some(*pid)),
        (None, Some(Job { last_exit: Some(_), .. })) => (State::Backoff, None),
        (None, Some(_)) => (State::Starting, None),
        (None, None) => return None,
    })
}

#[cfg(test)]
mod tests {
    use hermes_core::status::Exit;

    use super::super::launchctl::Domain;
    use super::*;

    fn job(pid: Option<u32>, last_exit: Option<Exit>) -> Job {
        Job { domain: Domain::Gui(501), pid, last_exit }
    }

    #[test]
    fn state_from_jobs_and_lock() {
        let died = Some(Exit::Code(1));
        let elsewhere = Job { domain: Domain::User(501), ..job(Some(9), None) };
        let cases: [(&[Job], _, _, _); 10] = [
            (&[], None, None, None),
            (&[job(Some(7), None)], Some(7), Some(true), Some((State::Up, Some(7)))),
            (&[job(Some(7), died)], Some(7), None, Some((State::Up, Some(7)))),
            (&[job(Some(7), None)], Some(7), Some(false), Some((State::Starting, Some(7)))),
            (&[job(Some(7), None)], None, None, Some((State::Starting, Some(7)))),
            (&[job(None, None)], None, None, Some((State::Starting, None))),
            (&[job(None, died)], None, None, Some((State::Backoff, None))),
            (&[], Some(8), None, Some((State::Orphan, Some(8)))),
            (&[job(Some(7), None)], Some(8), Some(true), Some((State::Orphan, Some(8)))),
            (&[job(None, died), elsewhere], Some(9), None, Some((State::Up, Some(9)))),
        ];
        for (jobs, holder, ready, expected) in cases {
            assert_eq!(state(jobs, holder, ready), expected, "{jobs:?} {holder:?} {ready:?}");
        }
    }
}
