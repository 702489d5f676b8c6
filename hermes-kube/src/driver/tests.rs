//! Requests of the primitives, against a cluster that keeps objects and follows replicas at once.

mod examine;

use std::sync::Mutex;
use std::time::Duration;

use hermes_core::driver::Class;
use hermes_core::error_chain::in_one_line;
use hermes_core::restart::PodRecord;
use serde_json::{Value, json};

use super::*;
use crate::mock::{Mock, Request, refusal};
use crate::objects::PROFILE;

/// What the cluster has.
#[derive(Debug, Default)]
struct Objects {
    sets: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
    made: u32,
    /// What new Pods have besides their metadata.
    pod: Value,
    /// Whether changes of existing StatefulSets are refused.
    immutable: bool,
    /// Whether no Pod ends, as on a node that is down.
    lost: bool,
}

/// A home and its cluster.
struct Stage {
    dir: tempfile::TempDir,
    objects: Arc<Mutex<Objects>>,
    mock: Mock,
    driver: Kubernetes,
}

impl Objects {
    fn answer(&mut self, request: &Request, home: &std::path::Path) -> (u16, Value) {
        let parts: Vec<_> = request.uri.path().trim_matches('/').split('/').collect();
        let (kind, name) = match parts[..] {
            [.., kind @ ("statefulsets" | "pods"), name] => (kind, name.to_owned()),
            [.., kind] => (kind, String::new()),
            [] => return refusal(404, "nothing"),
        };
        let is_set = kind == "statefulsets";
        let all = if is_set { &mut self.sets } else { &mut self.pods };
        match (request.method.as_str(), name.is_empty()) {
            ("GET", true) => {
                (200, json!({ "metadata": {}, "items": all.values().collect::<Vec<_>>() }))
            }
            ("GET", false) => match all.get(&name) {
                Some(object) => (200, object.clone()),
                None => refusal(404, "not found"),
            },
            ("DELETE", _) => {
                let object = all.remove(&name).unwrap_or_default();
                self.follow(home);
                (200, object)
            }
            ("PATCH", _)
                if self.immutable
                    && all.contains_key(&name)
                    && request.body["kind"] == "StatefulSet" =>
            {
                refusal(422, "updates to statefulset spec are forbidden")
            }
            ("PATCH", _) => {
                let mut object = all
                    .get(&name)
                    .cloned()
                    .unwrap_or_else(|| json!({ "metadata": {}, "spec": {} }));
                let generation = object["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
                match request.body["kind"] == "StatefulSet" {
                    true => object = request.body.clone(),
                    false => object["spec"]["replicas"] = request.body["spec"]["replicas"].clone(),
                }
                object["metadata"]["generation"] = generation.into();
                object["status"] = json!({ "observedGeneration": generation, "replicas": 0 });
                all.insert(name, object.clone());
                self.follow(home);
                (200, object)
            }
            _ => refusal(405, "no such method"),
        }
    }

    /// Makes and ends Pods as the sets want them. The launcher of each records a gateway that is up.
    fn follow(&mut self, home: &std::path::Path) {
        let wanted = |set: &&Value| set["spec"]["replicas"] == 1;
        let wanted: BTreeMap<_, _> = self
            .sets
            .iter()
            .filter(|(_, set)| wanted(set))
            .map(|(name, set)| (format!("{name}-0"), set))
            .collect();
        self.pods.retain(|name, _| self.lost || wanted.contains_key(name));
        for (name, set) in wanted {
            if self.pods.contains_key(&name) {
                continue;
            }
            self.made += 1;
            let uid = format!("pod-{}", self.made);
            let mut pod = self.pod.clone();
            pod["metadata"] =
                json!({ "name": name, "uid": uid, "annotations": set["metadata"]["annotations"] });
            self.pods.insert(name, pod);
            if pod_waits(&self.pod) {
                continue;
            }
            let profile = set["metadata"]["annotations"][PROFILE].as_str().unwrap_or_default();
            let record =
                PodRecord { pid: Some(self.made), ready: Some(true), ..PodRecord::new(uid) };
            let _ = record.write(&home.join("profiles").join(profile).join("gateway.pod"));
        }
    }
}

/// Whether the container of this Pod has not been started.
fn pod_waits(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["waiting"].is_object()
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = json!({
            "spec": { "containers": [], "terminationGracePeriodSeconds": 0 },
            "status": { "containerStatuses": [{
                "name": "gateway", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { "running": {} },
            }] },
        });
        let objects = Arc::new(Mutex::new(Objects { pod: running, ..Objects::default() }));
        let (shared, home) = (Arc::clone(&objects), dir.path().to_owned());
        let mock = Mock::start(move |request| shared.lock().unwrap().answer(request, &home));
        let limit = Duration::from_secs(10);
        let setup = Setup { image: Some("hermes:1".to_owned()), ..Setup::default() };
        let driver = Kubernetes::new(
            mock.client(limit),
            RootHome::new(dir.path()),
            setup,
            Timeouts::all(limit),
        );
        Self { dir, objects, mock, driver }
    }

    /// The driver for the same home and cluster with these timeouts of its own.
    fn driver_within(&self, limit: Duration) -> Kubernetes {
        let setup = Setup { image: Some("hermes:1".to_owned()), ..Setup::default() };
        let client = self.mock.client(Duration::from_secs(10));
        Kubernetes::new(client, RootHome::new(self.dir.path()), setup, Timeouts::all(limit))
    }

    fn gateway(&self, name: &str) -> Gateway {
        let name: ProfileName = name.parse().unwrap();
        let home = self.driver.store.root().profile(&name);
        std::fs::create_dir_all(home.path()).unwrap();
        self.driver.gateway(&name)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Objects) -> T) -> T {
        act(&mut self.objects.lock().unwrap())
    }

    fn state(&self, gateway: &Gateway) -> (State, bool, Option<u32>) {
        let status = self.driver.observe(gateway).unwrap();
        (status.state, status.registered, status.pid)
    }

    /// The requests that changed something since the last call of this.
    fn changes(&self, seen: &mut usize) -> Vec<String> {
        let requests = self.mock.requests();
        let new = requests.iter().skip(std::mem::replace(seen, requests.len()));
        new.filter(|request| request.method != "GET").map(Request::line).collect()
    }
}

const SET: &str = "/apis/apps/v1/namespaces/agents/statefulsets/hermes-coder";
const POD: &str = "/api/v1/namespaces/agents/pods/hermes-coder-0";

#[test]
fn a_stateful_set_is_made_at_the_first_start_and_deleted_with_the_service() {
    let stage = Stage::new();
    let (coder, mut seen) = (stage.gateway("coder"), 0);
    let env = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
    let options = CreateOptions { extra_env: env.clone(), up: false };
    assert_eq!(stage.state(&coder), (State::Unsupervised, false, None));
    stage.driver.create(&coder, &options).unwrap();
    assert_eq!(stage.changes(&mut seen), [""; 0]);
    assert_eq!(stage.state(&coder), (State::Down, true, None));
    assert_eq!(stage.driver.list().unwrap(), std::slice::from_ref(coder.name()));
    assert_eq!(stage.driver.extra_env(coder.name()).unwrap(), env);

    stage.driver.up(&coder).unwrap();
    assert_eq!(stage.changes(&mut seen), [format!("PATCH {SET}")]);
    assert_eq!(stage.state(&coder), (State::Up, true, Some(1)));
    let set = stage.with(|objects| objects.sets["hermes-coder"].clone());
    let env = &set["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!((&env["name"], &env["value"]), (&json!("A"), &json!("b")));

    stage.driver.create(&coder, &CreateOptions::default()).unwrap();
    assert_eq!(stage.state(&coder), (State::Up, true, Some(1)), "it keeps its replica");
    stage.driver.down(&coder).unwrap();
    assert_eq!(stage.state(&coder), (State::Down, true, None));
    stage.driver.create(&coder, &CreateOptions::default()).unwrap();
    assert_eq!(stage.state(&coder), (State::Down, true, None), "it gets none");

    stage.driver.remove(&coder).unwrap();
    assert_eq!(stage.state(&coder), (State::Unsupervised, false, None));
    assert!(stage.with(|objects| objects.sets.is_empty()));
    stage.driver.remove(&coder).unwrap();
}

#[test]
fn a_parked_gateway_gets_another_pod() {
    let stage = Stage::new();
    let (coder, mut seen) = (stage.gateway("coder"), 0);
    stage.driver.up(&coder).unwrap();
    let mut record = PodRecord::new("pod-1".to_owned());
    let parked = hermes_core::status::Parked { reason: "why".to_owned(), since: None };
    record.record.parked = Some(parked);
    record.write(&coder.home().pod_record()).unwrap();
    assert_eq!(stage.state(&coder).0, State::Parked);
    stage.changes(&mut seen);
    stage.driver.up(&coder).unwrap();
    assert_eq!(stage.changes(&mut seen), [format!("PATCH {SET}"), format!("DELETE {POD}")]);
    assert_eq!(stage.state(&coder), (State::Up, true, Some(2)));
    stage.driver.up(&coder).unwrap();
    assert_eq!(stage.state(&coder), (State::Up, true, Some(2)), "one that is up stays");
}

#[test]
fn fields_that_cannot_change_need_another_stateful_set() {
    let stage = Stage::new();
    let (coder, mut seen) = (stage.gateway("coder"), 0);
    stage.driver.up(&coder).unwrap();
    stage.with(|objects| objects.immutable = true);
    stage.changes(&mut seen);
    stage.driver.create(&coder, &CreateOptions::default()).unwrap();
    assert_eq!(
        stage.changes(&mut seen),
        [format!("PATCH {SET}")],
        "its Pod runs, and is left alone"
    );
    stage.driver.up(&coder).unwrap();
    let [patch, delete] = ["PATCH", "DELETE"].map(|method| format!("{method} {SET}"));
    let expected = [&patch, &patch, &patch, &delete, &patch].map(String::clone);
    assert_eq!(stage.changes(&mut seen), expected, "refused, scaled, refused, deleted, made");
    assert_eq!(stage.state(&coder), (State::Up, true, Some(2)));
}

#[test]
fn the_stateful_set_of_another_is_left_alone() {
    let stage = Stage::new();
    let (coder, mut seen) = (stage.gateway("coder"), 0);
    let mut refuses = |annotations: Value, expected: &str| {
        let set = json!({ "metadata": { "name": "hermes-coder", "annotations": annotations }, "spec": {} });
        stage.with(|objects| objects.sets.insert("hermes-coder".to_owned(), set));
        for outcome in [
            stage.driver.up(&coder),
            stage.driver.down(&coder),
            stage.driver.remove(&coder),
            stage.driver.observe(&coder).map(drop),
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.to_string(), format!("the StatefulSet `hermes-coder` {expected}"));
            assert!(
                error.hint().unwrap().contains("kubectl delete statefulset hermes-coder -n agents")
            );
        }
        assert_eq!(stage.changes(&mut seen), [""; 0]);
    };
    refuses(json!({ PROFILE: "other" }), "belongs to the profile `other`");
    refuses(json!({}), "was not made by hermes");
}

#[test]
fn many_are_looked_at_with_two_lists() {
    let stage = Stage::new();
    let gateways: Vec<_> = ["one", "two", "three"].map(|name| stage.gateway(name)).into();
    stage.driver.up(&gateways[0]).unwrap();
    stage.driver.create(&gateways[1], &CreateOptions::default()).unwrap();
    let before = stage.mock.requests().len();
    let statuses = stage.driver.observe_many(&gateways).unwrap();
    let states: Vec<_> = statuses.into_iter().map(|status| status.unwrap().state).collect();
    assert_eq!(states, [State::Up, State::Down, State::Unsupervised]);
    assert_eq!(stage.mock.requests().len(), before + 2);
    let survey = stage.driver.survey().unwrap();
    let services: Vec<_> =
        survey.services.iter().map(|one| (one.profile.as_str(), one.wanted, one.running)).collect();
    assert_eq!(
        services,
        [("one", Wanted::Up, true), ("two", Wanted::Down, false), ("default", Wanted::Down, false)]
    );
    for ended in stage.driver.remove_many(&gateways) {
        ended.unwrap();
    }
    assert!(stage.with(|objects| objects.sets.is_empty() && objects.pods.is_empty()));
    assert_eq!(stage.driver.list().unwrap(), []);
}

#[test]
fn default_has_no_pod() {
    let stage = Stage::new();
    let default = stage.driver.gateway(&ProfileName::default_profile());
    for refused in [
        stage.driver.check(default.name(), "gateway start default"),
        stage.driver.check_name(default.name()),
        stage.driver.create(&default, &CreateOptions { up: true, ..CreateOptions::default() }),
        stage.driver.up(&default),
    ] {
        let error = refused.unwrap_err();
        assert!(error.to_string().starts_with("`default` has no Pod"), "{error}");
        assert!(error.hint().unwrap().contains("`hermes profile create NAME`"));
    }
    stage.driver.create(&default, &CreateOptions::default()).unwrap();
    stage.driver.down(&default).unwrap();
    assert_eq!(stage.state(&default), (State::Unsupervised, false, None));
    assert!(!Driver::exists(&stage.driver, default.name()).unwrap());
    assert_eq!(stage.mock.requests(), []);
}

#[test]
fn a_pod_that_does_not_start_is_named() {
    let stage = Stage::new();
    let coder = stage.gateway("coder");
    let driver = stage.driver_within(Duration::from_millis(300));
    let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": "no such image" } });
    stage.with(|objects| {
        objects.pod["status"]["containerStatuses"][0]["state"] = waiting;
        objects.pod["spec"]["nodeName"] = "node-1".into();
    });
    let error = driver.up(&coder).unwrap_err();
    let text = in_one_line(&error);
    assert_eq!(text, "its container waits: ErrImagePull: no such image");
    assert!(matches!(error.class(), Class::TimedOut(_)), "{error:?}");
    assert!(error.hint().unwrap().contains("`kubectl describe pod hermes-coder-0 -n agents`"));
}

#[test]
fn a_pod_that_does_not_end_is_named_and_no_other_waits_for_it() {
    let stage = Stage::new();
    let (coder, other) = (stage.gateway("coder"), stage.gateway("other"));
    std::fs::write(coder.home().config(), "gateway: {stop_timeout: 0}\n").unwrap();
    stage.driver.up(&coder).unwrap();
    stage.with(|objects| {
        objects.lost = true;
        objects.pods.get_mut("hermes-coder-0").unwrap()["spec"]["nodeName"] = "node-1".into();
    });
    let driver = stage.driver_within(Duration::from_millis(100));
    let mut outcomes = driver.remove_many(&[coder, other]);
    outcomes.pop().unwrap().unwrap();
    let error = outcomes.pop().unwrap().unwrap_err();
    let expected = "its Pod `hermes-coder-0` has not ended on the node `node-1`";
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error.class(), Class::TimedOut(_)), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("`kubectl delete pod hermes-coder-0 -n agents --force`"), "{hint}");
    assert!(stage.with(|objects| objects.sets.contains_key("hermes-coder")), "it is not deleted");
}

#[test]
fn without_an_image_the_variable_is_named() {
    let stage = Stage::new();
    let coder = stage.gateway("coder");
    let client = stage.mock.client(Duration::from_secs(10));
    let root = RootHome::new(stage.dir.path());
    let driver = Kubernetes::new(client, root, Setup::default(), Timeouts::default());
    let options = CreateOptions { up: true, ..CreateOptions::default() };
    let error = driver.create(&coder, &options).unwrap_err();
    assert_eq!(error.to_string(), "HERMES_KUBERNETES_IMAGE does not name the image of its Pod");
    assert_eq!(driver.list().unwrap(), [], "it is not registered");
}
