//! Jobs that create and remove service directories, each timed until its supervisors run or are gone.

use std::path::Path;

use anyhow::Result;

use super::super::sample::{Sampler, Side};
use super::super::testbed::{Home, Tree, time, until};
use super::{Bench, Job, Rule};

/// The profile that is registered and unregistered again and again.
const EXTRA: &str = "extra";
/// The port of its gateway, the built-in one.
const EXTRA_PORT: u16 = 18_644;

impl Bench<'_> {
    /// Measures the registration and removal of one gateway beside `profiles` others.
    pub(super) fn registration(
        &self,
        home: &Home,
        tree: &Tree<'_>,
        scripts: &Path,
        profiles: usize,
    ) -> Result<Vec<Job>> {
        home.add(EXTRA, profiles, "stopped")?;
        home.serve(EXTRA, EXTRA_PORT)?;
        let functions = self.functions(home)?;
        let supervisors = tree.supervisors()?;
        let [scandir, scripts] = [&home.scandir, scripts].map(|path| path.to_string_lossy());
        let hermes = |verb: &str| time(self.testbed.hermes(home, &["gateway", verb, EXTRA]), &[0]);
        let floor = |args: &[&str]| time(self.testbed.floor(home, args), &[0]);
        let remove = || hermes("unregister");

        let floor_makes = || floor(&["register", &scandir, &scripts, EXTRA]);
        let mut sides: Vec<Sampler<'_>> = vec![
            (Side::Hermes, Box::new(|| with_cleanup(hermes("register")?, remove()))),
            (Side::Floor, Box::new(|| with_cleanup(floor_makes()?, remove()))),
        ];
        sides.extend(functions.as_ref().map(|functions| -> Sampler<'_> {
            let call = || functions.borrow_mut().call(&format!("register {EXTRA}"));
            (Side::Peer, Box::new(move || with_cleanup(call()?, remove())))
        }));
        let rules = [Rule::Times(Side::Floor, 1.5)];
        let mut jobs = vec![self.job("gateway register", Some(profiles), &rules, sides)?];

        // A gateway that has run: its service directory holds more files.
        let make = || {
            ["register", "start", "stop"].into_iter().try_for_each(|verb| hermes(verb).map(drop))
        };
        let floor_removes = || floor(&["unregister", &scandir, EXTRA]);
        let mut sides: Vec<Sampler<'_>> = vec![
            (Side::Hermes, Box::new(|| make().and_then(|()| remove()))),
            (Side::Floor, Box::new(|| make().and_then(|()| floor_removes()))),
        ];
        sides.extend(functions.as_ref().map(|functions| -> Sampler<'_> {
            let call = || functions.borrow_mut().call(&format!("unregister {EXTRA}"));
            // It leaves the supervisors running; s6-svscan ends them once it finds the directory gone.
            let end = |took| {
                tree.control("-an")?;
                until("the supervisors are gone", || Ok(tree.supervisors()? <= supervisors))
                    .map(|()| took)
            };
            (Side::Peer, Box::new(move || make().and_then(|()| call()).and_then(end)))
        }));
        let rules = [Rule::AtMost(20.0), Rule::Times(Side::Floor, 1.5)];
        jobs.push(self.job("gateway unregister", Some(profiles), &rules, sides)?);
        Ok(jobs)
    }

    /// Measures a boot from an empty scan directory until every supervisor runs. Each sample has a tree of its own.
    pub(super) fn boot(&self, home: &Home, scripts: &Path) -> Result<Job> {
        let [path, scandir, scripts] =
            [&home.path, &home.scandir, scripts].map(|path| path.to_string_lossy());
        let floor = ["boot", &*path, &*scandir, &*scripts];
        let functions = self.functions(home)?;
        let mut sides: Vec<Sampler<'_>> = vec![
            (
                Side::Hermes,
                Box::new(|| {
                    let _tree = home.tree()?;
                    time(self.testbed.hermes(home, &["boot"]), &[0])
                }),
            ),
            (
                Side::Floor,
                Box::new(|| {
                    let _tree = home.tree()?;
                    time(self.testbed.floor(home, &floor), &[0])
                }),
            ),
        ];
        sides.extend(functions.as_ref().map(|functions| -> Sampler<'_> {
            (
                Side::Peer,
                Box::new(|| {
                    let _tree = home.tree()?;
                    functions.borrow_mut().call("boot")
                }),
            )
        }));
        let rules = if home.profiles >= 100 { &[Rule::Times(Side::Peer, 0.1)][..] } else { &[] };
        self.job(super::super::BOOT, Some(home.profiles), rules, sides)
    }
}

/// The sample, if the cleanup after it succeeded.
fn with_cleanup(sample: f64, cleanup: Result<f64>) -> Result<f64> {
    cleanup.map(|_| sample)
}
