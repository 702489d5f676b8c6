//! `hermes doctor`: what the gateways need, whether it is there, and what mends it.
//!
//! Everything is looked at once ([`snapshot`]), each check says what it saw ([`report`]), and a check that
//! can't be made says why. Nothing is changed unless `--fix` asks for it ([`fix`]).
//!
//! | file | its checks |
//! |---|---|
//! | `backend` | which backend, the s6 programs, s6-svscan, who may command it, whose tree it is |
//! | `host` | under a host's service manager: what it needs, and its gateways |
//! | `owner` | that one tree alone runs the gateways of the home |
//! | `homes` | the root home, owners of files, `.env`, the chosen profile, the boot log |
//! | `config` | `config.yaml`, the gateway's program, the recorded intent |
//! | `ports` | ports that are missing, named twice, or taken |
//! | `limits` | room in the scan directory, descriptors, processes |
//! | `disks` | free space and inodes |
//! | `budgets` | that every stop has the time it needs |
//! | `gateways` | orphans, strays, what outlived a gateway, parked and crashing ones, the unwanted |
//! | `health` | none of these, but the one question of a container's health check |
//! | `slots` | missing, unused and outdated slots, and what interrupted commands left |

mod backend;
mod budgets;
mod config;
mod disks;
mod fix;
mod gateways;
mod health;
mod homes;
mod host;
mod limits;
mod owner;
mod ports;
mod report;
mod slots;
mod snapshot;

pub(crate) use self::health::run as health;
use self::report::{Check, Repaired, Report};
use self::snapshot::Snapshot;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output::{self, Severity};

pub(crate) fn run(app: &App, fix: bool) -> Result<u8, CliError> {
    let repaired = if fix { fix::run(app) } else { Vec::new() };
    let report = examine(app, repaired);
    if app.json {
        output::json(&report)?;
    } else {
        report.print()?;
    }
    let failed = report.repaired.iter().any(|repaired| repaired.error.is_some());
    let wrong = failed || report.count(Severity::Error) > 0;
    Ok(if wrong { exit::FAILURE } else { exit::SUCCESS })
}

/// The checks of one file.
type Group = fn(&Snapshot<'_>) -> Vec<Check>;

fn examine(app: &App, repaired: Vec<Repaired>) -> Report {
    let snapshot = Snapshot::gather(app);
    let capacity = limits::capacity_of(&snapshot);
    let mut checks = Vec::new();
    let groups: &[Group] = match &snapshot.host {
        Some(services) => {
            checks.extend(backend::checks(&snapshot));
            checks.extend(host::checks(&snapshot, services));
            &[homes::checks, config::checks, ports::checks, disks::checks]
        }
        None => &[
            backend::checks,
            owner::checks,
            homes::checks,
            config::checks,
            ports::checks,
            limits::checks,
            disks::checks,
            budgets::checks,
            gateways::checks,
            slots::checks,
        ],
    };
    groups.iter().for_each(|group| checks.extend(group(&snapshot)));
    let scandir = match &snapshot.s6 {
        Some(Ok(manager)) => Some(&manager.tree().scandir),
        _ => None,
    };
    Report {
        backend: snapshot.kind,
        facts: app.hermes.facts().clone(),
        home: app.root().path().display().to_string(),
        scandir: scandir.map(|scandir| scandir.path().display().to_string()),
        capacity,
        profiles: snapshot.profiles.len(),
        slots: scandir.and_then(|dir| dir.profiles().ok()).map_or(0, |profiles| profiles.len()),
        repaired,
        findings: checks.iter().flat_map(|check| check.findings.iter().cloned()).collect(),
        checks,
    }
}
