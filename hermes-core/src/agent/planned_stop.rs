//! Stops a gateway of the agent's in the agent's own way: a mark in its home says that its end is planned, and SIGTERM
//! follows. Without the mark the gateway records that it is to run.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::json;

use super::Locks;
use crate::fsutil;
use crate::home::ProfileHome;
use crate::proc::Proc;
use crate::process::{Process, wait_until};
use crate::wait::Poll;

/// A gateway with such a mark. Dropping it removes a mark that the gateway has not taken.
#[derive(Debug)]
pub struct PlannedStop {
    mark: PathBuf,
    process: Process,
}

impl PlannedStop {
    /// Marks the stop of the gateway at `home`, if its process still is `pid`; `None` if it is not.
    pub fn begin(home: &ProfileHome, pid: u32) -> io::Result<Option<Self>> {
        let proc = Proc::default();
        let Some(process) = Process::open(pid)? else { return Ok(None) };
        // Now that the process is open, its number can't be reused.
        if Locks::default().holder(home) != Some(pid) {
            return Ok(None);
        }
        let mark = json!({
            "target_pid": proc.own_pid(pid)?,
            "target_start_time": proc.start_time(pid)?,
            "stopper_pid": std::process::id(),
            // Python before 3.11 does not parse a `Z`.
            "written_at": Timestamp::now().to_string().replace('Z', "+00:00"),
        });
        let stop = Self { mark: home.planned_stop(), process };
        fsutil::write_durably(&stop.mark, mark.to_string().as_bytes(), 0o600)?;
        Ok(Some(stop))
    }

    /// Sends it SIGTERM, and blocks until it has ended, at most `timeout`. Whether it has.
    pub fn finish(self, timeout: Duration) -> io::Result<bool> {
        self.process.signal(Signal::TERM)?;
        let ended =
            wait_until(std::slice::from_ref(&self.process), Instant::now() + timeout, || {
                let ended = self.process.has_ended();
                Ok::<_, io::Error>(if ended { Poll::Done(()) } else { Poll::Wait })
            })?;
        Ok(ended.is_some())
    }
}

impl Drop for PlannedStop {
    fn drop(&mut self) {
        let _ = fsutil::remove_file_if_there(&self.mark);
    }
}
