//! What is seen of a tree, and how it differs from a world: files, services, processes, status and health.
//!
//! Files and processes are read without Hermes, so that `status` and `doctor --health` are compared with the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Kind, Name, Profile, World};
use crate::processes::Process;

/// A gateway's status, as `hermes gateway status --all --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) pid: Option<u32>,
    pub(super) healthy: bool,
}

/// One look at a tree.
#[derive(Default)]
pub(super) struct Seen {
    /// The process of `hermes up`.
    pub(super) up: u32,
    /// The homes, and whether the intent in each is `running`.
    pub(super) homes: BTreeMap<Name, bool>,
    /// The names in the scan directory that are not hidden.
    pub(super) slots: BTreeSet<String>,
    /// Files and directories that should not be there.
    pub(super) strange: Vec<String>,
    /// The profiles that are marked as unregistered.
    pub(super) marks: BTreeSet<Name>,
    pub(super) statuses: BTreeMap<String, Status>,
    /// The processes of the built-in gateways that answer.
    pub(super) answering: BTreeMap<Name, u32>,
    pub(super) processes: Vec<Process>,
    /// The answer of `doctor --health`.
    pub(super) healthy: bool,
}

impl Seen {
    /// The differences from the world; none if the tree keeps its promises. A gateway in `may_park` may be parked.
    pub(super) fn differences(&self, world: &World, may_park: &BTreeSet<Name>) -> Vec<String> {
        let mut found = self.strange.clone();
        let wanted: BTreeMap<_, _> = world.0.iter().map(|(name, it)| (*name, it.wanted)).collect();
        if self.homes != wanted {
            found.push(format!("homes and intents: expected {wanted:?}, found {:?}", self.homes));
        }
        let registered =
            world.0.iter().filter(|(_, it)| it.registered).map(|(name, _)| name.to_string());
        let registered: BTreeSet<_> = registered.chain(["default".to_owned()]).collect();
        let slots: BTreeSet<_> = registered.iter().map(|name| format!("gateway-{name}")).collect();
        if self.slots != slots {
            found.push(format!("slots: expected {slots:?}, found {:?}", self.slots));
        }
        let is_marked_wrongly = |name: &&Name| world.0.get(name).is_none_or(|it| it.registered);
        for name in self.marks.iter().filter(is_marked_wrongly) {
            found.push(format!("{name} is marked as unregistered"));
        }
        found.extend(self.foreign_processes(&registered));
        for name in &registered {
            let profile = name.parse().ok().and_then(|name| Some((name, *world.0.get(&name)?)));
            match profile {
                Some((name, profile)) => found.extend(self.gateway(name, profile, may_park)),
                None => found.extend(self.down(name)),
            }
        }
        found.extend(self.health(world));
        found
    }

    /// The supervisors that are not one for each service and logger, and the processes below none of them.
    fn foreign_processes(&self, registered: &BTreeSet<String>) -> Vec<String> {
        let mut found = Vec::new();
        let svscans: Vec<_> = self.processes.iter().filter(|it| it.runs("s6-svscan")).collect();
        let [svscan] = svscans.as_slice() else {
            return vec![format!("not one s6-svscan: {svscans:?}")];
        };
        if svscan.parent != self.up {
            found.push(format!("the parent of s6-svscan is {}, not {}", svscan.parent, self.up));
        }
        let services = registered.iter().flat_map(|name| [service(name), logger(name)]);
        for service in services {
            let supervisors = self.supervisors(&service);
            if supervisors.len() != 1 {
                found.push(format!("not one supervisor of {service}: {supervisors:?}"));
            }
        }
        for process in &self.processes {
            let is_supervisor = process.runs("s6-supervise");
            let is_expected = match process.args.get(1).filter(|_| is_supervisor) {
                Some(service) => {
                    let name = service.trim_start_matches("gateway-").trim_end_matches("/log");
                    process.parent == svscan.pid && registered.contains(name)
                }
                None => {
                    let supervisors = self.processes.iter().filter(|it| it.runs("s6-supervise"));
                    let is_below = |it: &Process| process.is_below(it.pid, &self.processes);
                    [self.up, svscan.pid].contains(&process.pid)
                        || supervisors.into_iter().any(is_below)
                }
            };
            if !is_expected {
                found.push(format!(
                    "a process of no service: {process:?}, child of {}",
                    process.parent
                ));
            }
        }
        for name in registered {
            let loggers = self.children(&logger(name));
            if loggers.len() != 1 {
                found.push(format!("not one logger of {name}: {loggers:?}"));
            }
        }
        found
    }

    fn gateway(&self, name: Name, profile: Profile, may_park: &BTreeSet<Name>) -> Vec<String> {
        let text = name.to_string();
        if !profile.wanted {
            return self.down(&text).into_iter().collect();
        }
        let Some(status) = self.statuses.get(&text) else {
            return vec![format!("{name} has no status")];
        };
        let processes = self.children(&service(&text));
        let is_crashing = profile.kind == Kind::Crashing;
        let may_park = is_crashing || may_park.contains(&name);
        let is_as_wanted = match status.state.as_str() {
            "up" | "starting" if is_crashing => processes.len() <= 1,
            "backoff" => is_crashing && processes.len() <= 1,
            "parked" => may_park && processes.is_empty(),
            "up" => {
                let is_one =
                    processes.len() == 1 && status.pid == processes.first().map(|it| it.pid);
                let serves = profile.kind != Kind::Serving
                    || self.answering.get(&name).copied() == status.pid;
                is_one && serves && status.healthy
            }
            _ => false,
        };
        if is_as_wanted {
            return Vec::new();
        }
        let answers = self.answering.get(&name);
        vec![format!(
            "{name} ({:?}) is wanted: {status:?}, processes {processes:?}, answering {answers:?}",
            profile.kind
        )]
    }

    fn down(&self, name: &str) -> Option<String> {
        let status = self.statuses.get(name);
        let processes = self.children(&service(name));
        let is_down = status.is_some_and(|it| it.state == "down" && it.pid.is_none());
        (!is_down || !processes.is_empty())
            .then(|| format!("{name} is not wanted: {status:?}, processes {processes:?}"))
    }

    /// Whether `doctor --health` agrees with the processes.
    fn health(&self, world: &World) -> Option<String> {
        let mut missing = world.0.iter().filter(|(_, it)| it.wanted).filter(|(name, profile)| {
            let name = name.to_string();
            let is_up = self.statuses.get(&name).is_some_and(|it| it.state == "up");
            !(profile.registered && is_up && self.children(&service(&name)).len() == 1)
        });
        let missing = missing.next();
        (self.healthy != missing.is_none()).then(|| {
            format!("doctor --health: healthy is {}, but missing is {missing:?}", self.healthy)
        })
    }

    fn supervisors(&self, service: &str) -> Vec<&Process> {
        let is_it = |process: &&Process| {
            process.runs("s6-supervise") && process.args.get(1).is_some_and(|arg| arg == service)
        };
        self.processes.iter().filter(is_it).collect()
    }

    /// The processes that the supervisor of a service has started.
    fn children(&self, service: &str) -> Vec<&Process> {
        let pids: Vec<_> = self.supervisors(service).iter().map(|process| process.pid).collect();
        self.processes.iter().filter(|process| pids.contains(&process.parent)).collect()
    }
}

/// The service of a profile, as its supervisor's argument.
pub(super) fn service(name: &str) -> String {
    format!("gateway-{name}")
}

/// The logger of a profile's service likewise.
pub(super) fn logger(name: &str) -> String {
    format!("gateway-{name}/log")
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Name = Name(1);

    fn process(pid: u32, parent: u32, line: &str) -> Process {
        let args = line.split(' ').map(str::to_owned).collect();
        Process { pid, parent, args, surroundings: Vec::new() }
    }

    fn status(state: &str, pid: Option<u32>) -> Status {
        Status { state: state.to_owned(), pid, healthy: state == "up" }
    }

    fn world(kind: Kind, wanted: bool) -> World {
        World([(A, Profile { kind, wanted, registered: true })].into())
    }

    /// A tree whose gateway `p1` is up.
    fn seen() -> Seen {
        Seen {
            up: 2,
            homes: [(A, true)].into(),
            slots: ["gateway-default".to_owned(), "gateway-p1".to_owned()].into(),
            statuses: [
                ("default".to_owned(), status("down", None)),
                ("p1".to_owned(), status("up", Some(20))),
            ]
            .into(),
            processes: vec![
                process(2, 1, "hermes up"),
                process(3, 2, "/usr/bin/s6-svscan -- /x"),
                process(10, 3, "s6-supervise gateway-default"),
                process(11, 3, "s6-supervise gateway-default/log"),
                process(12, 11, "s6-log"),
                process(13, 3, "s6-supervise gateway-p1"),
                process(14, 3, "s6-supervise gateway-p1/log"),
                process(15, 14, "s6-log"),
                process(20, 13, "sleep 9"),
                process(21, 20, "sleep 9"),
            ],
            healthy: true,
            ..Seen::default()
        }
    }

    fn differs(seen: &Seen, world: &World, expected: &str) {
        let found = seen.differences(world, &BTreeSet::new()).join("\n");
        assert!(found.contains(expected) && !found.is_empty(), "{expected}: {found}");
    }

    #[test]
    fn a_tree_as_it_should_be_has_no_differences() {
        assert_eq!(seen().differences(&world(Kind::Forking, true), &BTreeSet::new()), [""; 0]);
        let mut serving = seen();
        serving.answering.insert(A, 20);
        assert_eq!(serving.differences(&world(Kind::Serving, true), &BTreeSet::new()), [""; 0]);
    }

    #[test]
    fn each_broken_promise_is_found() {
        let up = world(Kind::Forking, true);
        type Break = (&'static str, fn(&mut Seen));
        let breaks: [Break; 14] = [
            ("homes and intents", |it| it.homes.extend([(A, false)])),
            ("homes and intents", |it| it.homes.extend([(Name(7), false)])),
            ("slots", |it| it.slots.extend(["gateway-p7".to_owned()])),
            ("p1 is marked", |it| it.marks.extend([A])),
            ("p7 is marked", |it| it.marks.extend([Name(7)])),
            ("a grave", |it| it.strange.push("a grave".to_owned())),
            ("of no service: 30", |it| it.processes.push(process(30, 1, "sleep 9"))),
            ("of no service: 30", |it| {
                it.processes.push(process(30, 3, "s6-supervise gateway-p7"));
            }),
            ("not one supervisor", |it| {
                it.processes.push(process(30, 3, "s6-supervise gateway-p1"));
            }),
            ("not one logger", |it| it.processes.retain(|process| process.pid != 15)),
            ("p1 (Forking) is wanted", |it| it.processes.push(process(30, 13, "sleep 9"))),
            ("p1 (Forking) is wanted", |it| {
                it.statuses.extend([("p1".to_owned(), status("down", None))]);
            }),
            ("doctor --health", |it| it.healthy = false),
            ("not one s6-svscan", |it| it.processes.push(process(30, 1, "s6-svscan"))),
        ];
        for (expected, change) in breaks {
            let mut seen = seen();
            change(&mut seen);
            differs(&seen, &up, expected);
        }
        differs(&seen(), &world(Kind::Forking, false), "p1 is not wanted");
        differs(&seen(), &world(Kind::Serving, true), "p1 (Serving) is wanted");
    }

    #[test]
    fn a_crashing_gateway_may_wait_or_be_parked_and_no_other() {
        for (state, of_any) in [("backoff", false), ("parked", true)] {
            let mut seen = seen();
            seen.statuses.insert("p1".to_owned(), status(state, None));
            seen.processes.retain(|process| process.pid < 20);
            seen.healthy = false;
            assert_eq!(seen.differences(&world(Kind::Crashing, true), &BTreeSet::new()), [""; 0]);
            differs(&seen, &world(Kind::Forking, true), "is wanted");
            let may = seen.differences(&world(Kind::Forking, true), &[A].into());
            assert_eq!(may.is_empty(), of_any, "{may:?}");
        }
    }
}
