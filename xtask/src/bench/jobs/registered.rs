//! Jobs beside thousands of registered gateways, which are stopped.

use anyhow::Result;

use super::super::sample::{Sampler, Side};
use super::super::testbed::{Home, run, time};
use super::{Bench, Job, MANY, Rule};

const CREATE: &str = "profile create, configurations of 7 KB";
const STATUS: &str = "gateway status --all --json, all stopped";
/// The profile that is created and deleted again and again.
const EXTRA: &str = "extra";

impl Bench<'_> {
    /// Measures them beside this many profiles; `least` is the median of a creation beside the fewest.
    pub(in crate::bench) fn with_registered(
        &self,
        profiles: usize,
        least: &mut Option<f64>,
    ) -> Result<Vec<Job>> {
        let home = self.testbed.home(&format!("registered-{profiles}"), profiles, false)?;
        let _tree = home.tree()?;
        run(&mut self.testbed.hermes(&home, &["boot"]), &[0])?;
        let status = self.status(&home)?;
        home.fill()?;
        let create = self.create(&home, *least)?;
        *least = least.or_else(|| Some(create.figures.get(&Side::Hermes)?.median));
        Ok(vec![status, create])
    }

    fn status(&self, home: &Home) -> Result<Job> {
        let [path, scandir] = [&home.path, &home.scandir].map(|path| path.to_string_lossy());
        let floor = ["status", &*path, &*scandir];
        let line = ["gateway", "status", "--all", "--json"];
        let sides = vec![self.hermes(home, &line, &[0]), self.floor(home, &floor)];
        let rules = [Rule::Times(Side::Floor, 1.2)];
        let rules = if home.profiles >= MANY { &rules[..] } else { &[] };
        self.job(STATUS, Some(home.profiles), rules, sides)
    }

    fn create(&self, home: &Home, least: Option<f64>) -> Result<Job> {
        let create = || time(self.testbed.hermes(home, &["profile", "create", EXTRA]), &[0]);
        let delete =
            || run(&mut self.testbed.hermes(home, &["profile", "delete", EXTRA, "-y"]), &[0]);
        let sides: Vec<Sampler<'_>> = vec![(
            Side::Hermes,
            Box::new(|| create().and_then(|created| delete().map(|()| created))),
        )];
        let rules = least.map(|least| Rule::Of(10.0, "beside the fewest", least));
        self.job(CREATE, Some(home.profiles), rules.as_slice(), sides)
    }

    /// Measures `doctor` on a home with this many gateways, of which one of ten is parked, and `status --all` beside it.
    pub(in crate::bench) fn with_parked(&self, profiles: usize) -> Result<Vec<Job>> {
        let home = self.testbed.home(&format!("parked-{profiles}"), profiles, true)?;
        home.break_running()?;
        let _tree = home.tree()?;
        // Each start fails.
        run(&mut self.testbed.hermes(&home, &["boot"]), &[1])?;
        let some = Some(profiles);
        let sides = vec![self.hermes(&home, &["gateway", "status", "--all"], &[1])];
        let status = self.job("gateway status --all, one of ten parked", some, &[], sides)?;
        let median = status.figures.get(&Side::Hermes).map(|figure| figure.median);
        let rules = median.map(|median| Rule::Of(5.0, "status --all", median));
        let sides = vec![self.hermes(&home, &["doctor"], &[1])];
        let doctor = self.job("doctor, one of ten parked", some, rules.as_slice(), sides)?;
        Ok(vec![status, doctor])
    }
}
