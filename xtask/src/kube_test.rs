//! `cargo xtask kube-test`: runs the conformance suite, and what only a cluster can show, on the cluster that kubectl is
//! configured for.
//!
//! The tests are the target `cluster` of the crate `tests`. Each installs `deploy/kubernetes/cluster` in a namespace of its
//! own, with a label by which everything is removed at the end, also if the tests were killed.

use anyhow::{Context, Result};
use clap::Args;
use xshell::{Shell, cmd};

use crate::image::{self, ImageOptions};

/// How many tests run at the same time: each has a namespace, and its console and gateways in it.
const THREADS: &str = "2";

/// Options of `cargo xtask kube-test`.
#[derive(Args)]
pub(crate) struct KubeOptions {
    /// The image, by a name that the cluster can pull [default: built now, for a cluster that uses this machine's images]
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// The storage class of volumes that several nodes can mount [default: the cluster's own default]
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// A storage class of volumes that can't lock files
    #[arg(long, value_name = "CLASS")]
    class_without_locks: Option<String>,
    /// A shell's command that has the node `$NODE` answer no more; the console is on another one
    #[arg(long, value_name = "COMMAND", requires = "find_node")]
    lose_node: Option<String>,
    /// The command that has it answer again
    #[arg(long, value_name = "COMMAND", requires = "lose_node")]
    find_node: Option<String>,
    /// How many gateways the test of many runs
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    gateways: usize,
    /// Keep the namespaces of failed tests
    #[arg(long)]
    keep: bool,
    /// Run only tests whose names contain this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

/// Runs the tests.
pub(crate) fn run(test: &KubeOptions, no_install: bool) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let server = "jsonpath={.clusters[0].cluster.server}";
    let server = cmd!(shell, "kubectl config view --minify --output {server}").quiet().read();
    let server = server.context("kubectl knows no cluster; KUBECONFIG names its configuration")?;
    println!("kube-test: on the cluster `{server}`");
    cmd!(shell, "kubectl version").quiet().run().context("the cluster does not answer")?;
    let run = std::process::id();
    let image = match &test.image {
        Some(image) => image.clone(),
        None => built(run, no_install)?,
    };
    let label = format!("hermes.test={run}");
    let gateways = test.gateways.to_string();
    let given = [
        ("HERMES_TEST_STORAGE_CLASS", &test.class),
        ("HERMES_TEST_CLASS_WITHOUT_LOCKS", &test.class_without_locks),
        ("HERMES_TEST_LOSE_NODE", &test.lose_node),
        ("HERMES_TEST_FIND_NODE", &test.find_node),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let tests = shell
        .cmd(crate::cargo())
        // With the whole workspace, dependencies have the same features as in all other tests and are not built again.
        .args(["test", "--locked", "--workspace", "--features", "hermes-tests/cluster"])
        .args(["--test", "cluster", "--"])
        .args(&test.filter)
        .env("HERMES_TEST_IMAGE", &image)
        .env("HERMES_TEST_LABEL", &label)
        .env("HERMES_TEST_GATEWAYS", &gateways)
        .envs(given)
        .envs(test.keep.then_some(("HERMES_TEST_KEEP", "1")))
        .envs(
            std::env::var_os("RUST_TEST_THREADS")
                .is_none()
                .then_some(("RUST_TEST_THREADS", THREADS)),
        );
    let done = tests.quiet().run().context("a test on the cluster failed");
    if test.keep {
        println!(
            "kube-test: namespaces of failed tests: kubectl get namespaces --selector {label}"
        );
        return done;
    }
    let removed = cmd!(shell, "kubectl delete namespaces --selector {label}");
    done.and(removed.quiet().run().context("failed to remove the namespaces of the tests"))
}

/// Builds the image, and returns its name.
fn built(run: u32, no_install: bool) -> Result<String> {
    let tag = format!("hermes-test:{run}");
    let options = ImageOptions { base: None, tag: tag.clone(), labels: Vec::new() };
    image::run(&options, no_install)?;
    Ok(tag)
}
