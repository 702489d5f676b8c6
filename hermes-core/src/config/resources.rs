//! `gateway.resources`: how much a gateway and its descendants may use together.
//!
//! The backend applies each limit that it can; [`Driver::enforces`](crate::Driver::enforces) says which ones.

use std::fmt;

use super::error::ConfigError;
use super::keys::RESOURCES;
use super::read::{Field, Reader};
use super::yaml::{Kind, Node, Scalar};
use crate::size;

/// The limits of a gateway; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// `memory`: the memory of the gateway and its descendants, in bytes.
    pub memory: Option<u64>,
    /// `cpu`: the processor time of the gateway and its descendants, in hundredths of one processor.
    pub cpu: Option<u64>,
    /// `tasks`: the processes and threads of the gateway and its descendants.
    pub tasks: Option<u64>,
    /// `files`: the open descriptors of each of its processes (`RLIMIT_NOFILE`).
    pub files: Option<u64>,
}

/// A resource that `gateway.resources` can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// [`Resources::memory`].
    Memory,
    /// [`Resources::cpu`].
    Cpu,
    /// [`Resources::tasks`].
    Tasks,
    /// [`Resources::files`].
    Files,
}

impl Resource {
    /// Every resource, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Cpu, Self::Tasks, Self::Files];

    /// The limit of it in `resources`.
    pub fn limit(self, resources: &Resources) -> Option<u64> {
        match self {
            Self::Memory => resources.memory,
            Self::Cpu => resources.cpu,
            Self::Tasks => resources.tasks,
            Self::Files => resources.files,
        }
    }

    /// The controller of cgroup v2 that limits it; `None` if none does.
    pub fn controller(self) -> Option<&'static str> {
        match self {
            Self::Memory => Some("memory"),
            Self::Cpu => Some("cpu"),
            Self::Tasks => Some("pids"),
            Self::Files => None,
        }
    }
}

/// Its key.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Tasks => "tasks",
            Self::Files => "files",
        })
    }
}

/// The least memory: with less, no gateway starts.
const LEAST_MEMORY: u64 = 16 << 20;
/// The most memory, which systemd and the kernel accept.
const MOST_MEMORY: u64 = 1 << 50;
/// The most processors, in hundredths.
const MOST_CPU: u64 = 1024 * 100;
/// With fewer, the launcher can't start the gateway.
const LEAST_TASKS: u64 = 8;
/// The kernel's limit on process IDs (`PID_MAX_LIMIT`).
const MOST_TASKS: u64 = 4 << 20;
/// With fewer, the launcher can't start the gateway.
const LEAST_FILES: u64 = 64;
/// The kernel's default limit on the limit (`fs.nr_open`).
const MOST_FILES: u64 = 1 << 20;

impl Reader<'_> {
    /// A mapping of [`RESOURCES`].
    pub(super) fn resources(&self, field: &Field<'_>) -> Result<Resources, ConfigError> {
        let Node::Map(entries) = field.value else {
            return Err(self.invalid(field, "must be a mapping, with lines like `memory: 512M`"));
        };
        let mut resources = Resources::default();
        for (name, field) in self.only_ours(field, entries, &RESOURCES)? {
            match name {
                "memory" => resources.memory = Some(self.memory(&field)?),
                "cpu" => resources.cpu = Some(self.cpu(&field)?),
                "tasks" => {
                    resources.tasks = Some(self.count(&field, "64", LEAST_TASKS, MOST_TASKS)?);
                }
                _ => resources.files = Some(self.count(&field, "1024", LEAST_FILES, MOST_FILES)?),
            }
        }
        Ok(resources)
    }

    fn memory(&self, field: &Field<'_>) -> Result<u64, ConfigError> {
        let bytes = match field.value {
            Node::Scalar(Scalar { kind: Kind::Integer, .. }) => self.number(field, "512M")?,
            _ => size::parse(&self.string(field)?)
                .map_err(|problem| self.invalid(field, &problem))?,
        };
        match (LEAST_MEMORY..=MOST_MEMORY).contains(&bytes) {
            true => Ok(bytes),
            false => Err(self.invalid(field, "must be between 16M and 1024T")),
        }
    }

    /// A number with up to two decimals, which both readers read alike: not `.5`, `1e2`, `1_0` or "1".
    fn cpu(&self, field: &Field<'_>) -> Result<u64, ConfigError> {
        let hundredths = match field.value {
            Node::Scalar(Scalar {
                kind: Kind::Integer | Kind::Float, plain: true, text, ..
            }) => hundredths(text),
            _ => None,
        };
        let Some(hundredths) = hundredths else {
            let problem = "must be a number of processors without quotes, such as 2 or 0.25";
            return Err(self.invalid(field, problem));
        };
        match (1..=MOST_CPU).contains(&hundredths) {
            true => Ok(hundredths),
            false => Err(self.invalid(field, "must be between 0.01 and 1024 processors")),
        }
    }

    fn count(
        &self,
        field: &Field<'_>,
        example: &str,
        least: u64,
        most: u64,
    ) -> Result<u64, ConfigError> {
        let number = self.number(field, example)?;
        match (least..=most).contains(&number) {
            true => Ok(number),
            false => Err(self.invalid(field, &format!("must be between {least} and {most}"))),
        }
    }
}

/// `1.5` as 150; `None` for any other spelling of a number.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let octal = whole.len() > 1 && whole.starts_with('0');
    if octal || !digits(whole) || !digits(decimals) || decimals.len() > 2 {
        return None;
    }
    let decimals = format!("{decimals:0<2}").parse::<u64>().ok()?;
    // Parsing fails only for too many digits, and so large a number is out of the range.
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX);
    Some(whole.saturating_mul(100).saturating_add(decimals))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    fn resources(text: &str) -> Result<Resources, String> {
        let text = format!("gateway:\n  resources: {text}\n");
        let loaded = parse(&text, Path::new("/x")).map_err(|error| error.to_string())?;
        Ok(loaded.gateway.resources)
    }

    #[test]
    fn every_spelling_of_a_limit_is_read() {
        let all = resources("{memory: 512M, cpu: 1.5, tasks: 64, files: 1024}").unwrap();
        let expected = Resources {
            memory: Some(512 << 20),
            cpu: Some(150),
            tasks: Some(64),
            files: Some(1024),
        };
        assert_eq!(all, expected);
        let limits = Resource::ALL.map(|resource| resource.limit(&all));
        assert_eq!(limits, [Some(512 << 20), Some(150), Some(64), Some(1024)]);
        for (text, memory) in [("16777216", 16 << 20), ("'2G'", 2 << 30), ("1024T", 1 << 50)] {
            let read = resources(&format!("{{memory: {text}}}")).unwrap();
            assert_eq!(read.memory, Some(memory), "{text}");
        }
        for (text, cpu) in [("2", 200), ("0.5", 50), ("0.01", 1), ("12.25", 1225)] {
            let read = resources(&format!("{{cpu: {text}}}")).unwrap();
            assert_eq!(read.cpu, Some(cpu), "{text}");
        }
        assert_eq!(resources("{}").unwrap(), Resources::default());
        assert_eq!(resources("{memory: , cpu: ~}").unwrap(), Resources::default());
    }

    #[test]
    fn every_refusal_has_a_message() {
        for (text, problem) in [
            ("512M", "must be a mapping, with lines like `memory: 512M`"),
            ("[1]", "must be a mapping"),
            (
                "{ram: 1G}",
                "has an unknown key `ram`; the keys are `memory`, `cpu`, `tasks`, `files`",
            ),
            ("{memory: 1G, memory: 2G}", "is set twice"),
            ("{memory: 15M}", "must be between 16M and 1024T"),
            ("{memory: 1025T}", "must be between 16M and 1024T"),
            ("{memory: 99999999999T}", "too large"),
            ("{memory: 1.5G}", "not a size, like 500M or 20G"),
            ("{memory: 512m}", "not a size"),
            ("{memory: 1.5}", "must be a string"),
            ("{memory: 0x1000000}", "must be a plain decimal number without quotes"),
            ("{memory: 50%}", "not a size"),
            ("{cpu: 0}", "must be between 0.01 and 1024 processors"),
            ("{cpu: 1024.01}", "must be between 0.01 and 1024 processors"),
            ("{cpu: 0.005}", "must be a number of processors without quotes"),
            ("{cpu: .5}", "must be a number of processors"),
            ("{cpu: 1.}", "must be a number of processors"),
            ("{cpu: 010}", "must be a number of processors"),
            ("{cpu: '1'}", "must be a number of processors"),
            ("{cpu: 50%}", "must be a number of processors"),
            ("{cpu: 1e2}", "must be a number of processors"),
            ("{tasks: 7}", "must be between 8 and 4194304"),
            ("{tasks: '64'}", "must be a plain decimal number without quotes, such as 64"),
            ("{files: 63}", "must be between 64 and 1048576"),
            ("{files: infinity}", "must be a plain decimal number"),
        ] {
            let message = resources(text).expect_err(text);
            assert!(message.contains(problem), "{text}: {message}");
            assert!(message.contains("`gateway.resources"), "{text}: {message}");
        }
    }
}
