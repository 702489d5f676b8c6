//! `hermes doctor`: what the gateways need, whether it is there, and what mends it.
//!
//! Everything is looked at once ([`scene`]), each check says what it saw ([`report`]), and a check that
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
mod scene;
mod slots;

pub(crate) use self::health::run as health;
use self::report::{Check, Mended, Report};
use self::scene::Scene;
use crate::app::App;
use crate::error::{CliError, exit};
use crate::output::{self, Judgement};

pub(crate) fn run(app: &App, fix: bool) -> Result<u8, CliError> {
    let mended = if fix { fix::run(app) } else { Vec::new() };
    let report = examine(app, mended);
    if app.json {
        output::json(&report)?;
    } else {
        report.print()?;
    }
    let failed = report.mended.iter().any(|mended| mended.error.is_some());
    let wrong = failed || report.count(Judgement::Error) > 0;
    Ok(if wrong { exit::FAILURE } else { exit::SUCCESS })
}

/// The checks of one file.
type Group = fn(&Scene<'_>) -> Vec<Check>;

fn examine(app: &App, mended: Vec<Mended>) -> Report {
    let scene = Scene::gather(app);
    let capacity = limits::capacity_of(&scene);
    let mut checks = Vec::new();
    let groups: &[Group] = match &scene.host {
        Some(services) => {
            checks.extend(backend::checks(&scene));
            checks.extend(host::checks(&scene, services.as_ref()));
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
    groups.iter().for_each(|group| checks.extend(group(&scene)));
    let scandir = match &scene.s6 {
        Some(Ok(manager)) => Some(&manager.tree().scandir),
        _ => None,
    };
    Report {
        backend: app.facts.backend(),
        facts: app.facts.clone(),
        home: app.root().path().display().to_string(),
        scandir: scandir.map(|scandir| scandir.path().display().to_string()),
        capacity,
        profiles: scene.profiles.len(),
        slots: scandir.and_then(|dir| dir.profiles().ok()).map_or(0, |profiles| profiles.len()),
        mended,
        findings: checks.iter().flat_map(|check| check.findings.iter().cloned()).collect(),
        checks,
    }
}
