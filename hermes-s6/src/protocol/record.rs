//! Parses the binary files of s6-supervise: the status record and the death tally.
//!
//! Sources: `src/libs6/s6_svstatus_unpack.c` and `s6_dtally_unpack.c`. Both are big-endian
//! and have no version byte, so the length decides: 35 bytes, or 43 in s6 2.13, which adds a process group
//! between pid and wait status. s6-supervise replaces the files by rename, so a wrong length is corruption,
//! not a race. Hermes does not parse the output of `s6-svstat`, because its wording changes.

use std::io;

use hermes_core::status::Exit;
use hermes_core::tai64n;
use jiff::Timestamp;

/// The two sizes of the status record.
const SIZES: [usize; 2] = [35, 43];
const STAMP: usize = 12;
const DEATH: usize = STAMP + 2;

/// The status of a service as s6-supervise last recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When the service last started or ended.
    pub stamp: Timestamp,
    /// When the service last became ready, or went down for good.
    pub ready_stamp: Timestamp,
    /// The process of `run`, or of `finish` while [`finishing`](Self::finishing).
    pub pid: Option<u32>,
    /// The wait status of the last `run` that ended.
    pub wait_status: u16,
    /// Whether the running service was sent SIGSTOP. s6 2.15 sets the flag also before the first start (`s6-svstat.c`), which
    /// does not count.
    pub paused: bool,
    /// Whether `finish` runs.
    pub finishing: bool,
    /// Whether the service is wanted up.
    pub want_up: bool,
    /// Whether the service has reported readiness; also set whenever the service is down.
    pub ready: bool,
}

impl Record {
    /// Reads a record from the bytes of `supervise/status`.
    pub fn parse(bytes: &[u8]) -> io::Result<Self> {
        if !SIZES.contains(&bytes.len()) {
            return Err(corrupt(&format!(
                "{} bytes instead of {} or {}",
                bytes.len(),
                SIZES[0],
                SIZES[1]
            )));
        }
        let flags = bytes[bytes.len() - 1];
        let wait_status = &bytes[bytes.len() - 3..bytes.len() - 1];
        let pid = u32::try_from(u64_at(bytes, 2 * STAMP)).map_err(|_| corrupt("invalid pid"))?;
        Ok(Self {
            stamp: timestamp(&bytes[..STAMP])?,
            ready_stamp: timestamp(&bytes[STAMP..2 * STAMP])?,
            pid: (pid != 0).then_some(pid),
            wait_status: u16::from_be_bytes([wait_status[0], wait_status[1]]),
            paused: flags & 1 != 0 && pid != 0,
            finishing: flags & 2 != 0,
            want_up: flags & 4 != 0,
            ready: flags & 8 != 0,
        })
    }

    /// The gateway's process; `None` unless `run` runs.
    pub fn gateway(&self) -> Option<u32> {
        self.pid.filter(|_| !self.finishing)
    }

    /// Whether neither `run` nor `finish` runs.
    pub fn is_down(&self) -> bool {
        self.pid.is_none() && !self.finishing
    }

    /// Whether the service is down, and its supervisor is not to start it.
    pub fn stays_down(&self) -> bool {
        self.is_down() && !self.want_up
    }
}

/// One death of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// When the service died.
    pub at: Timestamp,
    /// Its exit code or signal.
    pub exit: Exit,
}

/// Parses `supervise/death_tally`: the last deaths, oldest first.
pub fn parse_deaths(bytes: &[u8]) -> io::Result<Vec<Death>> {
    if !bytes.len().is_multiple_of(DEATH) {
        return Err(corrupt("the length is not a multiple of a death's"));
    }
    bytes
        .chunks_exact(DEATH)
        .map(|death| {
            let (code, signal) = (death[STAMP], death[STAMP + 1]);
            let exit = match signal {
                0 => Exit::Code(code.into()),
                signal => Exit::Signal(signal.into()),
            };
            Ok(Death { at: timestamp(&death[..STAMP])?, exit })
        })
        .collect()
}

/// Parses a TAI64N stamp as skalibs writes it.
fn timestamp(stamp: &[u8]) -> io::Result<Timestamp> {
    let nanoseconds = u32::from_be_bytes([stamp[8], stamp[9], stamp[10], stamp[11]]);
    let time = tai64n::time(u64_at(stamp, 0), nanoseconds);
    time.ok_or_else(|| corrupt("timestamp out of range"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(word)
}

fn corrupt(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("corrupt record: {reason}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A status record of `size` bytes.
    fn bytes(size: usize, unix: i64, pid: u64, wait_status: u16, flags: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..2 {
            bytes.extend(((1_u64 << 62) + 37 + unix.cast_unsigned()).to_be_bytes());
            bytes.extend(5_000_000_u32.to_be_bytes());
        }
        bytes.extend(pid.to_be_bytes());
        if size == 43 {
            bytes.extend(99_u64.to_be_bytes());
        }
        bytes.extend(wait_status.to_be_bytes());
        bytes.push(flags);
        assert_eq!(bytes.len(), size);
        bytes
    }

    #[test]
    fn what_was_not_started_yet_is_not_paused() {
        let paused = |pid| Record::parse(&bytes(35, 0, pid, 0, 0b1001)).unwrap().paused;
        assert_eq!([paused(0), paused(4711)], [false, true]);
    }

    #[test]
    fn both_sizes_say_the_same() {
        for size in SIZES {
            let record = Record::parse(&bytes(size, 1_700_000_000, 4711, 0x0300, 0b1100)).unwrap();
            assert_eq!(record.stamp, Timestamp::new(1_700_000_000, 5_000_000).unwrap());
            assert_eq!(record.pid, Some(4711));
            assert_eq!(record.wait_status, 0x0300);
            assert!(record.want_up && record.ready && !record.finishing && !record.paused);
        }
    }

    #[test]
    fn the_pid_of_finish_is_not_the_gateways() {
        let record = Record::parse(&bytes(35, 1, 4711, 0, 0b0110)).unwrap();
        assert_eq!(record.gateway(), None);
        assert!(!record.is_down());
    }

    #[test]
    fn other_sizes_are_corrupt() {
        for size in [0, 1, 34, 36, 42, 44] {
            let error = Record::parse(&vec![0; size]).unwrap_err();
            assert!(error.to_string().contains(&format!("{size} bytes")), "{error}");
        }
    }

    #[test]
    fn exit_codes_and_signals_are_distinguished() {
        let stamp = &bytes(35, 7, 0, 0, 0)[..STAMP];
        let tally = [stamp, &[78, 0], stamp, &[137, 9]].concat();
        let deaths = parse_deaths(&tally).unwrap();
        assert_eq!(deaths[0].exit, Exit::Code(78));
        assert_eq!(deaths[1].exit, Exit::Signal(9));
        assert_eq!(deaths[1].at.as_second(), 7);
        assert!(parse_deaths(&tally[1..]).is_err());
        assert_eq!(parse_deaths(&[]).unwrap(), []);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            let _ = Record::parse(&bytes);
            let _ = parse_deaths(&bytes);
        }

        #[test]
        fn no_record_of_either_size_panics(bytes in prop::collection::vec(any::<u8>(), 43)) {
            let _ = Record::parse(&bytes);
            let _ = Record::parse(&bytes[..35]);
        }
    }
}
