//! Makes the plan: a pure function from facts to actions.

use std::collections::BTreeMap;

use super::{Action, ByDefault, Facts, PROFILE_GONE, ProfileFact, ServiceFact, Wanted};
use crate::intent::Intent;
use crate::name::ProfileName;
use crate::store::Skipped;

/// Makes the plan. After the plan was executed, the next one keeps everything.
pub fn plan(facts: &Facts) -> Vec<Action> {
    let index = Index::of(facts);
    let clear = facts.leftovers.iter().map(|path| Action::Clear { path: path.clone() });
    // What they have to do comes after that.
    let resume = facts.suspended.iter().cloned().map(Action::Resume);
    let mut actions: Vec<_> = resume.chain(clear).collect();
    for slot in &facts.services {
        let profile = slot.profile.clone();
        let known = index.profiles.contains_key(&profile);
        let hidden =
            || facts.skipped.iter().any(|skipped| skipped.path.ends_with(profile.as_str()));
        if !known && hidden() {
            // Its home exists but can't be read now: not a reason to end its gateway.
        } else if !known {
            actions.push(Action::Remove { profile, detail: PROFILE_GONE });
        } else if !slot.supervised {
            actions.push(Action::Remove { profile, detail: "nobody supervised it" });
        } else if slot.logger_orphaned {
            actions.push(Action::ReplaceLogger { profile });
        }
    }
    for fact in &facts.profiles {
        let slot = index.services.get(&fact.name).copied().filter(|slot| slot.supervised);
        if fact.stale_files && !slot.is_some_and(|slot| slot.running) {
            actions.push(Action::Sweep { profile: fact.name.clone() });
        }
        actions.push(decide(facts, &index, fact, slot));
    }
    let known = |name: &ProfileName| index.profiles.contains_key(name);
    actions.extend(facts.unreadable.iter().filter(|(name, _)| !known(name)).map(
        |(name, reason)| Action::Unreadable { what: name.to_string(), detail: unreadable(reason) },
    ));
    actions.extend(facts.skipped.iter().map(|Skipped { path, reason, unreadable }| {
        let (what, detail) = (path.display().to_string(), reason.clone());
        match unreadable {
            true => Action::Unreadable { what, detail },
            false => Action::Skip { what, detail },
        }
    }));
    actions
}

/// The part of the plan that the reconciler carries out by itself: what changes something, except that a service
/// which the operator had removed stays removed, and one that the operator had stopped stays down.
pub fn mends(facts: &Facts) -> Vec<Action> {
    let services = Index::of(facts).services;
    let stays = |action: &Action| match action {
        Action::Register { profile, .. } | Action::Start { profile } => {
            match services.get(profile) {
                Some(service) => service.held_down,
                None => facts.unregistered.contains(profile),
            }
        }
        _ => false,
    };
    let mut actions = plan(facts);
    actions.retain(|action| action.changes_something() && !stays(action));
    actions
}

/// Indexes of the facts, so that a plan takes linear time.
struct Index<'a> {
    profiles: BTreeMap<&'a ProfileName, &'a ProfileFact>,
    services: BTreeMap<&'a ProfileName, &'a ServiceFact>,
    /// Those that name a port, in the order of the profiles.
    claims: BTreeMap<u16, Vec<&'a ProfileFact>>,
}

impl<'a> Index<'a> {
    fn of(facts: &'a Facts) -> Self {
        let mut claims = BTreeMap::<_, Vec<_>>::new();
        for fact in &facts.profiles {
            fact.port.into_iter().for_each(|port| claims.entry(port).or_default().push(fact));
        }
        Self {
            profiles: facts.profiles.iter().map(|fact| (&fact.name, fact)).collect(),
            services: facts.services.iter().map(|slot| (&slot.profile, slot)).collect(),
            claims,
        }
    }
}

fn decide(
    facts: &Facts,
    index: &Index<'_>,
    fact: &ProfileFact,
    slot: Option<&ServiceFact>,
) -> Action {
    let profile = fact.name.clone();
    let intent = match &fact.intent {
        Ok(intent) => *intent,
        Err(reason) => {
            let detail = reason.clone();
            return Action::Unreadable { what: profile.to_string(), detail };
        }
    };
    if let Some((_, reason)) = facts.unreadable.iter().find(|(name, _)| *name == profile) {
        return Action::Unreadable { what: profile.to_string(), detail: unreadable(reason) };
    }
    if let Some(why) = &fact.foreign {
        return match slot {
            Some(slot) if intent == Intent::Stopped && slot.wanted != Wanted::Down => {
                Action::Stop { profile }
            }
            Some(_) => Action::Leave { profile, detail: why.clone() },
            None => Action::Register { profile, detail: format!("not started: {why}") },
        };
    }
    if let Some(by_default) = fact.by_default.filter(|_| intent == Intent::Running) {
        match (slot, by_default) {
            // Somebody else's process, which only a command ends.
            (Some(slot), ByDefault::Serves) if slot.wanted != Wanted::Down && !slot.orphaned => {
                return Action::StandDown { profile };
            }
            // It runs already, and goes on until more is known.
            (Some(slot), ByDefault::MayServe) if slot.wanted == Wanted::Up => {}
            (Some(_), _) => return Action::Keep { profile, detail: by_default.why().to_owned() },
            (None, _) => {
                let detail = format!("not started: {}", by_default.why());
                return Action::Register { profile, detail };
            }
        }
    }
    let rival = rival_for_port(index, fact);
    match (slot, intent, rival) {
        (Some(slot), Intent::Running, None)
            if (slot.wanted != Wanted::Up || slot.orphaned) && !slot.parked =>
        {
            Action::Start { profile }
        }
        // The next start of a wanted gateway ends what the former one left.
        (Some(slot), Intent::Stopped, _) if slot.wanted != Wanted::Down || slot.unclean => {
            Action::Stop { profile }
        }
        (Some(slot), _, _) => Action::Keep { profile, detail: remarks(slot) },
        (None, Intent::Running, None) => Action::Start { profile },
        (None, Intent::Running, Some((rival, port))) => {
            let detail = format!("not started: port {port} belongs to `{rival}`");
            Action::Register { profile, detail }
        }
        (None, Intent::Stopped, _) => Action::Register { profile, detail: String::new() },
    }
}

/// The profile that gets the port of `fact`: the one that is up, else the first wanted one (`default`, then by
/// name).
fn rival_for_port<'a>(index: &Index<'a>, fact: &ProfileFact) -> Option<(&'a ProfileName, u16)> {
    let port = fact.port?;
    let running = |name: &ProfileName| index.services.get(name).is_some_and(|slot| slot.running);
    let claims = || index.claims.get(&port).into_iter().flatten().copied();
    let up = claims().find(|other| other.name != fact.name && running(&other.name));
    let first = || {
        let mut before = claims().take_while(|other| other.name != fact.name);
        before.find(|other| other.intent == Ok(Intent::Running)).filter(|_| !running(&fact.name))
    };
    up.or_else(first).map(|rival| (&rival.name, port))
}

fn unreadable(reason: &str) -> String {
    format!("its slot can't be read: {reason}")
}

fn remarks(slot: &ServiceFact) -> String {
    let mut remarks = Vec::new();
    if slot.parked {
        remarks.push("parked");
    }
    if !slot.current {
        remarks.push("rendered by another version; `hermes gateway register --refresh` renews it");
    }
    remarks.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, intent: Intent) -> ProfileFact {
        ProfileFact {
            name: name.parse().unwrap(),
            intent: Ok(intent),
            port: None,
            foreign: None,
            by_default: None,
            stale_files: false,
        }
    }

    fn slot(name: &str, up: bool) -> ServiceFact {
        let wanted = if up { Wanted::Up } else { Wanted::Down };
        ServiceFact { wanted, running: up, ..ServiceFact::idle(name.parse().unwrap()) }
    }

    fn check(facts: Facts, expected: &str) {
        let lines: Vec<_> = plan(&facts).iter().map(|action| format!("{action:?}")).collect();
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn an_empty_scan_directory_gets_every_profile() {
        check(
            Facts {
                profiles: vec![profile("default", Intent::Stopped), profile("a", Intent::Running)],
                skipped: vec![Skipped {
                    path: "/p/B".into(),
                    reason: "bad".into(),
                    unreadable: false,
                }],
                ..Facts::default()
            },
            r#"Register { profile: ProfileName("default"), detail: "" }
Start { profile: ProfileName("a") }
Skip { what: "/p/B", detail: "bad" }"#,
        );
    }

    #[test]
    fn a_dirty_one_is_cleared_first_and_a_bad_profile_costs_only_itself() {
        let mut bad = profile("bad", Intent::Stopped);
        bad.intent = Err("broken".into());
        let mut swept = profile("swept", Intent::Running);
        swept.stale_files = true;
        check(
            Facts {
                profiles: vec![profile("default", Intent::Stopped), bad, swept],
                services: vec![
                    slot("gone", true),
                    ServiceFact { supervised: false, ..slot("swept", false) },
                ],
                leftovers: vec!["/s/.hermes-x".into()],
                ..Facts::default()
            },
            r#"Clear { path: "/s/.hermes-x" }
Remove { profile: ProfileName("gone"), detail: "its profile is gone" }
Remove { profile: ProfileName("swept"), detail: "nobody supervised it" }
Register { profile: ProfileName("default"), detail: "" }
Unreadable { what: "bad", detail: "broken" }
Sweep { profile: ProfileName("swept") }
Start { profile: ProfileName("swept") }"#,
        );
    }

    #[test]
    fn what_is_as_it_should_be_is_kept_and_what_is_not_is_mended() {
        check(
            Facts {
                profiles: vec![
                    profile("default", Intent::Stopped),
                    profile("down", Intent::Running),
                    profile("orphan", Intent::Running),
                    profile("by-hand", Intent::Stopped),
                    profile("parked", Intent::Running),
                    profile("up", Intent::Stopped),
                ],
                services: vec![
                    ServiceFact { current: false, ..slot("default", false) },
                    slot("down", false),
                    ServiceFact { orphaned: true, ..slot("orphan", true) },
                    ServiceFact { orphaned: true, ..slot("by-hand", false) },
                    ServiceFact { parked: true, logger_orphaned: true, ..slot("parked", false) },
                    slot("up", true),
                ],
                ..Facts::default()
            },
            r#"ReplaceLogger { profile: ProfileName("parked") }
Keep { profile: ProfileName("default"), detail: "rendered by another version; `hermes gateway register --refresh` renews it" }
Start { profile: ProfileName("down") }
Start { profile: ProfileName("orphan") }
Keep { profile: ProfileName("by-hand"), detail: "" }
Keep { profile: ProfileName("parked"), detail: "parked" }
Stop { profile: ProfileName("up") }"#,
        );
    }

    #[test]
    fn what_an_operator_removed_or_stopped_is_started_by_a_boot_alone() {
        let slots = [
            ServiceFact { held_down: true, ..slot("stopped", false) },
            ServiceFact { held_down: true, ..slot("up", true) },
        ];
        let profiles = ["off", "stopped", "up"].map(|name| profile(name, Intent::Running));
        let facts = Facts {
            profiles: profiles.into(),
            services: slots.into(),
            unregistered: ["off".parse().unwrap()].into(),
            ..Facts::default()
        };
        assert_eq!(mends(&facts), []);
        check(
            facts,
            r#"Start { profile: ProfileName("off") }
Start { profile: ProfileName("stopped") }
Keep { profile: ProfileName("up"), detail: "" }"#,
        );
    }

    #[test]
    fn of_two_that_name_one_port_the_one_that_is_up_or_else_the_first_has_it() {
        let at = |name, port| ProfileFact { port: Some(port), ..profile(name, Intent::Running) };
        let profiles = vec![at("default", 1), at("a", 2), at("b", 2), at("c", 1)];
        check(
            Facts { profiles: profiles.clone(), ..Facts::default() },
            r#"Start { profile: ProfileName("default") }
Start { profile: ProfileName("a") }
Register { profile: ProfileName("b"), detail: "not started: port 2 belongs to `a`" }
Register { profile: ProfileName("c"), detail: "not started: port 1 belongs to `default`" }"#,
        );
        let kept = r#"Start { profile: ProfileName("default") }
Register { profile: ProfileName("a"), detail: "not started: port 2 belongs to `b`" }
Keep { profile: ProfileName("b"), detail: "" }
Register { profile: ProfileName("c"), detail: "not started: port 1 belongs to `default`" }"#;
        check(Facts { profiles, services: vec![slot("b", true)], ..Facts::default() }, kept);
    }

    #[test]
    fn what_default_serves_or_may_serve_is_not_started_and_not_forgotten() {
        let by = |name, by_default, intent| ProfileFact {
            by_default: Some(by_default),
            ..profile(name, intent)
        };
        let (serves, may) = (ByDefault::Serves, ByDefault::MayServe);
        let facts = Facts {
            profiles: vec![
                by("a-new", serves, Intent::Running),
                by("b-down", serves, Intent::Running),
                by("c-up", serves, Intent::Running),
                by("d-stopped", serves, Intent::Stopped),
                by("e-up", may, Intent::Running),
                by("f-down", may, Intent::Running),
            ],
            services: vec![
                slot("b-down", false),
                slot("c-up", true),
                slot("d-stopped", true),
                slot("e-up", true),
                slot("f-down", false),
            ],
            ..Facts::default()
        };
        let actions: Vec<_> = plan(&facts).iter().map(Action::to_string).collect();
        let expected = [
            "register a-new: not started: `default`'s gateway serves it",
            "keep b-down: `default`'s gateway serves it",
            "stop c-up: `default`'s gateway serves it",
            "stop d-stopped: it is not wanted",
            "keep e-up",
            "keep f-down: `default`'s gateway is coming up, and may serve it",
        ];
        assert_eq!(actions, expected);
        let mends: Vec<_> = mends(&facts).iter().map(Action::to_string).collect();
        assert_eq!(mends, [expected[0], expected[2], expected[3]]);
    }

    #[test]
    fn what_runs_outside_of_any_supervisor_is_left_alone() {
        let foreign = |name, intent| ProfileFact {
            foreign: Some("process 7".to_owned()),
            ..profile(name, intent)
        };
        let facts = Facts {
            profiles: vec![
                foreign("idle", Intent::Stopped),
                foreign("new", Intent::Running),
                foreign("unwanted", Intent::Stopped),
                foreign("wanted", Intent::Running),
            ],
            services: vec![slot("idle", false), slot("unwanted", true), slot("wanted", false)],
            ..Facts::default()
        };
        let actions: Vec<_> = plan(&facts).iter().map(Action::to_string).collect();
        let expected = [
            "leave idle: process 7",
            "register new: not started: process 7",
            "stop unwanted: it is not wanted",
            "leave wanted: process 7",
        ];
        assert_eq!(actions, expected);
    }
}
