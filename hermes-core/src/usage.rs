//! What gateways use: the memory and the processor time of each, with its descendants.
//!
//! Source: proc(5). `smaps_rollup` has the proportional set size (PSS): a page that several processes share counts
//! once in their sum. Only the processes' own user and root may read it; the resident set size (RSS) in `stat`, which
//! counts such a page for each process, is readable for everybody.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use serde::{Serialize, Serializer};

use crate::parallel;
use crate::proc::Proc;

/// What a process and its descendants use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// How many processes they are.
    pub processes: usize,
    /// Their memory, in bytes.
    pub memory_bytes: u64,
    /// How the memory was measured.
    pub memory_kind: MemoryKind,
    /// Their processor time so far, with that of their children that have ended.
    #[serde(rename = "cpu_seconds", serialize_with = "in_seconds")]
    pub cpu: Duration,
}

/// How memory was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryKind {
    /// The proportional set size of every process.
    Pss,
    /// The resident set size, as this user may not read the PSS of all of them.
    Rss,
}

impl MemoryKind {
    /// Its name, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pss => "pss",
            Self::Rss => "rss",
        }
    }
}

fn in_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// What each of the processes `pids` uses, with its descendants; `None` for one that has ended. Reads a few files of
/// each process. Does not wait.
pub fn of(proc: &Proc, pids: Vec<u32>) -> Vec<Option<Usage>> {
    parallel::compute(pids, |pid| of_one(proc, pid))
}

fn of_one(proc: &Proc, pid: u32) -> Option<Usage> {
    let descendants = proc.descendants(vec![pid], |_| false);
    // A descendant may have ended meanwhile.
    let measure = |pid| proc.counters(pid).ok().map(|counters| (pid, counters));
    let mut all = vec![measure(pid)?];
    all.extend(descendants.into_keys().filter_map(measure));
    let pss = all.iter().map(|(pid, _)| proc.pss(*pid)).sum::<io::Result<u64>>();
    let rss = || all.iter().map(|(_, counters)| counters.rss).sum();
    let (memory_bytes, memory_kind) = match pss {
        Ok(bytes) => (bytes, MemoryKind::Pss),
        Err(_) => (rss(), MemoryKind::Rss),
    };
    let cpu = all.iter().map(|(_, counters)| counters.cpu).sum();
    Some(Usage { processes: all.len(), memory_bytes, memory_kind, cpu })
}

struct Counters {
    rss: u64,
    cpu: Duration,
}

impl Proc {
    fn counters(&self, pid: u32) -> io::Result<Counters> {
        let [own @ .., pages]: [i64; 5] = self.stat(pid, [11, 12, 13, 14, 21])?;
        let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
        let ticks: u64 = own.map(unsigned).iter().sum();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let rss = unsigned(pages) * u64::try_from(rustix::param::page_size()).unwrap_or_default();
        let cpu = Duration::from_millis(ticks * 1000 / per_second);
        Ok(Counters { rss, cpu })
    }

    /// The proportional set size of `pid`, in bytes; 0 if it has ended.
    fn pss(&self, pid: u32) -> io::Result<u64> {
        match self.read_in_one_call(pid, "smaps_rollup") {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
                let kib =
                    pss.and_then(|pss| pss.trim().trim_end_matches(" kB").parse::<u64>().ok());
                Ok(kib.unwrap_or_default() * 1024)
            }
            // A zombie has no memory.
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(0),
            Err(_) if self.is_zombie(pid) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;
    use crate::wait::{self, Poll};

    #[test]
    fn a_process_is_measured_with_its_descendants() {
        let (proc, me) = (Proc::default(), std::process::id());
        let alone = of(&proc, vec![me]).remove(0).unwrap();
        assert_eq!(alone.memory_kind, MemoryKind::Pss);
        assert!(alone.memory_bytes > 1 << 20, "{alone:?}");
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        // The kernel's list of children may lack one while another one ends (proc_pid_task(5)), as those of other tests.
        let with_child = wait::until(Instant::now() + Duration::from_secs(60), || {
            let with_child = of(&proc, vec![me, u32::MAX]);
            assert_eq!(with_child[1], None, "a process that does not exist");
            let is_seen = with_child[0].is_some_and(|usage| usage.processes > 1);
            Ok::<_, Infallible>(if is_seen { Poll::Done(()) } else { Poll::Wait })
        });
        assert_eq!(with_child, Ok(Some(())));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn counters_are_read_from_stat() {
        let dir = tempfile::tempdir().unwrap();
        let of = |pid: u32, text: &str| {
            std::fs::create_dir(dir.path().join(pid.to_string())).unwrap();
            std::fs::write(dir.path().join(format!("{pid}/stat")), text).unwrap();
        };
        of(
            7,
            "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 1 0 99 8192 3 18446744073709551615",
        );
        std::fs::write(
            dir.path().join("7/smaps_rollup"),
            "0-1 [rollup]\nRss: 9 kB\nPss:    5 kB\n",
        )
        .unwrap();
        let proc = Proc::at(dir.path());
        let Counters { rss, cpu } = proc.counters(7).unwrap();
        assert_eq!(rss, 3 * u64::try_from(rustix::param::page_size()).unwrap());
        let per_second = rustix::param::clock_ticks_per_second();
        assert_eq!(cpu, Duration::from_millis(300_000 / per_second));
        assert_eq!(proc.pss(7).unwrap(), 5 * 1024);
        std::fs::remove_file(dir.path().join("7/smaps_rollup")).unwrap();
        let usage = of_one(&proc, 7).unwrap();
        assert_eq!((usage.memory_bytes, usage.memory_kind), (rss, MemoryKind::Rss));
        assert_eq!(
            serde_json::to_value(Usage { cpu: Duration::from_millis(1500), ..usage }).unwrap(),
            serde_json::json!({
                "processes": 1, "memory_bytes": rss, "memory_kind": "rss", "cpu_seconds": 1.5,
            })
        );
    }
}
