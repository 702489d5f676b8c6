//! Jobs that make slots and remove them, until supervisors run and until they are gone.

use std::path::Path;

use anyhow::Result;

use super::super::sample::{Side, Taker};
use super::super::scene::{Home, Tree, time, until};
use super::{Bench, Job, Rule};

/// The profile that is registered and unregistered again and again.
const EXTRA: &str = "extra";
/// Where its gateway, the built-in one, listens.
const EXTRA_PORT: u16 = 18_644;

impl Bench<'_> {
    /// What makes and removes one slot among so many.
    pub(super) fn changing(
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
        let hermes = |verb: &str| time(self.scene.hermes(home, &["gateway", verb, EXTRA]), &[0]);
        let floor = |args: &[&str]| time(self.scene.floor(home, args), &[0]);
        let remove = || hermes("unregister");

        let floor_makes = || floor(&["register", &scandir, &scripts, EXTRA]);
        let mut sides: Vec<Taker<'_>> = vec![
            (Side::Hermes, Box::new(|| before(hermes("register")?, remove()))),
            (Side::Floor, Box::new(|| before(floor_makes()?, remove()))),
        ];
        sides.extend(functions.as_ref().map(|functions| -> Taker<'_> {
            let call = || functions.borrow_mut().call(&format!("register {EXTRA}"));
            (Side::Peer, Box::new(move || before(call()?, remove())))
        }));
        let rules = [Rule::Times(Side::Floor, 1.5)];
        let mut jobs = vec![self.job("gateway register", Some(profiles), &rules, sides)?];

        // One that was in use.
        let make = || {
            ["register", "start", "stop"].into_iter().try_for_each(|verb| hermes(verb).map(drop))
        };
        let floor_removes = || floor(&["unregister", &scandir, EXTRA]);
        let mut sides: Vec<Taker<'_>> = vec![
            (Side::Hermes, Box::new(|| make().and_then(|()| remove()))),
            (Side::Floor, Box::new(|| make().and_then(|()| floor_removes()))),
        ];
        sides.extend(functions.as_ref().map(|functions| -> Taker<'_> {
            let call = || functions.borrow_mut().call(&format!("unregister {EXTRA}"));
            // Its supervisors live on, until s6-svscan finds the directory gone.
            let end = |took| {
                tree.tell("-an")?;
                until("they are gone", || Ok(tree.supervisors()? <= supervisors)).map(|()| took)
            };
            (Side::Peer, Box::new(move || make().and_then(|()| call()).and_then(end)))
        }));
        let rules = [Rule::AtMost(20.0), Rule::Times(Side::Floor, 1.5)];
        jobs.push(self.job("gateway unregister", Some(profiles), &rules, sides)?);
        Ok(jobs)
    }

    /// From an empty scan directory until every slot has its supervisors. Each sample has a tree of its own.
    pub(super) fn boot(&self, home: &Home, scripts: &Path) -> Result<Job> {
        let [path, scandir, scripts] =
            [&home.path, &home.scandir, scripts].map(|path| path.to_string_lossy());
        let floor = ["boot", &*path, &*scandir, &*scripts];
        let functions = self.functions(home)?;
        let mut sides: Vec<Taker<'_>> = vec![
            (
                Side::Hermes,
                Box::new(|| {
                    let _tree = home.tree()?;
                    time(self.scene.hermes(home, &["boot"]), &[0])
                }),
            ),
            (
                Side::Floor,
                Box::new(|| {
                    let _tree = home.tree()?;
                    time(self.scene.floor(home, &floor), &[0])
                }),
            ),
        ];
        sides.extend(functions.as_ref().map(|functions| -> Taker<'_> {
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

/// A sample that was taken before something was put right again.
fn before(sample: f64, put_right: Result<f64>) -> Result<f64> {
    put_right.map(|_| sample)
}
