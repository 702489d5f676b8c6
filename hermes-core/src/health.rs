//! What was last found about the health of a running gateway, for every command to read.
//!
//! The probe of a gateway's readiness and the tree's liveness checks write it to a file in the profile's home. It
//! names the process, so that it means nothing for the next one.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fsutil;
use crate::home::ProfileHome;
use crate::listeners::{self, Descriptor, Listeners, Owner};
use crate::probe::Failure;
use crate::proc::Proc;
use crate::status::Reason;

/// The content of the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: u32,
    /// When the process started, in clock ticks since boot, where that is known.
    started: Option<u64>,
    reason: Reason,
}

/// Records in the file at `path` ([`ProfileHome::health`]) why the gateway process `pid` is not healthy. Atomic.
pub fn record(path: &Path, pid: u32, reason: Reason) -> io::Result<()> {
    let bytes = serde_json::to_vec(&Record { pid, started: started(pid), reason })?;
    fsutil::write_durably(path, &bytes, 0o644)
}

/// Removes the record. Idempotent.
pub fn clear(path: &Path) -> io::Result<()> {
    fsutil::remove_file_if_there(path).map(drop)
}

/// Why the gateway process `pid` of the profile at `home` is not healthy, if that was recorded. A record that can't
/// be read counts as none.
pub fn reason(home: &ProfileHome, pid: u32) -> Option<Reason> {
    let bytes = fsutil::read_if_there(&home.health()).ok()??;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    (record.pid == pid && record.started == started(pid)).then_some(record.reason)
}

/// Checks that the socket that answers at `address` is that of the gateway process `pid`, which descends from it or
/// is in its session. Returns its descriptor; `None` where the owner can't be seen.
pub fn require_own(address: SocketAddr, pid: u32) -> Result<Option<Descriptor>, Failure> {
    let proc = Proc::default();
    match listeners::owner(&proc, address, pid) {
        Owner::Gateway(descriptor) => Ok(Some(descriptor)),
        Owner::Unseen => Ok(None),
        Owner::Other(other) => Err(Failure::NotOwn(proc.title(other))),
    }
}

/// As [`require_own`], by `listeners`, which were read for the answers of many gateways. One that does not have the
/// gateway's socket may be older than that.
pub fn require_own_among(
    listeners: &Listeners,
    address: SocketAddr,
    pid: u32,
) -> Result<(), Failure> {
    let is_old = listeners.on_port(address.port()).is_empty();
    match listeners::owner_among(&Proc::default(), listeners, address, pid) {
        Owner::Gateway(_) => Ok(()),
        Owner::Unseen if !is_old => Ok(()),
        Owner::Unseen | Owner::Other(_) => require_own(address, pid).map(drop),
    }
}

fn started(pid: u32) -> Option<u64> {
    Proc::default().start_time(pid).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::ReasonKind;
    use crate::{ProfileName, RootHome};

    #[test]
    fn a_record_concerns_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let home = RootHome::new(dir.path()).profile(&ProfileName::default_profile());
        let me = std::process::id();
        assert_eq!(reason(&home, me), None);
        let timeout = Reason { kind: ReasonKind::Unresponsive, text: "no answer".to_owned() };
        record(&home.health(), me, timeout.clone()).unwrap();
        assert_eq!(reason(&home, me), Some(timeout));
        assert_eq!(reason(&home, 1), None);
        let text = std::fs::read_to_string(home.health()).unwrap();
        std::fs::write(home.health(), text.replace("\"started\":", "\"started\":1")).unwrap();
        assert_eq!(reason(&home, me), None, "another process with that number");
        std::fs::write(home.health(), "{").unwrap();
        assert_eq!(reason(&home, me), None);
        clear(&home.health()).unwrap();
        clear(&home.health()).unwrap();
    }
}
