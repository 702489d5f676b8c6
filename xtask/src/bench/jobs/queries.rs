//! Jobs that change nothing: lists, states, a boot with nothing to do.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::super::peer::Functions;
use super::super::sample::{Sampler, Side};
use super::super::testbed::{Home, time};
use super::{Bench, Job, MANY, Rule};

/// The exit code of `status` of a gateway that is not running.
const NOT_RUNNING: i32 = 3;

impl Bench<'_> {
    /// Measures the jobs that change nothing.
    pub(super) fn queries(&self, home: &Home, profiles: usize) -> Result<Vec<Job>> {
        let [path, scandir] = [&home.path, &home.scandir].map(|path| path.to_string_lossy());
        let [list, all, plan] = ["list", "status", "plan"].map(|job| [job, &*path, &*scandir]);
        let one = ["status", &*path, &*scandir, "agent1"];
        let large = profiles >= MANY;
        let of_peer = Rule::Times(Side::Peer, 0.01);
        let mut rules = vec![of_peer];
        rules.extend(large.then_some(Rule::Times(Side::Floor, 2.0)));
        let some = Some(profiles);

        let mut sides =
            vec![self.hermes(home, &["profile", "list"], &[0]), self.floor(home, &list)];
        sides.extend(self.peer(home, &["profile", "list"]));
        let mut jobs = vec![self.job("profile list", some, &rules, sides)?];

        let line = ["gateway", "list", "--json"];
        let mut sides = vec![self.hermes(home, &line, &[0]), self.floor(home, &all)];
        sides.extend(self.peer(home, &["gateway", "list"]));
        jobs.push(self.job("gateway list --json", some, &rules, sides)?);

        let line = ["gateway", "status", "agent1"];
        let codes = [NOT_RUNNING];
        let mut sides = vec![self.hermes(home, &line, &codes), self.floor(home, &one)];
        sides.push((Side::S6, Box::new(|| time(svstat(home, "agent1"), &[0]))));
        sides.extend(self.peer(home, &["-p", "agent1", "gateway", "status"]));
        jobs.push(self.job(
            "gateway status NAME",
            some,
            &[of_peer, Rule::Times(Side::S6, 1.5)],
            sides,
        )?);

        let functions = self.functions(home)?;
        let line = ["gateway", "status", "--all", "--json"];
        let mut sides = vec![self.hermes(home, &line, &[0]), self.floor(home, &all)];
        let svstats =
            || (0..profiles).map(|i| time(svstat(home, &format!("agent{i}")), &[0])).sum();
        sides.push((Side::S6, Box::new(svstats)));
        sides.extend(functions.as_ref().map(|functions| call(functions, "status")));
        let rules =
            [Rule::Times(Side::S6, 1.0 / 30.0), Rule::Times(Side::Floor, 1.2), Rule::AtMost(50.0)];
        let rules = if large { &rules[..] } else { &[] };
        jobs.push(self.job("gateway status --all --json", some, rules, sides)?);

        let sides = vec![self.hermes(home, &["boot"], &[0]), self.floor(home, &plan)];
        #[expect(clippy::cast_precision_loss, reason = "a number of profiles")]
        let limit = Rule::AtMost(0.03 * profiles as f64);
        let rules = if profiles >= 100 { vec![limit] } else { Vec::new() };
        jobs.push(self.job("boot that changes nothing", some, &rules, sides)?);
        Ok(jobs)
    }
}

fn call<'a>(functions: &'a RefCell<Functions>, request: &'a str) -> Sampler<'a> {
    (Side::Peer, Box::new(move || functions.borrow_mut().call(request)))
}

fn svstat(home: &Home, profile: &str) -> Command {
    let mut command = home.command(Path::new("s6-svstat"));
    command.arg(home.slot(profile));
    command
}
