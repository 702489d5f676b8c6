//! What the suite needs of a service manager: a place with the program `hermes` in it, and six answers.

use serde_json::Value;

use crate::Hermes;

/// A machine, a container or a directory where one user has a home and gateways are supervised.
///
/// Each test has one of its own, without any profile but `default`, and drops it at its end: dropping it
/// owes the end of every process that it started. The provided methods ask nothing more of a backend;
/// [`Machine::serve`] and [`Machine::port`] are for those that differ there.
pub trait Machine {
    /// The program `hermes` with these arguments, not run yet: as the user whose home it is, and with the
    /// backend that is tested.
    fn hermes(&self, args: &[&str]) -> Hermes;

    /// A script of a POSIX shell, not run yet: as the same user, where that user's processes can be
    /// seen and killed, with the same `hermes` on its PATH.
    fn shell(&self, script: &str) -> Hermes;

    /// The absolute path of the user's root home, as the shell sees it.
    fn home(&self) -> String;

    /// Ends everything that is supervised and the service manager itself, as a reboot does, and starts
    /// the service manager again. Blocks until that has begun to start what it is to start. The home stays.
    fn restart(&mut self);

    /// What the service manager has of a profile's service: the paths of files and links, names of units
    /// or jobs. Empty if and only if there is no service.
    fn service_files(&self, profile: &str) -> Vec<String>;

    /// Everything that was written for the service manager about a profile's service, and everything that
    /// the service manager itself reports of it, as text. The profile has a service.
    fn rendered(&self, profile: &str) -> String;

    /// The command line that what is [rendered](Self::rendered) runs, without its first word.
    fn runs(&self) -> &'static str {
        "gateway start --foreground"
    }

    /// Gives a new profile its service. Nothing to do where `hermes profile create` does.
    fn serve(&self, _profile: &str) {}

    /// The port of a new profile. `None` leaves the choice to `hermes`, which suits a machine whose ports
    /// nobody else uses; elsewhere [`free_port`](crate::free_port) finds one.
    fn port(&self) -> Option<u16> {
        None
    }

    /// A gateway's status.
    #[track_caller]
    fn status(&self, profile: &str) -> Value {
        self.hermes(&["gateway", "status", profile, "--json"]).run().json()
    }

    /// Whether this process exists and is not a zombie.
    fn is_alive(&self, pid: u64) -> bool {
        let script = format!("grep -qs '^State:.[^ZX]' /proc/{pid}/status");
        self.shell(&script).run().code() == Some(0)
    }

    /// Kills a process that a status has just named.
    fn kill(&self, pid: u64) {
        self.shell(&format!("kill -9 {pid}")).ok();
    }

    /// Writes a profile's `config.yaml`.
    fn configure(&self, profile: &str, text: &str) {
        let path = format!("{}/profiles/{profile}/config.yaml", self.home());
        self.shell(&format!("cat >'{path}' <<'END'\n{text}END\n")).ok();
    }

    /// Makes a profile with the built-in gateway and its service.
    fn profile(&self, name: &str) {
        let port = self.port().map(|port| port.to_string());
        let port = port.iter().flat_map(|port| ["--port", port]);
        let args: Vec<_> = ["profile", "create", name].into_iter().chain(port).collect();
        self.hermes(&args).ok();
        self.serve(name);
    }

    /// Makes a profile whose gateway is `command`, a shell's, with its service. `more` are lines of
    /// YAML below `gateway:`.
    fn profile_running(&self, name: &str, command: &str, more: &str) {
        self.profile(name);
        let command = serde_json::to_string(command).expect("a string");
        self.configure(name, &format!("gateway:\n  command: [/bin/sh, -c, {command}]\n{more}"));
    }
}
