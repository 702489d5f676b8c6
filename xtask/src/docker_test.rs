//! `cargo xtask docker-test`: builds the image and runs the container tests.
//!
//! The tests are the targets `container` and `systemd` of the crate `tests`. Environment variables name the image and a
//! label for them. At the end everything with that label is removed, also if the tests were killed. Each run has an image
//! and a label of its own, so that two runs on one engine do not disturb each other.

use anyhow::{Context, Result};
use clap::Args;
use xshell::{Cmd, Shell};

use crate::image::ImageOptions;
use crate::{agent, agent_image, docker, image, systemd_image};

/// The release whose Python, 3.14, is newer than the agent allows.
const WITHOUT_AGENT: &str = ":sid";
/// The tests with the Python agent.
const WITH_AGENT: &str = "compose::";
/// How many containers with systemd run at the same time.
const SYSTEMD_THREADS: &str = "3";

/// Options of `cargo xtask docker-test`.
#[derive(Args, Clone, Default)]
pub(crate) struct TestOptions {
    /// The base image to build on, with or without s6-overlay
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// Run the container tests on each release of the distribution, one after the other, without those under systemd
    #[arg(long, conflicts_with = "base")]
    matrix: bool,
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

/// Builds the image and runs the container tests.
pub(crate) fn run(test: &TestOptions, no_install: bool) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    if test.matrix {
        for base in image::bases(&shell, no_install)? {
            println!("docker-test: on `{base}`");
            let on = TestOptions {
                no_agent: test.no_agent || base.ends_with(WITHOUT_AGENT),
                base: Some(base.clone()),
                matrix: false,
                ..test.clone()
            };
            self::run(&on, no_install).with_context(|| format!("on `{base}`"))?;
        }
        return Ok(());
    }
    let run = std::process::id();
    let tag = format!("hermes-test:{run}");
    image::run(
        &ImageOptions { base: test.base.clone(), tag: tag.clone(), labels: Vec::new() },
        no_install,
    )?;
    let label = format!("hermes.test={run}");
    docker::ensure_compose(&shell, no_install)?;
    let agent = match test.no_agent {
        true => Ok(()),
        false => agent_image::build(&shell, test.base.as_deref(), &with_agent(&tag), no_install),
    };
    let mut done = agent.and_then(|()| suite(&shell, test, &tag, &label, None));
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
    for tag in [&tag, &with_agent(&tag), &systemd_tag]
        .into_iter()
        .filter(|tag| docker::has_image(&shell, tag))
    {
        docker::remove_image(&shell, tag)?;
    }
    done.and(removed)
}

/// The name of the image that has the Python agent in it, too.
fn with_agent(tag: &str) -> String {
    format!("{tag}-agent")
}

/// Runs the tests under systemd. They do not depend on the image's base.
fn systemd(
    shell: &Shell,
    test: &TestOptions,
    tag: &str,
    label: &str,
    no_install: bool,
) -> Result<()> {
    systemd_image::build(shell, tag, no_install)?;
    agent::ensure(no_install)?;
    println!("docker-test: running the tests under systemd");
    let tests = tests(shell, test, "systemd", label).env("HERMES_TEST_SYSTEMD_IMAGE", tag);
    // Each test runs a systemd of its own, which is much for a small machine.
    let tests = tests.env("RUST_TEST_THREADS", SYSTEMD_THREADS);
    tests.run().context("a test under systemd failed")
}

/// The command that runs the tests of one target.
fn tests<'a>(shell: &'a Shell, test: &TestOptions, target: &str, label: &str) -> Cmd<'a> {
    // With the whole workspace, dependencies have the same features as in all other tests and are not built again.
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

/// Runs the container tests, with `supervision` as HERMES_SUPERVISION of all containers.
fn suite(
    shell: &Shell,
    test: &TestOptions,
    tag: &str,
    label: &str,
    supervision: Option<&str>,
) -> Result<()> {
    let mode = supervision.map(|mode| format!(" with HERMES_SUPERVISION={mode}"));
    println!("docker-test: running the container tests{}", mode.unwrap_or_default());
    let tests = tests(shell, test, "container", label)
        // These can't pass under root's s6-svscan.
        .args(supervision.map(|_| "--skip=unprivileged::"))
        .args(test.no_agent.then(|| format!("--skip={WITH_AGENT}")))
        .env("HERMES_TEST_IMAGE", tag)
        .env("HERMES_TEST_AGENT_IMAGE", with_agent(tag))
        .envs(supervision.map(|mode| ("HERMES_TEST_SUPERVISION", mode)));
    tests.run().context("a container test failed")
}

fn has_overlay(shell: &Shell, tag: &str) -> bool {
    let probe = ["run", "--rm", "--entrypoint", "test", tag, "-d", "/package/admin/s6-overlay"];
    shell.cmd("docker").args(probe).quiet().ignore_stderr().run().is_ok()
}
