//! The conformance suite under a lingering user's systemd.

use hermes_tests::container::{Container, Start};
use hermes_tests::suite::Machine;
use hermes_tests::{Hermes, lifecycle_suite};

/// A container whose process 1 is systemd.
pub(crate) struct Host(pub(crate) Container);

/// The directory of a user's units.
pub(crate) const UNITS: &str = "/home/hermes/.config/systemd/user";

pub(crate) fn host() -> Host {
    Host(Start::systemd().booted())
}

impl Host {
    /// systemctl for the manager of `hermes`.
    pub(crate) fn systemctl(&self, args: &str) -> Hermes {
        self.shell(&format!("XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user {args}"))
    }
}

impl Machine for Host {
    fn hermes(&self, args: &[&str]) -> Hermes {
        self.0.hermes(args.iter().copied())
    }

    fn shell(&self, script: &str) -> Hermes {
        self.0.shell(script)
    }

    fn home(&self) -> String {
        self.0.home().to_owned()
    }

    fn serve(&self, profile: &str) {
        self.hermes(&["gateway", "install", profile]).ok();
    }

    fn restart(&mut self) {
        self.0.docker("restart");
        self.0.await_boot(2);
    }

    fn service_files(&self, profile: &str) -> Vec<String> {
        let find = format!("find {UNITS} -name '*@{profile}.service'");
        let units =
            self.systemctl(&format!("list-units --plain --no-legend '*@{profile}.service'"));
        let (files, units) = (self.shell(&find).ok().stdout, units.ok().stdout);
        files.lines().chain(units.lines()).map(str::to_owned).collect()
    }

    fn rendered(&self, profile: &str) -> String {
        let files = self.shell(&format!("find {UNITS} -type f -exec cat {{}} +")).ok().stdout;
        files + &self.systemctl(&format!("show 'hermes-gateway@{profile}.service'")).ok().stdout
    }
}

lifecycle_suite!(host());
