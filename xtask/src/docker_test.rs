//! `cargo xtask docker-test`: builds images and runs the tests in containers.
//!
//! The tests are the targets `container` and `systemd` of the crate `tests`; on a release other than this machine's, also the
//! live tests, with that release's s6 (`docker_test/place.rs`). Environment variables name the images and a label for
//! containers. At the end everything with that label is removed, also if the tests were killed. Each run has images and a
//! label of its own, so that two runs on one engine do not disturb each other.
//!
//! A release that fails does not stop the others; the end lists what failed.

mod place;

use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;
use xshell::Shell;

use crate::image::Distribution;
use crate::report::Report;
use crate::{docker, test_programs};
use place::{Place, Programs};

/// How many test programs run at the same time, for each core: mostly they wait for containers.
const PROGRAMS_PER_CORE: usize = 1;

/// Options of `cargo xtask docker-test`.
#[derive(Args, Clone, Default)]
pub(crate) struct TestOptions {
    /// The base image to build on, with or without s6-overlay; without the tests under systemd
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// Run all tests on this machine's release of the distribution, and on each other one those that depend on it: on its s6
    /// and on its systemd
    #[arg(long, conflicts_with = "base")]
    matrix: bool,
    /// Run those tests on this release alone
    #[arg(long, value_name = "CODENAME", conflicts_with_all = ["base", "matrix"])]
    release: Option<String>,
    /// Skip the tests with the Python agent, for a base whose Python it does not allow
    #[arg(long)]
    no_agent: bool,
    /// Keep the containers of failed tests
    #[arg(long)]
    keep: bool,
    /// Run only tests whose names contain this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

impl TestOptions {
    /// All releases.
    pub(crate) fn matrix() -> Self {
        Self { matrix: true, ..Self::default() }
    }

    fn places(&self) -> Result<Vec<Place>> {
        if let Some(base) = &self.base {
            return Ok(vec![Place::on(base)]);
        }
        let here = Distribution::here().context("name a base image with --base")?;
        let places = Place::all(here.releases(), &here).into_iter();
        let places: Vec<_> = match &self.release {
            Some(name) => places.filter(|place| place.name() == name).collect(),
            None => places.filter(|place| self.matrix || place.name() == here.codename).collect(),
        };
        let named = self.release.as_deref().unwrap_or(&here.codename);
        ensure!(!places.is_empty(), "`{named}` is not a release that Hermes is for");
        Ok(places)
    }
}

/// Builds the images and runs the tests.
pub(crate) fn run(test: &TestOptions, no_install: bool) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    docker::require(&shell)?;
    let run = std::process::id();
    let label = format!("hermes.test={run}");
    let places = test.places()?;

    let mut report = Report::default();
    let mut programs = None;
    report.step("programs", "cargo xtask docker-test", || {
        programs = Some(Programs::build(&places)?);
        Ok(())
    });
    let Some(programs) = programs else { return report.end() };
    let mut jobs = Vec::new();
    for place in &places {
        report.step(&format!("images of {}", place.name()), &place.alone(), || {
            place.build(&shell, test, run, no_install)?;
            jobs.extend(place.jobs(&shell, test, &programs, run, &label));
            Ok(())
        });
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let reported = test_programs::run_at_once(jobs, PROGRAMS_PER_CORE * cores)?;
    for job in &reported.failed {
        let place = places.iter().find(|place| job.ends_with(&place.suffix()));
        report.fail(job, &place.map_or_else(String::new, Place::alone));
    }
    if test.keep {
        println!("docker-test: containers of failed tests: docker ps --all --filter label={label}");
        return report.end();
    }
    let removed = docker::remove_labelled(&shell, &label);
    for tag in places.iter().flat_map(|place| place.tags(run)) {
        if docker::has_image(&shell, &tag) {
            docker::remove_image(&shell, &tag)?;
        }
    }
    report.end().and(removed)
}
