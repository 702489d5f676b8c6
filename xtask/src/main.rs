//! `cargo xtask`: the tasks of developers and CI beyond building: checks, demo, image, measurements.
//!
//! This file parses the command line; each task has a file of its own. xtask depends on no crate of the product, so
//! the checks also run while the product does not compile.
#![expect(clippy::print_stderr, reason = "`main` prints the error that ends a task")]
#![expect(clippy::print_stdout, reason = "tasks print their progress")]

mod agent;
mod agent_image;
mod bench;
mod demo;
mod deny;
mod dist;
mod docker;
mod docker_test;
mod dotenv;
mod http;
mod image;
mod install;
mod kube_test;
mod load;
mod mac;
mod not_run;
mod plain_user;
mod processes;
mod program;
mod report;
mod soak;
mod statically;
mod systemd_image;
mod test;
mod test_programs;
mod tidy;
mod upgrade_test;
mod venv;
mod wait;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use clap::{Args, Parser};

/// Tasks of the Hermes workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Xtask {
    /// Run every check: formatting, lints, tidy, dependencies, tests, documentation
    Test {
        #[command(flatten)]
        tools: Tools,
        /// Fail if no Docker engine answers, or if a test did not run because it needs root
        #[arg(long)]
        docker: bool,
    },
    /// Check what the compiler does not: crate edges, manifests, file form, shell scripts
    Tidy,
    /// Check licences, versions and sources of dependencies
    Deny(Tools),
    /// Show the product's main job live, in a temporary home
    Demo(Tools),
    /// Measure Hermes, s6's tools, the Python implementation and a minimal program
    Bench {
        #[command(flatten)]
        bench: bench::BenchOptions,
        #[command(flatten)]
        tools: Tools,
    },
    /// Build the image
    Image {
        #[command(flatten)]
        image: image::ImageOptions,
        #[command(flatten)]
        tools: Tools,
    },
    /// Build the image and run the container tests
    DockerTest {
        #[command(flatten)]
        test: docker_test::TestOptions,
        #[command(flatten)]
        tools: Tools,
    },
    /// Run the conformance suite on the cluster that kubectl is configured for
    KubeTest {
        #[command(flatten)]
        test: kube_test::KubeOptions,
        #[command(flatten)]
        tools: Tools,
    },
    /// Upgrade a tree of the previous version to this one, and back
    UpgradeTest(Tools),
    /// Make the files of a release: archive, Debian package, list of components, image, hashes
    Dist {
        #[command(flatten)]
        dist: dist::DistOptions,
        #[command(flatten)]
        tools: Tools,
    },
    /// Build the program for macOS, on this system
    Mac(Tools),
    /// Run the load test at full size: 450 gateways under a plain s6-svscan, 1,000 under `hermes up`
    Load {
        #[command(flatten)]
        load: load::LoadOptions,
        #[command(flatten)]
        tools: Tools,
    },
    /// Run random commands and faults on a live tree for minutes, and check that it keeps its promises
    Soak {
        #[command(flatten)]
        soak: soak::SoakOptions,
        #[command(flatten)]
        tools: Tools,
    },
    /// Install the tools of the other tasks: programs, the Python agent in three versions, cargo-deny
    Install(Tools),
}

/// How a task treats missing programs.
#[derive(Args)]
struct Tools {
    /// Do not install missing programs; fail and print the command that does
    #[arg(long)]
    no_install: bool,
}

fn main() -> ExitCode {
    let done = match Xtask::parse() {
        Xtask::Test { tools, docker } => test::run(tools.no_install, docker),
        Xtask::Tidy => tidy::run(),
        Xtask::Deny(tools) => deny::run(tools.no_install),
        Xtask::Bench { bench, tools } => bench::run(&bench, tools.no_install),
        Xtask::Image { image, tools } => image::run(&image, tools.no_install),
        Xtask::DockerTest { test, tools } => docker_test::run(&test, tools.no_install),
        Xtask::KubeTest { test, tools } => kube_test::run(&test, tools.no_install),
        Xtask::UpgradeTest(tools) => upgrade_test::run(tools.no_install),
        Xtask::Demo(tools) => demo::run(tools.no_install),
        Xtask::Dist { dist, tools } => dist::run(&dist, tools.no_install),
        Xtask::Mac(tools) => mac::run(tools.no_install),
        Xtask::Load { load, tools } => load::run(&load, tools.no_install),
        Xtask::Soak { soak, tools } => soak::run(&soak, tools.no_install),
        Xtask::Install(tools) => test::for_test(tools.no_install),
    };
    // `main` does not return a `Result`, since that prints a backtrace if `RUST_BACKTRACE` is set.
    if let Err(error) = done {
        eprintln!("error: {error}");
        error.chain().skip(1).for_each(|cause| eprintln!("  caused by: {cause}"));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The root of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask is a directory of the workspace").to_owned()
}

/// The build directory of the workspace in `root`.
fn target_of(root: &Path) -> Result<PathBuf> {
    let mut metadata = MetadataCommand::new();
    let metadata = metadata.manifest_path(root.join("Cargo.toml")).no_deps().exec();
    let metadata = metadata.context("failed to run `cargo metadata`")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// The cargo that runs this task, so that all steps use one toolchain.
fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
