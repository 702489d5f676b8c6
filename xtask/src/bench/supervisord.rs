//! supervisord from PyPI, which runs the same gateways.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::testbed::{Home, Testbed, time, until};
use crate::agent;

/// Its package.
pub(super) const REQUIREMENT: &str = "supervisor==4.3.0";

/// The installed programs.
pub(super) struct Supervisor {
    bin: PathBuf,
}

impl Supervisor {
    /// Installs it unless it is installed.
    pub(super) fn install(no_install: bool) -> Result<Self> {
        let installed = agent::install("supervisor", &[REQUIREMENT], None, no_install)?;
        Ok(Self { bin: installed.join("bin") })
    }

    /// Starts supervisord with the gateways of `home`, all of which are down.
    pub(super) fn start<'a>(&'a self, testbed: &Testbed, home: &'a Home) -> Result<Running<'a>> {
        let dir = testbed.path().join("supervisord");
        fs::create_dir_all(&dir)?;
        let file = dir.join("supervisord.conf");
        fs::write(&file, configuration(&dir, &testbed.hermes, &home.gateways()))?;
        let mut command = home.command(&self.bin.join("supervisord"));
        // Only the bench gets Ctrl-C; it then stops it.
        command.arg("-n").arg("-c").arg(&file).process_group(0).stderr(Stdio::null());
        let child = command.spawn().context("failed to run supervisord")?;
        let mut running = Running { home, control: self.bin.join("supervisorctl"), file, child };
        until("supervisord answers", || {
            anyhow::ensure!(running.child.try_wait()?.is_none(), "supervisord has ended");
            Ok(running.command(&["pid"]).status()?.success())
        })?;
        Ok(running)
    }
}

/// A supervisord, which is ended on drop, and its gateways with it.
pub(super) struct Running<'a> {
    home: &'a Home,
    control: PathBuf,
    file: PathBuf,
    child: Child,
}

impl Running<'_> {
    /// Starts, restarts or stops all gateways, and returns how many milliseconds that took.
    pub(super) fn change(&self, verb: &str) -> Result<f64> {
        time(self.command(&[verb, "all"]), &[0])
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(&self.control);
        command.arg("-c").arg(&self.file).args(args).stderr(Stdio::null());
        command
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["shutdown"]).status();
        let _ = self.child.wait();
    }
}

/// A configuration with a program for each of these gateways, which it starts only when told to.
fn configuration(dir: &Path, hermes: &Path, gateways: &[String]) -> String {
    let (dir, hermes) = (dir.display(), hermes.display());
    // One for the output of each, and one while it starts.
    let descriptors = 4 * gateways.len() + 100;
    let mut text = format!(
        "[supervisord]\nlogfile={dir}/supervisord.log\npidfile={dir}/supervisord.pid\nchildlogdir={dir}\n\
         minfds={descriptors}\n\
         [unix_http_server]\nfile={dir}/control\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{dir}/control\n"
    );
    for name in gateways {
        let _ = write!(
            text,
            "[program:{name}]\ncommand={hermes} -p {name} gateway start --foreground\n\
             autostart=false\nredirect_stderr=true\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gateway_is_a_program_that_waits_for_a_command() {
        let gateways = ["a", "default"].map(str::to_owned);
        let text = configuration(Path::new("/d"), Path::new("/bin/hermes"), &gateways);
        let begin =
            "[program:default]\ncommand=/bin/hermes -p default gateway start --foreground\n";
        assert!(text.contains(begin) && text.contains("minfds=108\n"), "{text}");
        assert_eq!(text.matches("\nautostart=false\n").count(), 2);
    }
}
