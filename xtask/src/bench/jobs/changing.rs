//! Jobs that make slots and remove them, until supervisors run and until they are gone.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::super::sample::{Side, Taker};
use super::super::scene::{Home, Tree, time, until};
use super::{Bench, Job, Rule};

/// The profile that is registered and unregistered again and again. It never ran.
const EXTRA: &str = "extra";
/// Another one, which did.
const FORMER: &str = "former";

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
        home.add(FORMER, profiles + 1, "stopped")?;
        // What tells so.
        fs::write(home.path.join("profiles").join(FORMER).join("hermes-gateway.lock"), "")?;
        let functions = self.functions(home)?;
        let supervisors = tree.supervisors()?;
        let [scandir, scripts] = [&home.scandir, scripts].map(|path| path.to_string_lossy());
        let hermes = |verb: &str, profile: &str| {
            time(self.scene.hermes(home, &["gateway", verb, profile]), &[0])
        };
        let floor = |args: &[&str]| time(self.scene.floor(home, args), &[0]);
        let make = |profile| hermes("register", profile);
        let remove = |profile| hermes("unregister", profile);
        let floor_makes = || floor(&["register", &scandir, &scripts, EXTRA]);

        let mut sides: Vec<Taker<'_>> = vec![
            (Side::Hermes, Box::new(|| before(make(EXTRA)?, remove(EXTRA)))),
            (Side::Floor, Box::new(|| before(floor_makes()?, remove(EXTRA)))),
        ];
        sides.extend(functions.as_ref().map(|functions| -> Taker<'_> {
            let call = || functions.borrow_mut().call(&format!("register {EXTRA}"));
            (Side::Peer, Box::new(move || before(call()?, remove(EXTRA))))
        }));
        let rules = [Rule::Times(Side::Floor, 1.5)];
        let mut jobs = vec![self.job("gateway register", Some(profiles), &rules, sides)?];

        let both = [("gateway unregister", EXTRA), ("gateway unregister, it once ran", FORMER)];
        for (job, profile) in both {
            let floor_removes = || floor(&["unregister", &scandir, profile]);
            let mut sides: Vec<Taker<'_>> = vec![
                (Side::Hermes, Box::new(|| make(profile).and_then(|_| remove(profile)))),
                (Side::Floor, Box::new(|| make(profile).and_then(|_| floor_removes()))),
            ];
            sides.extend(functions.as_ref().map(|functions| -> Taker<'_> {
                let call = move || functions.borrow_mut().call(&format!("unregister {profile}"));
                // Its supervisors live on, until s6-svscan finds the directory gone.
                let end = move |took| {
                    tree.tell("-an")?;
                    until("they are gone", || Ok(tree.supervisors()? <= supervisors)).map(|()| took)
                };
                (Side::Peer, Box::new(move || make(profile).and_then(|_| call()).and_then(end)))
            }));
            let rules = [Rule::AtMost(20.0), Rule::Times(Side::Floor, 1.5)];
            jobs.push(self.job(job, Some(profiles), &rules, sides)?);
        }
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
