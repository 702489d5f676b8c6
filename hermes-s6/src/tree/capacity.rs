//! Computes how many services a scan directory can hold.
//!
//! Sources: `s6-svscan.html` of 2.11, 2.12 and 2.15. Beyond its limit, s6 2.11 silently skips services and
//! later versions stop scanning, so Hermes checks the limit before it publishes a slot. The limit is on
//! s6-svscan's command line (`-c`: services, each with or without a logger; `-C`: supervisors, so a logged
//! service counts twice). The default is 500 services before s6 2.12, and 1,000 supervisors since. s6-svscan
//! also keeps two descriptors open per logged service.

use std::fmt;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::protocol::scandir::ScanDir;
use hermes_core::proc::Proc;

/// s6-svscan's default limit on services, before s6 2.12.
const DEFAULT_SERVICES: u64 = 500;
/// s6-svscan's default limit on supervisors, since s6 2.12.
const DEFAULT_SUPERVISORS: u64 = 1000;
/// Descriptors of s6-svscan itself: standard streams, lock, FIFO, signals, directory, and a reserve.
const OWN_DESCRIPTORS: u64 = 16;

/// The limits of a scan directory, and its use of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// The limit on services; `None` if there is none.
    pub max_services: Option<u64>,
    /// The limit on services and loggers together; `None` if there is none.
    pub max_supervisors: Option<u64>,
    /// The number of loggers for which s6-svscan has descriptors; `None` if unknown.
    pub max_loggers: Option<u64>,
    /// The number of services.
    pub services: u64,
    /// The number of services with a logger.
    pub loggers: u64,
}

impl Capacity {
    /// Counts the services in `scandir` and reads the limits of the s6-svscan `pid`. Without a pid, or if its
    /// command line can't be read, both default limits apply.
    pub fn of(scandir: &ScanDir, proc: &Proc, pid: Option<u32>) -> io::Result<Self> {
        Self::limits_of(proc, pid).counting(scandir)
    }

    /// The same, but `None` if one more logged service fits. Far from the limit this only counts directory
    /// entries; otherwise registering many services would take quadratic time.
    pub fn exhausted(scandir: &ScanDir, proc: &Proc, pid: Option<u32>) -> io::Result<Option<Self>> {
        let limits = Self::limits_of(proc, pid);
        let entries = scandir.visible_entries()?;
        if (Self { services: entries, loggers: entries, ..limits }).room() > 0 {
            return Ok(None);
        }
        Ok(Some(limits.counting(scandir)?).filter(|capacity| capacity.room() == 0))
    }

    fn limits_of(proc: &Proc, pid: Option<u32>) -> Self {
        let arguments = pid.and_then(|pid| proc.arguments(pid).ok()).unwrap_or_default();
        let descriptors = pid.and_then(|pid| proc.descriptor_limit(pid).ok());
        Self::limits(&arguments, descriptors)
    }

    fn counting(self, scandir: &ScanDir) -> io::Result<Self> {
        let services = scandir.services()?;
        let loggers = services.iter().filter(|path| path.join("log").is_dir()).count();
        Ok(Self { services: services.len() as u64, loggers: loggers as u64, ..self })
    }

    fn limits(arguments: &[String], descriptors: Option<u64>) -> Self {
        let services = option(arguments, 'c', None);
        let supervisors = option(arguments, 'C', Some("--services-max"));
        let named = services.is_some() || supervisors.is_some();
        Self {
            max_services: services.or((!named).then_some(DEFAULT_SERVICES)),
            max_supervisors: supervisors.or((!named).then_some(DEFAULT_SUPERVISORS)),
            max_loggers: descriptors.map(|all| all.saturating_sub(OWN_DESCRIPTORS) / 2),
            services: 0,
            loggers: 0,
        }
    }

    /// The number of further logged services that fit.
    pub fn room(&self) -> u64 {
        let free = |max: Option<u64>, used| max.unwrap_or(u64::MAX).saturating_sub(used);
        free(self.max_services, self.services)
            .min(free(self.max_supervisors, self.services + self.loggers) / 2)
            .min(free(self.max_loggers, self.loggers))
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} services and {} loggers", self.services, self.loggers)?;
        if let Some(max) = self.max_services {
            write!(f, ", of at most {max} services")?;
        }
        if let Some(max) = self.max_supervisors {
            write!(f, ", of at most {max} together")?;
        }
        if let Some(max) = self.max_loggers {
            write!(f, ", with descriptors for {max} loggers")?;
        }
        Ok(())
    }
}

/// The value of the option `short` or `long` on s6-svscan's command line.
fn option(arguments: &[String], short: char, long: Option<&str>) -> Option<u64> {
    let short = format!("-{short}");
    let is_svscan = |name: &str| Path::new(name).file_name().is_some_and(|n| n == "s6-svscan");
    let mut rest = arguments.iter().skip_while(|argument| !is_svscan(argument)).skip(1);
    let mut number = None;
    while let Some(argument) = rest.next() {
        if argument == "--" || !argument.starts_with('-') {
            break;
        }
        // Every option of s6-svscan takes a value: joined, after `=`, or as the next argument.
        let joined = argument.starts_with("--").then(|| argument.split_once('='));
        let (name, value) = match joined {
            Some(Some((name, value))) => (name, Some(value)),
            Some(None) => (argument.as_str(), None),
            None => {
                (&argument[..2.min(argument.len())], argument.get(2..).filter(|v| !v.is_empty()))
            }
        };
        let value = value.or_else(|| rest.next().map(String::as_str));
        if name == short || Some(name) == long {
            number = value.and_then(|value| value.parse().ok());
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(command_line: &str, descriptors: Option<u64>) -> Capacity {
        let arguments: Vec<_> = command_line.split(' ').map(str::to_owned).collect();
        Capacity::limits(&arguments, descriptors)
    }

    #[test]
    fn limits_come_from_the_command_line_or_are_both_defaults() {
        let cases = [
            ("s6-svscan /run/service", Some(500), Some(1000)),
            ("s6-svscan -d4 -- /run/service", Some(500), Some(1000)),
            ("/usr/bin/s6-svscan -c 20 /x", Some(20), None),
            ("/command/s6-svscan -d 4 -C40 /x", None, Some(40)),
            ("s6-svscan --services-max=60 /x", None, Some(60)),
            ("s6-svscan --services-max 60 /x", None, Some(60)),
            ("s6-svscan -t 5 -c7 -- -c 9", Some(7), None),
            ("s6-svscan -- -c 9", Some(500), Some(1000)),
        ];
        for (line, services, supervisors) in cases {
            let limits = limits(line, None);
            assert_eq!(
                (limits.max_services, limits.max_supervisors),
                (services, supervisors),
                "{line}"
            );
        }
    }

    #[test]
    fn files_do_not_count_as_services() {
        let dir = tempfile::tempdir().unwrap();
        let proc = Proc::default();
        // Without an s6-svscan both defaults apply: 500 logged services.
        let exhausted = || Capacity::exhausted(&ScanDir::new(dir.path()), &proc, None).unwrap();
        for i in 0..499 {
            std::fs::create_dir_all(dir.path().join(format!("s{i}/log"))).unwrap();
        }
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(exhausted(), None);
        std::fs::create_dir_all(dir.path().join("last/log")).unwrap();
        assert_eq!(exhausted().map(|full| (full.services, full.loggers)), Some((500, 500)));
    }

    #[test]
    fn the_smallest_limit_is_the_room() {
        let used =
            |limits: Capacity, services, loggers| Capacity { services, loggers, ..limits }.room();
        assert_eq!(used(limits("s6-svscan /x", None), 0, 0), 500);
        assert_eq!(used(limits("s6-svscan /x", None), 500, 499), 0);
        assert_eq!(used(limits("s6-svscan /x", Some(1024)), 0, 0), 500);
        assert_eq!(used(limits("s6-svscan -c 5000 /x", Some(1024)), 3, 3), 501);
        assert_eq!(used(limits("s6-svscan -C 10 /x", Some(1024)), 4, 4), 1);
        assert_eq!(used(limits("s6-svscan -C 10 /x", Some(1024)), 5, 4), 0);
        assert_eq!(used(limits("s6-svscan -c 2 /x", Some(10)), 0, 0), 0);
    }
}
