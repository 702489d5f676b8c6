//! A look at the tree: its files, its processes, and what `status` and `doctor --health` report.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::gateways::answer;
use super::model::Name;
use super::seen::{Seen, Status};
use super::tree::{Tree, names};

/// The prefixes of what Hermes has not finished, or removes later.
const UNFINISHED: [&str; 4] = [".hermes-", ".mv-", ".rm-", ".rk-"];

/// What a process holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Resident memory in KiB.
    pub(super) memory: u64,
    pub(super) descriptors: u64,
}

impl Held {
    fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self { memory: memory.unwrap_or_default(), descriptors: descriptors.try_into()? })
    }
}

impl Tree {
    /// Looks at everything.
    pub(super) fn look(&self) -> Result<Seen> {
        let mut seen = Seen { up: self.up_pid()?, ..Seen::default() };
        self.look_at_files(&mut seen)?;
        let statuses = self.run(&["gateway", "status", "--all", "--json"])?.finish(None)?;
        // A status that can't be read, as of a service that is just being made, is an error above the list.
        let list = statuses.output.find("[\n").map_or("", |begin| &statuses.output[begin..]);
        match serde_json::from_str::<Vec<Value>>(list) {
            Ok(list) => seen.statuses.extend(list.iter().map(status)),
            Err(_) => seen.strange.push(format!("`{}` printed {}", statuses.line, statuses.output)),
        }
        seen.processes = self.processes()?;
        seen.healthy = self.run(&["doctor", "--health"])?.finish(None)?.status.success();
        for name in seen.homes.iter().filter(|(_, wanted)| **wanted).map(|(name, _)| *name) {
            // A port in its configuration counts at its next start.
            let pid = seen.statuses.get(&name.to_string()).and_then(|status| status.pid);
            seen.answering.extend(pid.and_then(answer).map(|pid| (name, pid)));
        }
        Ok(seen)
    }

    fn look_at_files(&self, seen: &mut Seen) -> Result<()> {
        let mut strange = Vec::new();
        for name in names(&self.profiles())? {
            match name.parse::<Name>() {
                Ok(profile) => {
                    let home = self.home(profile);
                    strange.extend(self.unfinished(&home)?);
                    let intent = fs::read_to_string(home.join("gateway.intent"));
                    match intent.as_deref().map(str::trim) {
                        Ok("running") => drop(seen.homes.insert(profile, true)),
                        Ok("stopped") => drop(seen.homes.insert(profile, false)),
                        other => strange.push(format!("intent of {profile}: {other:?}")),
                    }
                }
                Err(()) if [".locks", ".gateways"].contains(&name.as_str()) => {}
                Err(()) => strange.push(format!("profiles/{name}")),
            }
        }
        for lock in self.locks()? {
            if File::open(&lock).is_ok_and(|file| file.try_lock().is_err()) {
                strange.push(format!("{} is held", lock.display()));
            }
        }
        for name in names(&self.scandir())? {
            if let Some(marked) = name.strip_prefix(".hermes.off.") {
                seen.marks.extend(marked.parse::<Name>());
            } else if !name.starts_with('.') {
                seen.slots.insert(name);
            } else if ![".s6-svscan", ".hermes.booted", ".hermes.lock"].contains(&name.as_str()) {
                strange.push(format!("service/{name}"));
            }
        }
        strange.extend(self.unfinished(&self.path.join("home"))?);
        for name in names(&self.path.join("home/logs/gateways"))? {
            let profile = name.parse::<Name>().ok();
            let is_known = profile.is_some_and(|profile| {
                seen.homes.contains_key(&profile) || self.abandoned_logs.contains(&profile)
            });
            if !is_known && name != "default" {
                strange.push(format!("logs/gateways/{name}"));
            }
        }
        seen.strange.extend(strange);
        Ok(())
    }

    fn unfinished(&self, directory: &Path) -> Result<Vec<String>> {
        let is_unfinished =
            |name: &String| UNFINISHED.iter().any(|prefix| name.starts_with(prefix));
        let place = directory.strip_prefix(&self.path).unwrap_or(directory).display();
        let names = names(directory)?.into_iter().filter(is_unfinished);
        Ok(names.map(|name| format!("{place}/{name}")).collect())
    }

    /// The locks of commands. That of the process that asks for the liveness is always held, those of gateways in
    /// backoff at any time.
    pub(super) fn locks(&self) -> Result<Vec<PathBuf>> {
        let directory = self.profiles().join(".locks");
        let mut names = names(&directory)?;
        names.retain(|name| name != ".liveness" && !name.starts_with(".backoff-"));
        Ok(names.into_iter().map(|name| directory.join(name)).collect())
    }

    /// What `hermes up` and its s6-svscan hold.
    pub(super) fn held(&self) -> Result<[Held; 2]> {
        let svscan = self.svscan().context("there is no s6-svscan")?;
        Ok([Held::of(self.up_pid()?)?, Held::of(svscan)?])
    }
}

/// A gateway's status, from an element of the list.
fn status(json: &Value) -> (String, Status) {
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let pid = json["pid"].as_u64().and_then(|pid| pid.try_into().ok());
    (text("profile"), Status { state: text("state"), pid, healthy: json["healthy"] == true })
}
