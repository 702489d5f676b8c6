//! The gateways of a run: real programs that start helpers, die, ask for a restart, or ignore SIGTERM.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};

use super::model::Kind;
use crate::{http, processes};

/// The ports of the gateways: below those that the kernel picks for clients.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Ports that nobody listens on.
pub(super) struct Ports(u16);

impl Ports {
    /// Runs at the same time begin at different ports.
    pub(super) fn new() -> Self {
        let span = u32::from(PORTS.end - PORTS.start);
        let offset = std::process::id().wrapping_mul(100) % span;
        Self(PORTS.start + u16::try_from(offset).unwrap_or_default())
    }

    /// A port that was not returned recently.
    pub(super) fn next(&mut self) -> u16 {
        loop {
            self.0 = if self.0 + 1 < PORTS.end { self.0 + 1 } else { PORTS.start };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, self.0)).is_ok() {
                return self.0;
            }
        }
    }
}

/// The text of `config.yaml`.
fn config(kind: Kind, port: u16) -> String {
    let script = match kind {
        Kind::Serving => {
            return format!(
                "gateway:\n  port: {port}\n  liveness: {{interval: 2, timeout: 4, failures: 2}}\n  \
                 on_hang: restart\n"
            );
        }
        Kind::Forking => {
            "sleep 90000 & setsid sleep 90000 & sh -c 'sleep 90000 & wait' & echo up; exec sleep 90000"
        }
        Kind::Chatty => "while :; do echo line $((n += 1)); sleep 1; done",
        Kind::Stubborn => "trap '' TERM; while :; do sleep 1; done",
        Kind::Crashing => "setsid sleep 90000 & sleep $(($$ % 7 + 2)); exit 1",
        Kind::Asking => "sleep 90000 & sleep 15; exit 75",
    };
    format!(
        "gateway:\n  stop_timeout: 4\n  command: [/bin/sh, -c, {}]\n",
        serde_json::json!(script)
    )
}

/// Writes the configuration into the profile's home, if that exists, by one rename.
pub(super) fn configure(home: &Path, kind: Kind, port: u16) -> Result<()> {
    if !home.is_dir() {
        return Ok(());
    }
    let (new, path) = (home.join("config.yaml.new"), home.join("config.yaml"));
    fs::write(&new, config(kind, port))
        .and_then(|()| fs::rename(&new, &path))
        .with_context(|| format!("failed to write {}", path.display()))
}

/// Whether the profile is the one that the command `line` made: it has the port that was asked for.
pub(super) fn is_made_by(home: &Path, line: &str) -> bool {
    let port = line.split("--port ").nth(1).and_then(|rest| rest.split(' ').next());
    let config = fs::read_to_string(home.join("config.yaml")).unwrap_or_default();
    port.is_some_and(|port| config.lines().any(|line| line == format!("  port: {port}")))
}

/// Makes a profile file by file, as a program does that knows nothing of Hermes. The configuration makes it a profile:
/// one that is not complete would park a gateway.
pub(super) fn make(home: &Path, kind: Kind, port: u16, wanted: bool) -> Result<()> {
    let intent = if wanted { "running\n" } else { "stopped\n" };
    fs::create_dir(home)
        .and_then(|()| fs::write(home.join("gateway.intent"), intent))
        .with_context(|| format!("failed to make {}", home.display()))?;
    configure(home, kind, port)?;
    fs::write(home.join("SOUL.md"), "")
        .with_context(|| format!("failed to make {}", home.display()))
}

/// The process that answers on the port of the built-in gateway `pid`.
pub(super) fn answer(pid: u32) -> Option<u32> {
    let port = processes::listening_ports(pid).into_iter().next()?;
    http::get_json(port, "/health").ok()?["pid"].as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_made_and_configured_anew() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("p1");
        configure(&home, Kind::Serving, 1).unwrap();
        assert!(!home.exists(), "no profile, no configuration");
        make(&home, Kind::Chatty, 1, true).unwrap();
        configure(&home, Kind::Serving, 23_456).unwrap();
        let text = fs::read_to_string(home.join("config.yaml")).unwrap();
        assert!(text.contains("  port: 23456\n"), "{text}");
        assert_eq!(fs::read_to_string(home.join("gateway.intent")).unwrap(), "running\n");
        assert_eq!(fs::read_dir(&home).unwrap().count(), 3);
    }

    #[test]
    fn ports_differ() {
        let mut ports = Ports::new();
        assert_ne!(ports.next(), ports.next());
    }
}
