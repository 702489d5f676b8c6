//! Jobs that do not depend on the number of profiles: one process, one gateway, the size of the program.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use super::super::gateway::Gateway;
use super::super::sample::{Figure, Sampler, Side};
use super::{Bench, Job, Rule};

/// The port of the gateways; the Python implementation gets the next one.
const GATEWAY_PORT: u16 = 18_642;

impl Bench<'_> {
    /// Measures the jobs that do not depend on the number of profiles.
    pub(in crate::bench) fn single(&self) -> Result<Vec<Job>> {
        let home = self.testbed.home("home", 0, false)?;
        home.add("agent0", 0, "stopped")?;
        home.serve("agent0", GATEWAY_PORT)?;
        let sides = vec![self.hermes(&home, &["--version"], &[0]), self.floor(&home, &["nothing"])];
        let rules = [Rule::Times(Side::Floor, 1.15)];
        let mut jobs = vec![self.job("a process that does nothing", None, &rules, sides)?];

        let hermes = || {
            let line = ["-p", "agent0", "gateway", "start", "--foreground"];
            Gateway::start(self.testbed.hermes(&home, &line), GATEWAY_PORT)
        };
        // Hermes runs the Python implementation in a home that was that one's.
        let beside = self.testbed.home("home-python", 0, false)?;
        beside.add("agent0", 0, "stopped")?;
        let peer = self.peer.map(|peer| {
            let home = &beside;
            move || {
                let port = GATEWAY_PORT + 1;
                let mut command =
                    peer.command(home, &["-p", "agent0", "gateway", "run", "--replace"]);
                command
                    .env("API_SERVER_KEY", "0123456789abcdef0123456789abcdef")
                    .env("API_SERVER_PORT", port.to_string());
                Gateway::start(command, port)
            }
        });
        let mut sides: Vec<Sampler<'_>> = vec![(Side::Hermes, Box::new(|| Ok(hermes()?.ready)))];
        sides.extend(
            peer.as_ref()
                .map(|start| -> Sampler<'_> { (Side::Peer, Box::new(|| Ok(start()?.ready))) }),
        );
        jobs.push(self.job("gateway, from start to ready", None, &[Rule::AtMost(50.0)], sides)?);
        let twentieth = [Rule::Times(Side::Peer, 0.05)];
        for (name, private) in [("idle gateway, PSS", false), ("idle gateway, private", true)] {
            let of = move |gateway: Gateway| {
                let memory = gateway.memory()?;
                Ok(if private { memory.private } else { memory.proportional })
            };
            let mut sides: Vec<Sampler<'_>> = vec![(Side::Hermes, Box::new(|| of(hermes()?)))];
            sides.extend(
                peer.as_ref()
                    .map(|start| -> Sampler<'_> { (Side::Peer, Box::new(move || of(start()?))) }),
            );
            jobs.push(Job { unit: "kB", ..self.job(name, None, &twentieth, sides)? });
        }
        #[expect(clippy::cast_precision_loss, reason = "a file's size")]
        let size = fs::metadata(&self.testbed.hermes)?.len() as f64 / 1e6;
        let figures = BTreeMap::from([(Side::Hermes, Figure::of(vec![size]).context("a sample")?)]);
        let rules = vec![Rule::AtMost(8.0)];
        jobs.push(Job {
            name: "binary size, stripped",
            profiles: None,
            unit: "MB",
            figures,
            rules,
        });
        Ok(jobs)
    }
}
