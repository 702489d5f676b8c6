//! What the launcher of a Pod records in the profile's home, for commands outside of the Pod: Kubernetes knows the Pod, and not
//! the gateway in it.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::fsutil;
use crate::status::Backoff;

/// The state of the gateway in a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRecord {
    /// The unique ID of the Pod. The record of another Pod says nothing about this one.
    pub pod: String,
    /// The gateway's process, in the Pod's own numbers; `None` while it is down.
    pub pid: Option<u32>,
    /// When the gateway was last started or ended.
    pub since: Timestamp,
    /// Whether it is ready; `None` if it never says so.
    pub ready: Option<bool>,
    /// When it starts again, after a death.
    pub backoff: Option<Backoff>,
    /// Its deaths in this Pod, and why it is parked.
    #[serde(flatten)]
    pub record: Record,
}

impl PodRecord {
    /// The record of a new Pod, in which no gateway has run.
    pub fn new(pod: String) -> Self {
        let (pid, ready, backoff) = (None, None, None);
        Self { pod, pid, since: Timestamp::now(), ready, backoff, record: Record::default() }
    }

    /// Reads the record at `path`; `None` if there is none of the Pod `pod`, or none that can be read.
    pub fn read(path: &Path, pod: &str) -> io::Result<Option<Self>> {
        let bytes = fsutil::read_if_there(path)?;
        let record: Option<Self> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(record.filter(|record| record.pod == pod))
    }

    /// Writes the record durably.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        fsutil::write_durably(path, &text, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::status::{Exit, Parked};

    #[test]
    fn a_record_is_read_back_for_its_own_pod_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        assert_eq!(PodRecord::read(&path, "one").unwrap(), None);
        let mut record = PodRecord::new("one".to_owned());
        record.pid = Some(7);
        record.record.add_death(Timestamp::now(), &Moment::now(), Exit::Code(1));
        record.record.parked = Some(Parked { reason: "why".to_owned(), since: None });
        record.write(&path).unwrap();
        assert_eq!(PodRecord::read(&path, "one").unwrap(), Some(record));
        assert_eq!(PodRecord::read(&path, "other").unwrap(), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(PodRecord::read(&path, "one").unwrap(), None);
    }
}
