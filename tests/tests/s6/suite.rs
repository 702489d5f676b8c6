//! The conformance suite on a tree of `hermes up`, and the tests of what such a tree keeps by itself.

use std::fs;
use std::path::Path;

use hermes_tests::suite::Machine;
use hermes_tests::{Hermes, TestEnv, Up, free_port, lifecycle_suite, tree_suite};
use rustix::process::Signal;

/// A home with a tree. The tree is `None` only during a restart.
struct Tree(Option<Up>);

impl Tree {
    fn start() -> Self {
        let mut env = TestEnv::new();
        // `policy` tests the real delays.
        env.faster = 50;
        Self(Some(Up::start_in(env)))
    }

    fn env(&self) -> &TestEnv {
        &self.0.as_ref().expect("it is restarted by what has it alone").env
    }
}

impl Machine for Tree {
    fn hermes(&self, args: &[&str]) -> Hermes {
        self.env().hermes(args.iter().copied())
    }

    fn shell(&self, script: &str) -> Hermes {
        self.env().shell(script)
    }

    fn home(&self) -> String {
        self.env().home().to_str().expect("a UTF-8 path").to_owned()
    }

    fn restart(&mut self) {
        let up = self.0.take().expect("it is restarted by what has it alone");
        let (env, code) = up.end(Signal::TERM);
        assert_eq!(code, Some(0));
        self.0 = Some(Up::start_in(env));
    }

    fn service_files(&self, profile: &str) -> Vec<String> {
        let slot = self.env().slot(profile);
        slot.exists().then(|| slot.display().to_string()).into_iter().collect()
    }

    fn rendered(&self, profile: &str) -> String {
        texts_below(&self.env().slot(profile))
    }

    fn port(&self) -> Option<u16> {
        Some(free_port())
    }
}

/// The text of all regular files below a directory.
fn texts_below(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text += &texts_below(&path);
        } else if path.is_file() {
            text += &String::from_utf8_lossy(&fs::read(&path).expect("a readable file"));
        }
    }
    text
}

lifecycle_suite!(Tree::start());
tree_suite!(Tree::start());
