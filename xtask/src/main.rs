//! `cargo xtask`: what a developer or CI does with the tree beyond building it.
//!
//! A thin dispatcher; each task is a file of its own. Nothing here depends on a crate of the product,
//! so the checks run, and say what is wrong, also while the product does not compile.
#![expect(clippy::print_stderr, reason = "`main` prints the error that ends a task")]
#![expect(clippy::print_stdout, reason = "xtask talks to the person, or the CI log, that runs it")]

mod agent;
mod bench;
mod demo;
mod deny;
mod docker;
mod docker_test;
mod image;
mod install;
mod load;
mod not_run;
mod soak;
mod systemd_image;
mod test;
mod tidy;
mod venv;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser};

/// Tasks of the Hermes workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Xtask {
    /// Run every check: formatting, lints, tidy, dependencies, tests, documentation
    Test {
        #[command(flatten)]
        tools: Tools,
        /// Fail if no Docker engine answers, or if a test could not run for lack of root
        #[arg(long)]
        docker: bool,
    },
    /// Check what the compiler does not: crate edges, manifests, file form, shell scripts
    Tidy,
    /// Check licences, versions and sources of dependencies
    Deny(Tools),
    /// Show the product's main job live, in a temporary home
    Demo(Tools),
    /// Measure Hermes beside the Python implementation, s6's tools and the floor of the machine
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
    /// Run the load test at full size: 450 gateways under a plain s6-svscan, 1,000 under `hermes up`
    Load(Tools),
    /// Do random things to a live tree, and compare it with a model after each
    Soak {
        #[command(flatten)]
        soak: soak::SoakOptions,
        #[command(flatten)]
        tools: Tools,
    },
    /// Install what the other tasks need: programs, the Python agent, cargo-deny
    Install(Tools),
}

/// What a task may do about missing programs.
#[derive(Args)]
struct Tools {
    /// Fail and name the command instead of installing missing programs
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
        Xtask::Demo(tools) => demo::run(tools.no_install),
        Xtask::Load(tools) => load::run(tools.no_install),
        Xtask::Soak { soak, tools } => soak::run(&soak, tools.no_install),
        Xtask::Install(tools) => test::for_test(tools.no_install),
    };
    // Not `-> Result`: that prints a backtrace where `RUST_BACKTRACE` is set.
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

/// The cargo that runs this task, so that all steps use one toolchain.
fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
