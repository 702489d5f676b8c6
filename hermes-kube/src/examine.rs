//! The checks of `doctor`: objects that belong to no profile or differ from it, Pods that do not start, addresses that no
//! other Pod reaches.

use std::collections::BTreeSet;
use std::time::Duration;

use hermes_core::config::Origin;
use hermes_core::diagnostics::{Check, Examination, Remedy, Snapshot, several};
use hermes_core::error_chain::in_one_line;
use hermes_core::{Gateway, ProfileName, hosts};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::Value;

use crate::driver::{Kubernetes, set_name};
use crate::look::All;
use crate::names::pod_name;
use crate::objects::stateful_set;
use crate::status::{Found, age};

/// How long a Pod may take to start its container: images have to be pulled.
const STARTING: Duration = Duration::from_secs(60);

impl Kubernetes {
    pub(crate) fn checks(&self, snapshot: &Snapshot) -> Examination {
        let checks = ["services", "fields", "pods", "addresses"].map(Check::new);
        let [mut services, mut fields, mut pods, mut addresses] = checks;
        match self.look_at_all() {
            Ok(mut all) => {
                self.orphans(snapshot, &all, &mut services);
                for gateway in &snapshot.gateways {
                    let found = all.take(gateway.name());
                    self.drift(snapshot, gateway, &found, &mut fields);
                    self.stuck(gateway.name(), &found, &mut pods);
                    if found.is_wanted() {
                        loopback(snapshot, gateway, &mut addresses);
                    }
                }
            }
            Err(error) => {
                let why = in_one_line(&error);
                for check in [&mut services, &mut fields, &mut pods, &mut addresses] {
                    check.partial(why.as_str());
                }
            }
        }
        let count = |check: &Check, what| several(check.findings().len(), what);
        let (gone, old) = (count(&services, "service"), count(&fields, "StatefulSet"));
        let (stuck, hidden) = (count(&pods, "Pod"), count(&addresses, "gateway"));
        let backend = vec![
            services.with_evidence(format!("{gone} without a profile")),
            fields.with_evidence(format!("{old} with other fields than a start gives it")),
            pods.with_evidence(format!("{stuck} without a container that runs")),
            addresses.with_evidence(format!("{hidden} out of reach for other Pods")),
        ];
        Examination { backend, ..Examination::default() }
    }

    fn orphans(&self, snapshot: &Snapshot, all: &All, check: &mut Check) {
        let registered = self.registry.list().unwrap_or_else(|error| {
            check.partial(error.to_string());
            Vec::new()
        });
        let names: BTreeSet<_> = all.names().into_iter().chain(registered).collect();
        for name in names.iter().filter(|name| snapshot.is_gone(name)) {
            let problem =
                format!("the gateway of `{name}` has a service, and there is no such profile");
            check.warning(problem, snapshot.run("boot"));
        }
    }

    fn drift(&self, snapshot: &Snapshot, gateway: &Gateway, found: &Found, check: &mut Check) {
        let Some(set) = &found.set else { return };
        let name = gateway.name();
        let wanted = self.settings().and_then(|settings| {
            Ok(stateful_set(gateway, &settings, &self.env(name)?, found.is_wanted()))
        });
        match wanted {
            Ok(wanted) if has_fields(set, &wanted) => {}
            Ok(_) => {
                let problem = format!(
                    "the StatefulSet of `{name}` differs from what a start makes of its profile"
                );
                let verb = if found.is_wanted() { "restart" } else { "start" };
                check.warning(problem, snapshot.run(&format!("gateway {verb} {name}")));
            }
            Err(error) => check.partial(error.to_string()),
        }
    }

    fn stuck(&self, name: &ProfileName, found: &Found, check: &mut Check) {
        let created = found.pod.as_ref().and_then(|pod| pod.metadata.creation_timestamp.as_ref());
        let is_old = created.is_some_and(|at| age(at.0, Timestamp::now()) > STARTING);
        if !is_old || !found.is_wanted() || found.is_running() {
            return;
        }
        if let Some(trouble) = found.trouble() {
            let (pod, namespace) = (pod_name(&set_name(name)), self.client.namespace());
            let remedy = format!("`kubectl describe pod {pod} -n {namespace}` shows its events");
            let problem = format!("the gateway of `{name}` does not start: {trouble}");
            check.error(problem, Remedy::Do(remedy));
        }
    }
}

fn loopback(snapshot: &Snapshot, gateway: &Gateway, check: &mut Check) {
    let Ok(loaded) = gateway.loaded() else { return };
    let (name, host) = (gateway.name(), &loaded.gateway.host);
    let place = loaded.origins.keys.get("host").and_then(Origin::place);
    if let Some(place) = place.filter(|_| hosts::is_loopback(host)) {
        let restart = snapshot.command_line(&format!("gateway restart {name}"));
        check.warning(
            format!(
                "the gateway of `{name}` listens on `{host}` ({place}): no other Pod can reach it"
            ),
            Remedy::Do(format!("take the host out of the file, and run `{restart}`")),
        );
    }
}

/// Whether `set` has the fields of `wanted`, but for those that differ on purpose: a gateway keeps its image until its next
/// start. The server adds fields, and writes quantities in its own way.
fn has_fields(set: &StatefulSet, wanted: &StatefulSet) -> bool {
    let fields = |set: &StatefulSet| {
        let mut spec = serde_json::to_value(&set.spec).unwrap_or_default();
        let mut remove = |path: &str, key: &str| {
            if let Some(Value::Object(map)) = spec.pointer_mut(path) {
                map.remove(key);
            }
        };
        remove("", "replicas");
        for key in ["image", "resources"] {
            remove("/template/spec/containers/0", key);
        }
        spec
    };
    contains(&fields(set), &fields(wanted))
}

fn contains(actual: &Value, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| actual.get(key).is_some_and(|actual| contains(actual, wanted))),
        (Value::Array(actual), Value::Array(wanted)) => {
            actual.len() == wanted.len()
                && actual.iter().zip(wanted).all(|(actual, wanted)| contains(actual, wanted))
        }
        (actual, wanted) => actual == wanted,
    }
}
