//! `docker compose` on a compose file of the Python agent's users, with their image's name changed to that of the image
//! under test, which has the agent in it.
//!
//! Beside that, only what would collide with other tests differs from the file: the containers have unique names, and
//! the network of the host is that of one more container, which the services share as they share the host's.

use std::fs;
use std::process::{Command, Stdio};

use crate::container::{Container, Start, label, unique};
use crate::{Hermes, is_root};

/// The services' containers, their network, and the user's home directory, in which `~/.hermes` is.
#[derive(Debug)]
pub struct Compose {
    gateway: Container,
    dashboard: Container,
    _network: Container,
    user: tempfile::TempDir,
}

impl Compose {
    /// The project of the file `text`, whose image is `hermes-agent` and whose containers are `hermes` and
    /// `hermes-dashboard`.
    pub fn new(text: &str) -> Self {
        let idle = Start::with_agent().options(["--entrypoint", "sleep"]).command(["infinity"]);
        let network = idle.detached();
        let [gateway, dashboard] = [unique(), unique()].map(Container::named);
        let image = Start::with_agent().image();
        let mut changed = text.to_owned();
        for (theirs, ours) in [
            ("image: hermes-agent\n", format!("image: {image}\n")),
            ("container_name: hermes\n", format!("container_name: {}\n", gateway.name())),
            (
                "container_name: hermes-dashboard\n",
                format!("container_name: {}\n", dashboard.name()),
            ),
            ("network_mode: host\n", format!("network_mode: container:{}\n", network.name())),
        ] {
            assert!(changed.contains(theirs), "{theirs}");
            changed = changed.replace(theirs, &ours);
        }
        let (key, value) = label().split_once('=').expect("a label with a value");
        let labelled = format!("    labels:\n      {key}: \"{value}\"\n    restart:");
        let changed = changed.replace("    restart:", &labelled);
        let user = tempfile::tempdir().expect("a directory");
        fs::write(user.path().join("docker-compose.yml"), changed).expect("space on the disk");
        Self { gateway, dashboard, _network: network, user }
    }

    /// The container of the service `gateway`.
    pub fn gateway(&self) -> &Container {
        &self.gateway
    }

    /// The container of the service `dashboard`.
    pub fn dashboard(&self) -> &Container {
        &self.dashboard
    }

    /// A command of the agent's in a container of its own, as its users run `setup` first.
    pub fn agent<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        self.compose(["run", "--rm", "--no-deps", "-T", "gateway"]).args(args)
    }

    /// Starts the services.
    #[track_caller]
    pub fn up(&self) {
        self.compose(["up", "--detach"]).ok();
    }

    /// Stops the services.
    #[track_caller]
    pub fn stop(&self) {
        self.compose(["stop"]).ok();
    }

    /// Stops the services and removes their containers.
    #[track_caller]
    pub fn down(&self) {
        self.compose(["down"]).ok();
    }

    /// What a user types: `docker compose exec gateway hermes …`.
    pub fn hermes<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        self.compose(["exec", "-T", "gateway", "hermes"]).args(args)
    }

    /// Reads a file below the user's home directory.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.user.path().join(path)).expect("it is there")
    }

    /// Writes a file below the user's home directory, as the user.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.user.path().join(path);
        fs::create_dir_all(path.parent().expect("it is below")).expect("space on the disk");
        fs::write(path, text).expect("space on the disk");
    }

    fn compose<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        let plugin = Command::new("docker")
            .args(["compose", "version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let mut command = if plugin.is_ok_and(|status| status.success()) {
            let mut docker = Command::new("docker");
            docker.arg("compose");
            docker
        } else {
            Command::new("docker-compose")
        };
        command.current_dir(self.user.path()).env("HOME", self.user.path());
        command.args(["--project-name", self.gateway.name()]);
        let command = Hermes::new(command).args(args);
        if is_root() {
            return command;
        }
        // The home is this user's, as with the line that the file recommends.
        let [uid, gid] = [rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()];
        command.env("HERMES_UID", &uid.to_string()).env("HERMES_GID", &gid.to_string())
    }
}
