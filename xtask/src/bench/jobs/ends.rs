//! The end of a tree whose gateways all run: in order, and after its s6-svscan was killed.

use anyhow::Result;

use super::super::sample::{Sampler, Side};
use super::super::testbed::{Home, Tree, run, time};
use super::super::up::Up;
use super::{Bench, Job, MANY, Rule};

const END: &str = "end of the tree";
const CLEARING: &str = "clearing after `kill -9` of s6-svscan";

impl Bench<'_> {
    /// Measures both. Each sample has a tree of its own.
    pub(super) fn ends(&self, home: &Home) -> Result<Vec<Job>> {
        let scandir = &*home.scandir.to_string_lossy();
        let floor = |verb| time(self.testbed.floor(home, &[verb, scandir]), &[0]);
        let sides: Vec<Sampler<'_, _>> = vec![
            (Side::Hermes, Box::new(|| Up::start(self.testbed, home)?.end().map(|time| [time]))),
            (
                Side::Floor,
                Box::new(|| {
                    let _tree = self.full(home)?;
                    floor("end").map(|time| [time])
                }),
            ),
        ];
        let mut rules = vec![Rule::Times(Side::Floor, 1.3)];
        rules.extend((home.profiles >= MANY).then_some(Rule::AtMost(8000.0)));
        let mut jobs = self.seconds([END], home, &rules, sides)?;

        let end = jobs[0].figures.get(&Side::Hermes).map(|figure| figure.median);
        let rules: Vec<_> = end.map(|end| Rule::Of(2.0, END, end)).into_iter().collect();
        let sides: Vec<Sampler<'_, _>> = vec![
            (Side::Hermes, Box::new(|| Up::start(self.testbed, home)?.lose().map(|time| [time]))),
            (
                Side::Floor,
                Box::new(|| {
                    self.full(home)?.kill()?;
                    floor("clear").map(|time| [time])
                }),
            ),
        ];
        jobs.extend(self.seconds([CLEARING], home, &rules, sides)?);
        Ok(jobs)
    }

    /// A tree in which all gateways run.
    fn full<'b>(&self, home: &'b Home) -> Result<Tree<'b>> {
        let tree = home.tree()?;
        run(&mut self.testbed.hermes(home, &["boot"]), &[0])?;
        Ok(tree)
    }
}
