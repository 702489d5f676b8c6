//! The conformance suite under the example's backend.

use std::fs;

use hermes_tests::suite::Machine;
use hermes_tests::{
    Hermes, TestEnv, custom_backend_program, eventually, free_port, lifecycle_suite,
    processes_naming,
};

/// A home whose gateways have a supervisor process each.
pub(crate) struct Home(pub(crate) TestEnv);

impl Home {
    pub(crate) fn new() -> Self {
        let mut env = TestEnv::new();
        env.program = custom_backend_program;
        env.faster = 50;
        Self(env)
    }

    /// Kills supervisors and gateways, until none has been able to start another.
    fn kill_all(&self) {
        let path = self.home();
        eventually("all processes have ended", || {
            self.0.end_processes();
            processes_naming(&path).is_empty().then_some(())
        });
    }
}

impl Machine for Home {
    fn hermes(&self, args: &[&str]) -> Hermes {
        self.0.hermes(args.iter().copied()).env("HERMES_BACKEND", "solo")
    }

    fn shell(&self, script: &str) -> Hermes {
        self.0.shell(script).env("HERMES_BACKEND", "solo")
    }

    fn home(&self) -> String {
        self.0.home().to_str().expect("a UTF-8 path").to_owned()
    }

    fn restart(&mut self) {
        self.kill_all();
        self.hermes(&["boot"]).ok();
    }

    fn service_files(&self, profile: &str) -> Vec<String> {
        let service = self.0.home().join("solo").join(profile);
        service.exists().then(|| service.display().to_string()).into_iter().collect()
    }

    fn rendered(&self, profile: &str) -> String {
        let service = self.service_files(profile).remove(0);
        let files = fs::read_dir(service).expect("a directory").map(|file| {
            fs::read_to_string(file.expect("an entry").path()).expect("a readable file")
        });
        files.collect()
    }

    fn port(&self) -> Option<u16> {
        Some(free_port())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.kill_all();
    }
}

lifecycle_suite!(Home::new());
