//! A stand-in for a Kubernetes cluster, for tests: the API server, the controller of StatefulSets, and a kubelet that runs
//! the containers of Pods as processes of this machine.
//!
//! It answers over HTTP on 127.0.0.1 as Kubernetes 1.33 does, as far as a backend of gateways asks.
//!
//! | file | what it does |
//! |---|---|
//! | `server`, `call`, `objects`, `watching`, `logs` | what a request asks for, and its answer |
//! | `access`, `faults`, `failure` | who may do what; what goes wrong on purpose; how errors look |
//! | `admission`, `fields`, `owners`, `deletion` | defaults and checks; server-side apply; the end of objects |
//! | `store`, `resource`, `shared`, `output`, `time` | objects, versions, settings, what containers print |
//! | `controller` | makes and ends the Pods of sets |
//! | `kubelet`, `pod`, `pod_status`, `events` | the threads of Pods, what they are told and what they tell |
//! | `plan`, `sandbox`, `probing` | what a container runs, its processes, whether it answers |

mod access;
mod admission;
mod call;
mod controller;
mod deletion;
mod events;
mod failure;
mod faults;
mod fields;
mod kubelet;
mod logs;
mod objects;
mod output;
mod owners;
mod plan;
mod pod;
mod pod_status;
mod probing;
mod resource;
mod sandbox;
mod server;
mod shared;
mod store;
mod time;
mod watching;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{Answer, TestEnv, eventually, request};

pub use controller::is_ready;
pub use faults::Fault;
pub use shared::Seen;

use access::Access;
use events::Event;
use owners::Owners;
use resource::Resource;
use shared::{Settings, Shared};

/// The only namespace.
pub const NAMESPACE: &str = "hermes";
/// The path of its StatefulSets.
pub const SETS: &str = "/apis/apps/v1/namespaces/hermes/statefulsets";
/// The path of its Pods.
pub const PODS: &str = "/api/v1/namespaces/hermes/pods";
/// The claim of the volume with the root home.
pub const CLAIM: &str = "hermes-home";

/// A cluster for one test. Dropping it ends its processes, and blocks until they have ended.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    kubeconfig: PathBuf,
    url: String,
    end: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// A cluster whose volume [`CLAIM`] is the root home of `env`, and whose kubeconfig is a file of `env`. Its
    /// back-off and its probes are `env.faster` times faster.
    pub fn start(env: &TestEnv) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let token = format!("token-{}", uid());
        let settings = Settings {
            back_off: Duration::from_secs(10) / env.faster,
            faster: env.faster,
            node: 1,
            image: image(env),
            directory: Some(tempfile::tempdir().expect("a directory")),
            ..Settings::default()
        };
        let shared = Arc::new(Shared::new(Access::new(token.clone()), settings));
        let kubeconfig = env.path().join("kubeconfig");
        env.write(&kubeconfig, &config(&url, &token).to_string());
        let (end, ended) = oneshot::channel();
        let serve = {
            let shared = Arc::clone(&shared);
            move || server::serve(&shared, listener, ended)
        };
        let control = {
            let shared = Arc::clone(&shared);
            move || controller::run(&shared)
        };
        let run = {
            let shared = Arc::clone(&shared);
            move || kubelet::run(&shared)
        };
        let threads = vec![thread::spawn(serve), thread::spawn(control), thread::spawn(run)];
        let cluster = Self { shared, kubeconfig, url, end: Some(end), threads };
        cluster.claim(CLAIM, &env.home());
        cluster
    }

    /// The path of the kubeconfig, which is JSON.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The address of the API server: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bearer token in the kubeconfig.
    pub fn token(&self) -> String {
        self.shared.with_access(|access| access.token.clone())
    }

    /// Has the server refuse the token from now on, with 401.
    pub fn expire_token(&self) {
        self.shared.with_access(Access::expire);
    }

    /// Makes the directory the volume that the claim `name` names, and the claim an object.
    pub fn claim(&self, name: &str, directory: &Path) {
        self.shared.with_settings(|settings| {
            settings.claims.insert(name.to_owned(), directory.to_owned());
        });
        let object = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": name, "namespace": NAMESPACE, "uid": uid(), "creationTimestamp": time::now(),
            },
            "spec": { "accessModes": ["ReadWriteMany"], "resources": { "requests": { "storage": "1Gi" } } },
            "status": { "phase": "Bound", "accessModes": ["ReadWriteMany"] },
        });
        self.shared.store.with(|data| {
            data.put(Resource::Claims, object, Owners::default());
        });
    }

    /// Takes a verb on a resource (`pods/log`) out of the Role. At first it is the least that the backend needs.
    pub fn forbid(&self, verb: &str, resource: &str) {
        self.shared.with_access(|access| access.set(verb, resource, false));
    }

    /// Puts a verb on a resource into the Role.
    pub fn allow(&self, verb: &str, resource: &str) {
        self.shared.with_access(|access| access.set(verb, resource, true));
    }

    /// Has the next `times` requests with this verb and resource, each of which may be `*`, end with `fault`.
    pub fn fail(&self, verb: &str, resource: &str, fault: Fault, times: usize) {
        self.shared.with_faults(|faults| faults.add(verb, resource, fault, times));
    }

    /// Forgets what [`Cluster::fail`] has ordered. A request that hangs goes on to hang.
    pub fn heal(&self) {
        self.shared.with_faults(|faults| faults.clear());
    }

    /// Forgets all changes so far: a watch, a running one as well, is told 410, and so is the next page of a list.
    pub fn forget_versions(&self) {
        self.shared.store.with(|data| data.forget());
    }

    /// Closes the connections of all watches and logs that are followed.
    pub fn close_streams(&self) {
        self.shared.close_streams();
    }

    /// Sends a request with the token of the kubeconfig, and reads the whole answer. `kind` is the type of the body.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token());
        let headers = [("authorization", &*bearer), ("content-type", kind)];
        let body = body.map(Value::to_string);
        request(method, &format!("{}{path}", self.url), &headers, body.as_deref())
    }

    /// Applies a StatefulSet. `options` are more parameters of the URL: `&force=true`.
    #[track_caller]
    pub fn apply(&self, manager: &str, options: &str, set: &Value) -> Answer {
        let name = set["metadata"]["name"].as_str().expect("a name");
        let path = format!("{SETS}/{name}?fieldManager={manager}{options}");
        self.ask("PATCH", &path, "application/apply-patch+yaml", Some(set))
    }

    /// The log of a Pod. `options` are those of the URL: `?previous=true`.
    #[track_caller]
    pub fn log(&self, pod: &str, options: &str) -> Answer {
        self.ask("GET", &format!("{PODS}/{pod}/log{options}"), "application/json", None)
    }

    /// The Pod, once it is ready and not the one with the ID `former`. Blocks at most for [`SOON`](crate::SOON).
    #[track_caller]
    pub fn once_ready(&self, pod: &str, former: &Value) -> Value {
        let is_another = |pod: &Value| is_ready(pod) && pod["metadata"]["uid"] != *former;
        eventually("the Pod is ready", || self.pod(pod).filter(is_another))
    }

    /// Sets a variable of the environment that images have. At first they have the `hermes` of the environment in their
    /// `PATH`, and its policy's divisor.
    pub fn set_image_variable(&self, name: &str, value: &str) {
        self.shared.with_settings(|settings| {
            settings.image.insert(name.to_owned(), value.to_owned());
        });
    }

    /// Sets how long the second restart of a container in a row waits; the first waits not at all, later ones twice as long
    /// as the one before.
    pub fn set_back_off(&self, delay: Duration) {
        self.shared.with_settings(|settings| settings.back_off = delay);
    }

    /// Has the node that all new Pods came to so far answer no more: its Pods are not ready, run on, and none of them
    /// ends; the log of one is never answered. New Pods come to another node. A Pod's object goes if it is deleted with a
    /// grace period of 0, and its processes still run on.
    pub fn lose_node(&self) {
        let lost = self.shared.with_settings(|settings| {
            let lost = format!("node-{}", settings.node);
            settings.node += 1;
            settings.lost.insert(lost.clone());
            lost
        });
        self.shared.store.with(|data| {
            let on_it = |pod: &&Arc<Value>| pod["spec"]["nodeName"] == *lost;
            let pods: Vec<_> = data.all(Resource::Pods).filter(on_it).cloned().collect();
            for pod in pods {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                data.update(Resource::Pods, name, pod_status::lose);
            }
        });
    }

    /// Has all lost nodes answer again: they do what they have missed.
    pub fn find_nodes(&self) {
        self.shared.with_settings(|settings| settings.lost.clear());
        self.shared.tell_pods(|| Event::Changed);
    }

    /// The machine's numbers of the processes of the Pod's container; empty if it does not run.
    pub fn processes(&self, pod: &str) -> Vec<u64> {
        let uid = self.pod(pod).map(|pod| pod["metadata"]["uid"].clone());
        let uid = uid.as_ref().and_then(Value::as_str).unwrap_or_default();
        let main = self.shared.with_settings(|settings| settings.processes.get(uid).copied());
        main.map(|main| sandbox::processes(uid, main)).unwrap_or_default()
    }

    /// The machine's number of the process that has the number `pid` in the Pod.
    pub fn process(&self, pod: &str, pid: u64) -> Option<u64> {
        let proc = hermes_core::Proc::default();
        let own = |of: u64| proc.own_pid(u32::try_from(of).ok()?).ok().map(u64::from);
        self.processes(pod).into_iter().find(|one| own(*one) == Some(pid))
    }

    /// Kills process 1 of the Pod's container with SIGKILL.
    ///
    /// # Panics
    ///
    /// If it does not run.
    #[track_caller]
    pub fn kill_main(&self, pod: &str) {
        let object = self.pod(pod).expect("a Pod");
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let main = self.shared.with_settings(|settings| settings.processes.get(uid).copied());
        crate::kill(main.expect("a running container").into());
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.accepted()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.with_seen(|seen| seen.clone())
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.with_seen(|seen| seen.clear());
    }

    /// The StatefulSet of this name, as the server has it.
    pub fn stateful_set(&self, name: &str) -> Option<Value> {
        self.shared.store.get(Resource::StatefulSets, name).map(|set| (*set).clone())
    }

    /// The Pod of this name, as the server has it.
    pub fn pod(&self, name: &str) -> Option<Value> {
        self.shared.store.get(Resource::Pods, name).map(|pod| (*pod).clone())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.store.end();
        self.end.take();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() && !thread::panicking() {
                panic!("a part of the cluster panicked");
            }
        }
    }
}

/// The environment that stands for the image's.
fn image(env: &TestEnv) -> BTreeMap<String, String> {
    let program = (env.program)().parent().expect("a file").display();
    let path = format!("{program}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    [("PATH", path), ("HOME", "/".to_owned()), ("HERMES_TEST_FASTER", env.faster.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// A kubeconfig with one context, whose namespace is [`NAMESPACE`].
fn config(url: &str, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": url } }],
        "users": [{ "name": "test", "user": { "token": token } }],
        "contexts": [{
            "name": "test", "context": { "cluster": "test", "user": "test", "namespace": NAMESPACE },
        }],
    })
}

/// A new unique ID, of the kernel.
fn uid() -> String {
    let uid = std::fs::read_to_string("/proc/sys/kernel/random/uuid");
    uid.expect("/proc is mounted").trim().to_owned()
}
