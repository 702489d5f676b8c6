//! Finds the processes of a temporary directory in `/proc`, independently of Hermes.
//!
//! They and no others have the path of that directory in their command line, environment or working
//! directory. Only such processes are ever signalled.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A process in `/proc`.
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) args: Vec<String>,
    /// The environment as `KEY=value`, and the working directory.
    pub(crate) surroundings: Vec<String>,
}

impl Process {
    /// Reads one; none if it is gone, a zombie, or another user's.
    fn read(pid: u32) -> Option<Self> {
        let dir = proc(pid);
        let list = |name| {
            let bytes = fs::read(dir.join(name)).ok()?;
            let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>())
        };
        let status = fs::read_to_string(dir.join("status")).ok()?;
        let parent =
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
        let mut surroundings = list("environ")?;
        if let Ok(cwd) = fs::read_link(dir.join("cwd")) {
            surroundings.push(String::from_utf8_lossy(cwd.as_os_str().as_bytes()).into_owned());
        }
        Some(Self { pid, parent, args: list("cmdline")?, surroundings })
    }

    fn mentions(&self, dir: &Path) -> bool {
        let dir = dir.to_string_lossy();
        self.args.iter().chain(&self.surroundings).any(|word| word.contains(&*dir))
    }

    /// Whether it is a supervisor, a logger, a gateway or a command of the profile.
    pub(crate) fn is_about(&self, profile: &str) -> bool {
        let marks = [
            format!("gateway-{profile}"),
            format!("gateways/{profile}"),
            format!("profiles/{profile}"),
            format!("PROFILE={profile}"),
        ];
        self.args.iter().any(|arg| arg == profile)
            || self
                .args
                .iter()
                .chain(&self.surroundings)
                .any(|word| marks.iter().any(|mark| word.contains(mark)))
    }

    /// Whether it runs the program `name`, wherever that is.
    pub(crate) fn runs(&self, name: &str) -> bool {
        self.args.first().and_then(|arg| arg.rsplit('/').next()) == Some(name)
    }

    /// Whether it is `ancestor` or one of its descendants in `all`.
    pub(crate) fn is_below(&self, ancestor: u32, all: &[Self]) -> bool {
        let parent = || all.iter().find(|process| process.pid == self.parent);
        self.pid == ancestor || parent().is_some_and(|parent| parent.is_below(ancestor, all))
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.args.join(" "))
    }
}

/// All processes that mention the directory.
pub(crate) fn mentioning(dir: &Path) -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc").context("failed to read `/proc`")?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .filter(|process| process.mentions(dir))
        .collect())
}

/// Whether the process is there and mentions the directory.
pub(crate) fn mentions(pid: u32, dir: &Path) -> bool {
    Process::read(pid).is_some_and(|process| process.mentions(dir))
}

/// Whether there is a process with this id.
pub(crate) fn exists(pid: u32) -> bool {
    proc(pid).exists()
}

/// Sends a signal to a process that was found here, or is a child. One that has ended meanwhile is not an error.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    let raw = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .with_context(|| format!("{pid} is not a process id"))?;
    match kill_process(raw, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("failed to signal process {pid}")),
    }
}

fn proc(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// The ports of the loopback address that the process listens on; none if it has ended.
pub(crate) fn listening_ports(pid: u32) -> Vec<u16> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let sockets: BTreeSet<_> = links
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let port = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // proc(5): the local address, the state (0A: it listens) and the inode.
        let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = address.strip_prefix("0100007F:").filter(|_| *state == "0A")?;
        sockets.contains(*inode).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_found_by_its_environment_and_gone_when_reaped() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("cat")
            .env("HERMES_HOME", dir.path().join("profiles/alice"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // During its exec a process has no environment. One that answers is past it.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let found = mentioning(dir.path()).unwrap();
        assert_eq!(found.iter().map(|process| process.pid).collect::<Vec<_>>(), [child.id()]);
        assert!(found[0].is_about("alice") && !found[0].is_about("bob"));
        assert!(
            found[0].is_below(child.id(), &found) && !found[0].is_below(std::process::id(), &found)
        );
        assert!(mentions(child.id(), dir.path()));

        signal(child.id(), Signal::KILL).unwrap();
        child.wait().unwrap();
        assert_eq!(mentioning(dir.path()).unwrap().len(), 0);
        assert!(!exists(child.id()));
    }

    #[test]
    fn the_port_of_a_listener_is_found() {
        let me = std::process::id();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        // Other tests of this process listen, too.
        assert!(listening_ports(me).contains(&listener.local_addr().unwrap().port()));
    }

    #[test]
    fn a_profile_differs_from_a_user_of_the_same_name() {
        let process = |args: &[&str], env: &str| Process {
            pid: 2,
            parent: 1,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            surroundings: vec![env.to_owned()],
        };
        assert!(process(&["s6-supervise", "gateway-alice/log"], "").is_about("alice"));
        assert!(process(&["hermes", "-p", "alice", "gateway", "start"], "").is_about("alice"));
        assert!(process(&["s6-log"], "/tmp/x/service/gateway-alice (deleted)").is_about("alice"));
        assert!(!process(&["s6-svscan", "/tmp/x/service"], "HOME=/home/alice").is_about("alice"));
    }
}
