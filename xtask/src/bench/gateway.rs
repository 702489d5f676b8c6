//! One gateway: the time until it is ready, and its memory while idle.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::testbed::{milliseconds, until};

/// The request that a ready gateway answers with 200.
const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
/// A gateway is idle once its memory has not changed for this long.
const SETTLED: Duration = Duration::from_millis(500);
/// A smaller difference, in kilobytes, is no change.
const SLACK: f64 = 64.0;

/// A gateway that runs as a child of this process, killed on drop.
pub(super) struct Gateway {
    child: Child,
    /// Milliseconds from its start until it answered.
    pub(super) ready: f64,
}

/// The memory of a process, in kilobytes.
pub(super) struct Memory {
    /// PSS: each shared page counts by the number of processes that share it.
    pub(super) proportional: f64,
    /// The pages that no other process shares.
    pub(super) private: f64,
}

impl Gateway {
    /// Starts a gateway, and returns once it answers on `port`.
    pub(super) fn start(mut command: Command, port: u16) -> Result<Self> {
        let start = Instant::now();
        let child = command.stderr(Stdio::null()).spawn()?;
        let mut gateway = Self { child, ready: 0.0 };
        until("the gateway answers", || {
            anyhow::ensure!(gateway.child.try_wait()?.is_none(), "{command:?} has ended");
            Ok(answers(port))
        })?;
        gateway.ready = milliseconds(start.elapsed());
        Ok(gateway)
    }

    /// Its memory once it is idle.
    pub(super) fn memory(&self) -> Result<Memory> {
        let mut last = self.memory_now()?;
        let mut since = Instant::now();
        until("the gateway is idle", || {
            let now = self.memory_now()?;
            if (now.proportional - last.proportional).abs() > SLACK {
                (last, since) = (now, Instant::now());
            }
            Ok(since.elapsed() >= SETTLED)
        })?;
        self.memory_now()
    }

    fn memory_now(&self) -> Result<Memory> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let sum = |names: &[&str]| -> Result<f64> {
            let values = names.iter().map(|name| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                let value =
                    line.and_then(|line| line.trim_end_matches("kB").trim().parse::<f64>().ok());
                value.with_context(|| format!("no {name} in smaps_rollup"))
            });
            values.sum()
        };
        Ok(Memory {
            proportional: sum(&["Pss:"])?,
            private: sum(&["Private_Clean:", "Private_Dirty:"])?,
        })
    }
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(REQUEST)?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
