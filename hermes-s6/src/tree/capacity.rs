//! How many services a scan directory can hold.
//!
//! Sources: `s6-svscan.html` of 2.11, 2.12 and 2.15. Past its limit s6 2.11 skips a service in
//! silence and later versions stop scanning altogether, so the room is counted before a slot is
//! published. s6-svscan's own limit is on its command line (`-c`: services, each with or without a
//! logger; `-C`: supervisors, so a logged service counts twice); without either it is 500 services
//! before 2.12 and 1,000 supervisors from it. It also keeps two descriptors for each logged service.

use std::fmt;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::protocol::scandir::ScanDir;
use hermes_core::proc::Proc;

/// s6-svscan's limit on services where its command line names none, before s6 2.12.
const DEFAULT_SERVICES: u64 = 500;
/// s6-svscan's limit on supervisors where its command line names none, from s6 2.12.
const DEFAULT_SUPERVISORS: u64 = 1000;
/// Descriptors of s6-svscan itself: standard ones, lock, FIFO, signals, directory, and some air.
const OWN_DESCRIPTORS: u64 = 16;

/// What limits a scan directory, and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// How many services there may be.
    pub max_services: Option<u64>,
    /// How many services and loggers there may be together.
    pub max_supervisors: Option<u64>,
    /// For how many loggers s6-svscan has descriptors.
    pub max_loggers: Option<u64>,
    /// How many services there are.
    pub services: u64,
    /// How many of them have a logger.
    pub loggers: u64,
}

impl Capacity {
    /// Counts what is in `scandir` and asks the s6-svscan `pid` for its limits. Without a pid, or
    /// where that can't be read, the defaults of both generations apply.
    pub fn of(scandir: &ScanDir, proc: &Proc, pid: Option<u32>) -> io::Result<Self> {
        Self::limits_of(proc, pid).counting(scandir)
    }

    /// The same, but only if not one more logged service fits. Far from the limit no service is looked
    /// at: of many that are registered one after the other, each would else look at all before it.
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

    /// How many more logged services fit.
    pub fn room(&self) -> u64 {
        let left = |max: Option<u64>, used| max.unwrap_or(u64::MAX).saturating_sub(used);
        left(self.max_services, self.services)
            .min(left(self.max_supervisors, self.services + self.loggers) / 2)
            .min(left(self.max_loggers, self.loggers))
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

/// The number given to the option `short` or `long`, before the operand.
fn option(arguments: &[String], short: char, long: Option<&str>) -> Option<u64> {
    let short = format!("-{short}");
    let is_svscan = |name: &str| Path::new(name).file_name().is_some_and(|n| n == "s6-svscan");
    let mut rest = arguments.iter().skip_while(|argument| !is_svscan(argument)).skip(1);
    let mut found = None;
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
            found = value.and_then(|value| value.parse().ok());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(command_line: &str, descriptors: Option<u64>) -> Capacity {
        let arguments: Vec<_> = command_line.split(' ').map(str::to_owned).collect();
        Capacity::limits(&arguments, descriptors)
    }

    #[test]
    fn the_command_line_decides_else_both_defaults() {
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
    fn what_is_no_service_takes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let proc = Proc::default();
        // Nobody's limits are the defaults: 500 logged services.
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
    fn the_smallest_of_all_limits_is_the_room() {
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
