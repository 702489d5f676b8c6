//! The conformance suite under the image's s6, and the tests of what its tree keeps by itself.

use hermes_tests::container::{Container, Start};
use hermes_tests::suite::Machine;
use hermes_tests::{Hermes, lifecycle_suite, tree_suite};

/// A container of the image.
struct Image {
    container: Container,
    boots: usize,
}

fn image() -> Image {
    // `policy` tests the real delays.
    let container = Start::new().env("HERMES_TEST_FASTER", "10").booted();
    Image { container, boots: 1 }
}

impl Machine for Image {
    fn hermes(&self, args: &[&str]) -> Hermes {
        self.container.hermes(args.iter().copied())
    }

    fn shell(&self, script: &str) -> Hermes {
        self.container.shell(script)
    }

    fn home(&self) -> String {
        self.container.home().to_owned()
    }

    fn restart(&mut self) {
        self.container.docker("restart");
        self.boots += 1;
        self.container.await_boot(self.boots);
    }

    fn service_files(&self, profile: &str) -> Vec<String> {
        let find = format!("find /run -maxdepth 3 -name 'gateway-{profile}' 2>/dev/null; true");
        self.shell(&find).ok().stdout.lines().map(str::to_owned).collect()
    }

    fn rendered(&self, profile: &str) -> String {
        let print = "find \"$1\" -type f -exec cat {} + 2>/dev/null | tr -cd '[:print:]\\n'";
        let slot = self.service_files(profile).remove(0);
        self.container.exec(["sh", "-c", print, "sh", &slot]).ok().stdout
    }
}

lifecycle_suite!(image());
tree_suite!(image());
