//! `cargo xtask docker-test`: the image, built and tried in containers.
//!
//! The tests themselves are the targets `container` and `systemd` of the crate `tests`. They are told the image and a
//! label, and whatever carries that label is removed in the end, also when they were killed. Image and
//! label are this run's own, so that two runs on one engine don't disturb each other.

use anyhow::{Context, Result};
use clap::Args;
use xshell::{Cmd, Shell};

use crate::image::ImageOptions;
use crate::{docker, image, systemd_image};

/// How many containers with a systemd run at once.
const SYSTEMS_AT_ONCE: &str = "3";

/// What to test, and how.
#[derive(Args, Default)]
pub(crate) struct TestOptions {
    /// The base image of the image that is tested, with or without s6-overlay
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// Keep the containers of tests that fail
    #[arg(long)]
    keep: bool,
    /// Only tests whose names contain this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

/// Builds the image and runs the container tests.
pub(crate) fn run(test: &TestOptions, no_install: bool) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let run = std::process::id();
    let tag = format!("hermes-test:{run}");
    image::run(&ImageOptions { base: test.base.clone(), tag: tag.clone() }, no_install)?;
    let label = format!("hermes.test={run}");
    let mut done = suite(&shell, test, &tag, &label, None);
    if done.is_ok() && has_overlay(&shell, &tag) {
        done = suite(&shell, test, &tag, &label, Some("root"));
    }
    let systemd_tag = format!("{tag}-systemd");
    if done.is_ok() && test.base.is_none() {
        done = systemd(&shell, test, &systemd_tag, &label, no_install);
    }
    if test.keep {
        println!("docker-test: containers of failed tests: docker ps --all --filter label={label}");
        return done;
    }
    let removed = docker::remove_labelled(&shell, &label);
    for tag in [&tag, &systemd_tag].into_iter().filter(|tag| docker::has_image(&shell, tag)) {
        docker::remove_image(&shell, tag)?;
    }
    done.and(removed)
}

/// Runs the tests of what a host's systemd does, which is the same whatever the image's base is.
fn systemd(
    shell: &Shell,
    test: &TestOptions,
    tag: &str,
    label: &str,
    no_install: bool,
) -> Result<()> {
    systemd_image::build(shell, tag, no_install)?;
    println!("docker-test: running the tests under systemd");
    let tests = tests(shell, test, "systemd", label).env("HERMES_TEST_SYSTEMD_IMAGE", tag);
    // Each has a system of its own, which is much for a small machine.
    let tests = tests.env("RUST_TEST_THREADS", SYSTEMS_AT_ONCE);
    tests.run().context("a test under systemd failed")
}

/// The command that runs the tests of one target.
fn tests<'a>(shell: &'a Shell, test: &TestOptions, target: &str, label: &str) -> Cmd<'a> {
    // The whole workspace: its dependencies are then built with the features that every other test has.
    let args = ["test", "--locked", "--workspace", "--features", "hermes-tests/docker"];
    shell
        .cmd(crate::cargo())
        .args(args)
        .args(["--test", target, "--"])
        .args(&test.filter)
        .env("HERMES_TEST_LABEL", label)
        .envs(test.keep.then_some(("HERMES_TEST_KEEP", "1")))
        .quiet()
}

/// Runs the tests; `supervision` is the HERMES_SUPERVISION of all containers.
fn suite(
    shell: &Shell,
    test: &TestOptions,
    tag: &str,
    label: &str,
    supervision: Option<&str>,
) -> Result<()> {
    let mode = supervision.map(|mode| format!(" with HERMES_SUPERVISION={mode}"));
    println!(
        "docker-test: running the container tests{}; each starts containers of its own",
        mode.unwrap_or_default()
    );
    let tests = tests(shell, test, "container", label)
        // What can't hold under root's s6-svscan.
        .args(supervision.map(|_| "--skip=unprivileged::"))
        .env("HERMES_TEST_IMAGE", tag)
        .envs(supervision.map(|mode| ("HERMES_TEST_SUPERVISION", mode)));
    tests.run().context("a container test failed")
}

fn has_overlay(shell: &Shell, tag: &str) -> bool {
    let probe = ["run", "--rm", "--entrypoint", "test", tag, "-d", "/package/admin/s6-overlay"];
    shell.cmd("docker").args(probe).quiet().ignore_stderr().run().is_ok()
}
