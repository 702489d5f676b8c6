//! Finds the programs and Python modules that the other tasks need, and installs missing ones.
//!
//! It installs with `apt-get`, as root or through `sudo -n`, and prints every command before it runs. If neither works, it
//! fails and prints the command for a person to run.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

/// Programs and Python modules, and the Debian packages that contain them.
pub(crate) struct Tool {
    programs: &'static [&'static str],
    modules: &'static [&'static str],
    packages: &'static [&'static str],
}

const S6: Tool = Tool {
    programs: &["s6-svscan", "s6-supervise", "s6-svstat", "s6-svc", "s6-log"],
    modules: &[],
    packages: &["s6", "execline"],
};
const SHELLCHECK: Tool =
    Tool { programs: &["shellcheck"], modules: &[], packages: &["shellcheck"] };
const STRACE: Tool = Tool { programs: &["strace"], modules: &[], packages: &["strace"] };
/// Sets the wall clock of a process.
const FAKETIME: Tool = Tool { programs: &["faketime"], modules: &[], packages: &["faketime"] };
/// Creates the virtual environments of the Python agent and of python-dotenv.
const VENV: Tool = Tool { programs: &[], modules: &["ensurepip"], packages: &["python3-venv"] };
/// Reads launchd's property lists on a machine that is not a Mac.
const PLISTUTIL: Tool =
    Tool { programs: &["plistutil"], modules: &[], packages: &["libplist-utils"] };

/// The browser for the dashboard's tests, and its WebDriver.
const BROWSER: Tool = Tool {
    programs: &["chromium", "chromedriver"],
    modules: &[],
    packages: &["chromium", "chromium-driver"],
};

/// A reverse proxy for the dashboard's tests.
const HAPROXY: Tool = Tool { programs: &["haproxy"], modules: &[], packages: &["haproxy"] };

const MMDEBSTRAP: Tool =
    Tool { programs: &["mmdebstrap"], modules: &[], packages: &["mmdebstrap"] };

/// Runs compose files where Docker has no plugin for them.
const COMPOSE: Tool =
    Tool { programs: &["docker-compose"], modules: &[], packages: &["docker-compose"] };

/// Tools that make a base image if none can be pulled.
pub(crate) const FOR_BASE: &[Tool] = &[MMDEBSTRAP];
/// Tools of the tests with compose files.
pub(crate) const FOR_COMPOSE: &[Tool] = &[COMPOSE];
/// Tools of `cargo xtask demo`.
pub(crate) const FOR_DEMO: &[Tool] = &[S6];
/// Tools of `cargo xtask test`.
pub(crate) const FOR_TEST: &[Tool] =
    &[S6, SHELLCHECK, STRACE, FAKETIME, VENV, PLISTUTIL, BROWSER, HAPROXY];

/// Installs each missing one of `tools`; with `no_install` a missing one is an error.
pub(crate) fn ensure(tools: &[Tool], no_install: bool) -> Result<()> {
    let lacking = lacking(tools);
    if lacking.is_empty() {
        return Ok(());
    }
    let missing = missing(&lacking).join(", ");
    let packages: Vec<_> = lacking.iter().flat_map(|tool| tool.packages).copied().collect();
    let host = Host::gather();
    let Some(by_hand) = host.by_hand(&packages) else {
        bail!(
            "missing: {missing}; install the packages {} (https://skarnet.org/software/s6/)",
            packages.join(", ")
        );
    };
    if no_install {
        bail!("missing: {missing}; to install: {by_hand}");
    }
    let Some(prefix) = host.unattended() else {
        bail!(
            "missing: {missing}; installing them needs root or a sudo without password; run: {by_hand}"
        );
    };

    println!("missing: {missing}; installing {}", packages.join(", "));
    let shell = Shell::new()?;
    let install =
        apt(prefix, &[&["install", "--yes", "--no-install-recommends"], &packages[..]].concat());
    if run(&shell, &install).is_err() {
        println!("updating the package lists, which may be missing or old");
        run(&shell, &apt(prefix, &["update"]))
            .and_then(|()| run(&shell, &install))
            .with_context(|| format!("failed to install {}", packages.join(", ")))?;
    }
    let still = self::missing(&self::lacking(tools));
    ensure!(
        still.is_empty(),
        "installed {}, but still missing: {}",
        packages.join(", "),
        still.join(", ")
    );
    Ok(())
}

/// The full path of a program: s6-overlay's `/command` first, then `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_in(program, [PathBuf::from("/command")].into_iter().chain(env::split_paths(&path)))
}

fn find_in(program: &str, mut dirs: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    dirs.find_map(|dir| Some(dir.join(program)).filter(|path| is_executable(path)))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A Python that has `module`. The system's own comes first: other users may have no access to that of a version
/// manager.
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    let shell = Shell::new().ok()?;
    let system = Some(PathBuf::from("/usr/bin/python3")).filter(|path| is_executable(path));
    system.into_iter().chain(find("python3")).find(|python| {
        let import = shell.cmd(python).args(["-I", "-c", &format!("import {module}")]);
        import.quiet().ignore_stderr().run().is_ok()
    })
}

fn lacking(tools: &[Tool]) -> Vec<&Tool> {
    tools.iter().filter(|tool| !missing(&[tool]).is_empty()).collect()
}

fn missing(tools: &[&Tool]) -> Vec<String> {
    let programs = tools.iter().flat_map(|tool| tool.programs);
    let programs = programs.filter(|program| find(program).is_none());
    let modules = tools.iter().flat_map(|tool| tool.modules);
    let modules = modules.filter(|module| python_with(module).is_none());
    let modules = modules.map(|module| format!("python3 with `{module}`"));
    programs.map(ToString::to_string).chain(modules).collect()
}

/// The name of a Debian package in another package manager.
fn name_in<'a>(manager: &str, package: &'a str) -> &'a str {
    match (manager, package) {
        ("apk" | "brew" | "pacman", "faketime") => "libfaketime",
        ("apk", "libplist-utils") => "libplist-util",
        ("brew" | "pacman", "libplist-utils") => "libplist",
        // Part of Python itself there.
        ("apk" | "brew", "python3-venv") => "python3",
        ("pacman", "python3-venv") => "python",
        ("apk", "docker-compose") => "docker-cli-compose",
        ("apk", "chromium-driver") => "chromium-chromedriver",
        // Part of the browser's package there.
        ("pacman", "chromium-driver") => "chromium",
        ("brew", "chromium-driver") => "chromedriver",
        _ => package,
    }
}

/// How packages are installed on this machine.
struct Host {
    /// The program of the package manager.
    manager: Option<&'static str>,
    root: bool,
    /// Whether `sudo` works without a password.
    sudo: bool,
}

impl Host {
    fn gather() -> Self {
        let root = rustix::process::geteuid().is_root();
        let manager = ["apt-get", "apk", "brew", "pacman"]
            .into_iter()
            .find(|program| find(program).is_some());
        let sudo = !root
            && find("sudo").is_some()
            && Shell::new().is_ok_and(|shell| {
                shell.cmd("sudo").args(["-n", "true"]).quiet().ignore_stderr().run().is_ok()
            });
        Self { manager, root, sudo }
    }

    /// The command for a person to type, if the package manager is known.
    fn by_hand(&self, packages: &[&str]) -> Option<String> {
        let manager = self.manager?;
        let verb = match manager {
            "apk" => "add",
            "pacman" => "-S",
            _ => "install",
        };
        let sudo = if self.root || manager == "brew" { "" } else { "sudo " };
        let packages: Vec<_> = packages.iter().map(|package| name_in(manager, package)).collect();
        Some(format!("{sudo}{manager} {verb} {}", packages.join(" ")))
    }

    /// The words before `apt-get` that let it run without a question; none if it can't.
    fn unattended(&self) -> Option<&'static [&'static str]> {
        match self {
            Self { manager: Some("apt-get"), root: true, .. } => Some(&[]),
            Self { manager: Some("apt-get"), sudo: true, .. } => Some(&["sudo", "-n"]),
            _ => None,
        }
    }
}

fn apt<'a>(prefix: &[&'a str], args: &[&'a str]) -> Vec<&'a str> {
    // `env` instead of the child's environment, which sudo drops; and so the printed command is complete.
    [prefix, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], args].concat()
}

/// Prints a command and runs it.
pub(crate) fn run(shell: &Shell, command: &[&str]) -> Result<()> {
    let (program, args) = command.split_first().context("an empty command")?;
    println!("$ {}", command.join(" "));
    Ok(shell.cmd(program).args(args).quiet().run()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_by_hand_fits_the_machine() {
        let line =
            |manager, root| Host { manager, root, sudo: false }.by_hand(&["s6", "libplist-utils"]);
        assert_eq!(
            line(Some("apt-get"), false).as_deref(),
            Some("sudo apt-get install s6 libplist-utils")
        );
        assert_eq!(line(Some("apk"), true).as_deref(), Some("apk add s6 libplist-util"));
        assert_eq!(line(Some("brew"), false).as_deref(), Some("brew install s6 libplist"));
        assert_eq!(line(Some("pacman"), false).as_deref(), Some("sudo pacman -S s6 libplist"));
        assert_eq!(line(None, true), None);
    }

    #[test]
    fn only_apt_installs_and_only_without_a_question() {
        let prefix = |manager, root, sudo| Host { manager: Some(manager), root, sudo }.unattended();
        assert_eq!(prefix("apt-get", true, false), Some(&[][..]));
        assert_eq!(prefix("apt-get", false, true), Some(&["sudo", "-n"][..]));
        assert_eq!(prefix("apt-get", false, false), None);
        assert_eq!(prefix("apk", true, false), None);
    }

    #[test]
    fn apt_is_noninteractive() {
        let command = apt(&["sudo", "-n"], &["update"]);
        assert_eq!(command.join(" "), "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get update");
    }

    #[test]
    fn the_first_directory_with_an_executable_file_wins() {
        let [empty, plain, good] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        for (dir, mode) in [(&plain, 0o644), (&good, 0o755)] {
            fs::write(dir.path().join("s6-svc"), "").unwrap();
            fs::set_permissions(dir.path().join("s6-svc"), fs::Permissions::from_mode(mode))
                .unwrap();
        }
        fs::create_dir(empty.path().join("s6-svc")).unwrap();
        let dirs = || [&empty, &plain, &good].into_iter().map(|dir| dir.path().to_owned());
        assert_eq!(find_in("s6-svc", dirs()), Some(good.path().join("s6-svc")));
        assert_eq!(find_in("s6-log", dirs()), None);
    }
}
