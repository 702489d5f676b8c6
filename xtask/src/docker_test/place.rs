//! What is tested in containers of one base: the images that the tests need, and the programs that run them.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::TestOptions;
use crate::image::{Distribution, ImageOptions};
use crate::test_programs::{self, THREADS, TestProgram};
use crate::{agent, agent_image, docker, image, program, systemd_image};

/// The release whose Python, 3.14, is newer than the agent allows.
const WITHOUT_AGENT: &str = "sid";
/// The modules of container tests with the Python agent.
const WITH_AGENT: &str = "compose::";
/// Those whose results do not depend on a release's s6: one release is enough.
const ON_ONE_RELEASE: [&str; 5] =
    [WITH_AGENT, "agent_files::", "command::", "dashboard::", "linked_statically::"];
/// Those of the tests under systemd which need the Python agent of this machine.
const WITH_HOSTS_AGENT: &str = "adopt::";
/// The tests on a live s6 that run in a container of each other release, whose s6 has another size of status records, other
/// options and other limits. On this machine `cargo xtask test` runs them.
const LIVE: [&str; 10] = [
    "doctor_tree",
    "lifecycle",
    "load",
    "orphan",
    "rename",
    "rollback",
    "s6",
    "s6_diff",
    "stop",
    "up",
];
/// How many containers with systemd run at the same time. Each has a systemd of its own, which is much for a small machine.
const SYSTEMD_THREADS: &str = "3";
/// Where the live tests and `hermes` are in their container.
const THERE: [&str; 2] = ["/tests/program", "/tests/hermes"];

/// The programs of the tests.
pub(super) struct Programs {
    tests: BTreeMap<String, TestProgram>,
    /// The program under test, for live tests.
    hermes: String,
}

impl Programs {
    /// Builds what the tests on `places` need.
    pub(super) fn build(places: &[Place]) -> Result<Self> {
        // With the whole workspace, dependencies have the same features as in all other tests and are not built again.
        let all = ["test", "--locked", "--workspace"];
        let docker =
            ["--features", "hermes-tests/docker", "--test", "container", "--test", "systemd"];
        let mut tests = test_programs::build(&[&all[..], &docker].concat())?;
        let mut hermes = String::new();
        if places.iter().any(|place| place.has_live) {
            let live = LIVE.iter().flat_map(|name| ["--test", name]);
            tests.extend(test_programs::build(&all.into_iter().chain(live).collect::<Vec<_>>())?);
            let built = program::executables(&["build", "--locked", "--package", "hermes-cli"])?;
            let built = built.into_iter().find(|(artifact, _)| artifact.target.name == "hermes");
            let (_, path) = built.context("hermes-cli has no program `hermes`")?;
            hermes = path.to_str().context("a path is not valid UTF-8")?.to_owned();
        }
        let tests = tests.into_iter().map(|program| (program.name.clone(), program)).collect();
        Ok(Self { tests, hermes })
    }

    fn command(&self, name: &str) -> Command {
        self.tests[name].command()
    }
}

/// A base of images.
pub(super) struct Place {
    /// Its release; none with an image that the caller named.
    release: Option<Distribution>,
    base: Option<String>,
    /// Whether all tests run, and not only those that depend on the release.
    is_here: bool,
    /// Whether live tests run: not on this machine's release, where `cargo xtask test` runs them, and not on an older one,
    /// whose C library is older than that of the programs.
    has_live: bool,
}

impl Place {
    /// An image that the caller named.
    pub(super) fn on(base: &str) -> Self {
        Self { release: None, base: Some(base.to_owned()), is_here: true, has_live: false }
    }

    /// Each of the releases, from the oldest to the newest; `here` is this machine's.
    pub(super) fn all(releases: Vec<Distribution>, here: &Distribution) -> Vec<Self> {
        let is_newer = releases.iter().skip_while(|release| *release != here).skip(1).cloned();
        let newer: Vec<_> = is_newer.collect();
        let place = |release: Distribution| Self {
            base: None,
            is_here: release == *here,
            has_live: newer.contains(&release),
            release: Some(release),
        };
        releases.into_iter().map(place).collect()
    }

    pub(super) fn name(&self) -> &str {
        let codename = self.release.as_ref().map(|release| release.codename.as_str());
        codename.or(self.base.as_deref()).unwrap_or_default()
    }

    /// The end of the names of its programs.
    pub(super) fn suffix(&self) -> String {
        format!(" on {}", self.name())
    }

    /// The command that runs its tests alone.
    pub(super) fn alone(&self) -> String {
        let option = if self.release.is_some() { "release" } else { "base" };
        format!("cargo xtask docker-test --{option} {}", self.name())
    }

    fn tests_agent(&self, test: &TestOptions) -> bool {
        self.is_here && !test.no_agent && self.name() != WITHOUT_AGENT
    }

    /// The names of a run's images: the program on the base, with the Python agent, and with systemd.
    pub(super) fn tags(&self, run: u32) -> [String; 3] {
        let name = self.name().replace(['/', ':', '@'], "-").to_lowercase();
        ["", "-agent", "-systemd"].map(|kind| format!("hermes-test:{run}-{name}{kind}"))
    }

    /// Builds the images.
    pub(super) fn build(
        &self,
        shell: &Shell,
        test: &TestOptions,
        run: u32,
        no_install: bool,
    ) -> Result<()> {
        let [tag, with_agent, with_systemd] = self.tags(run);
        let base = match (&self.base, &self.release) {
            (Some(base), _) => base.clone(),
            (None, Some(release)) => image::base_of(shell, release, no_install)?,
            (None, None) => image::base(shell, None, no_install)?,
        };
        let options = ImageOptions { base: Some(base.clone()), tag, labels: Vec::new() };
        image::run(&options, no_install)?;
        if self.tests_agent(test) {
            docker::ensure_compose(shell, no_install)?;
            agent_image::build(shell, Some(&base), &with_agent, no_install)?;
        }
        if let Some(release) = &self.release {
            systemd_image::build(shell, release, &with_systemd, no_install)?;
            if self.is_here {
                agent::ensure(no_install)?;
            }
            println!("docker-test: {} has {}", self.name(), versions(shell, &with_systemd)?);
        }
        Ok(())
    }

    /// The programs to run, each with its name.
    pub(super) fn jobs(
        &self,
        shell: &Shell,
        test: &TestOptions,
        programs: &Programs,
        run: u32,
        label: &str,
    ) -> Vec<(String, Command)> {
        let [tag, with_agent, with_systemd] = self.tags(run);
        let mut jobs = Vec::new();
        let mut add = |name: &str, mut command: Command| {
            command.args(&test.filter).env("HERMES_TEST_LABEL", label);
            command.envs(test.keep.then_some(("HERMES_TEST_KEEP", "1")));
            jobs.push((format!("{name}{}", self.suffix()), command));
        };
        let container = || {
            let mut command = programs.command("container");
            command.env("HERMES_TEST_IMAGE", &tag).env("HERMES_TEST_AGENT_IMAGE", &with_agent);
            match (self.is_here, self.tests_agent(test)) {
                (true, true) => {}
                (true, false) => drop(command.args(skip(&[WITH_AGENT]))),
                (false, _) => drop(command.args(skip(&ON_ONE_RELEASE))),
            }
            command
        };
        add("container", container());
        if has_overlay(shell, &tag) {
            let mut command = container();
            // These can't pass under root's s6-svscan.
            command.args(skip(&["unprivileged::"])).env("HERMES_TEST_SUPERVISION", "root");
            add("container with HERMES_SUPERVISION=root", command);
        }
        if let Some(release) = &self.release {
            let mut command = programs.command("systemd");
            command.env("HERMES_TEST_SYSTEMD_IMAGE", &with_systemd).env(THREADS.0, SYSTEMD_THREADS);
            if !self.is_here {
                command.args(skip(&[WITH_HOSTS_AGENT]));
            }
            add("systemd", command);
            if self.has_live {
                for name in LIVE {
                    add(name, live(programs, name, &systemd_image::name_of_base(release), label));
                }
            }
        }
        jobs
    }
}

/// The options that leave out modules of tests.
fn skip(modules: &[&str]) -> Vec<String> {
    modules.iter().map(|module| format!("--skip={module}")).collect()
}

/// Runs a program of live tests in a container of its own. It may look at processes of the tests' user and mount file systems,
/// as root may on this machine. There is no network: the tests are among themselves.
fn live(programs: &Programs, name: &str, base: &str, label: &str) -> Command {
    let mut command = Command::new("docker");
    let here = [programs.tests[name].path.display().to_string(), programs.hermes.clone()];
    let volumes = here.iter().zip(THERE).map(|(here, there)| format!("--volume={here}:{there}:ro"));
    command.args(["run", "--rm", "--init", "--network=none"]);
    command.args(["--cap-add=SYS_PTRACE", "--cap-add=SYS_ADMIN", "--label", label]).args(volumes);
    command.arg(format!("--env=HERMES_TEST_PROGRAM={}", THERE[1]));
    command.arg(format!("--env={}={}", THREADS.0, THREADS.1)).args([base, THERE[0]]);
    command
}

/// The versions of what differs between releases.
fn versions(shell: &Shell, image: &str) -> Result<String> {
    let list = "dpkg-query --show --showformat='${Package} ${Version}\\n' s6 systemd";
    let run = ["run", "--rm", "--entrypoint=sh", image, "-c", list];
    let versions = shell.cmd("docker").args(run).quiet().read()?;
    ensure!(versions.contains("s6 ") && versions.contains("systemd "), "no versions: {versions}");
    Ok(versions.replace('\n', ", "))
}

fn has_overlay(shell: &Shell, tag: &str) -> bool {
    let probe = ["run", "--rm", "--entrypoint", "test", tag, "-d", "/package/admin/s6-overlay"];
    shell.cmd("docker").args(probe).quiet().ignore_stderr().run().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_what_differs_there() {
        let release = |codename: &str| Distribution {
            name: "debian".to_owned(),
            codename: codename.to_owned(),
        };
        let releases = ["bookworm", "trixie", "sid"].map(release);
        let places = Place::all(releases.to_vec(), &release("trixie"));
        let facts: Vec<_> =
            places.iter().map(|place| (place.name(), place.is_here, place.has_live)).collect();
        let expected = [("bookworm", false, false), ("trixie", true, false), ("sid", false, true)];
        assert_eq!(facts, expected);
        assert_eq!(places[0].alone(), "cargo xtask docker-test --release bookworm");
        assert_eq!(Place::on("debian:13").alone(), "cargo xtask docker-test --base debian:13");
    }
}
