//! A real cluster: the manifests of `deploy/kubernetes/cluster`, applied as they stand in a namespace of a test's own.
//!
//! `cargo xtask kube-test` runs the tests that use it, and names image and storage class in variables. Everything is asked
//! through kubectl, as an operator does: commands run in the console, and `kubectl exec` reaches the processes of a gateway
//! in its Pod.

#![expect(clippy::print_stderr, reason = "a failed test prints the state of its namespace")]

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock};

use serde_json::{Value, json};

use crate::container::unique;
use crate::suite::{Cluster, Machine};
use crate::{Hermes, SOON, within};

/// Below this number are those of real processes. Those of Pods, which have the same ones, get one beyond it.
const FIRST: u64 = 1 << 32;
/// The Pods of the console.
const CONSOLE: &str = "app.kubernetes.io/name=hermes-console";
/// How long the start of a console may take: its node may have to pull the image.
const CONSOLE_START: &str = "--timeout=300s";
/// The divisor of the delays after a death.
const FASTER: &str = "10";

/// Locked by every test, and exclusively by a test that must run alone.
static CLUSTER: RwLock<()> = RwLock::new(());

/// A namespace with a volume, a console and its gateways. Dropping it removes all of that.
#[derive(Debug)]
pub struct Installation {
    namespace: String,
    /// What kustomize makes the objects from.
    overlay: tempfile::TempDir,
    console: String,
    /// What the numbers that stand for processes of Pods mean.
    processes: RefCell<Vec<Process>>,
    /// Its lock on [`CLUSTER`], until everything is removed.
    _turn: Box<dyn fmt::Debug>,
}

/// A process of a Pod's container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    profile: String,
    /// Each run of a container has an ID of its own.
    container: String,
    pid: u64,
}

impl Installation {
    /// The manifests in a new namespace, with a volume of the storage class that `HERMES_TEST_STORAGE_CLASS` names.
    #[expect(clippy::new_without_default, reason = "it makes objects in a cluster")]
    #[track_caller]
    pub fn new() -> Self {
        Self::of(variable("HERMES_TEST_STORAGE_CLASS").as_deref())
    }

    /// Likewise with a volume of this storage class, or of the default one.
    #[track_caller]
    pub fn of(class: Option<&str>) -> Self {
        Self::with(Box::new(CLUSTER.read().unwrap_or_else(PoisonError::into_inner)), class)
    }

    /// As [`new`](Self::new), for a test that fills the cluster or stops a part of it: no other test runs meanwhile.
    #[track_caller]
    pub fn alone() -> Self {
        let turn = CLUSTER.write().unwrap_or_else(PoisonError::into_inner);
        Self::with(Box::new(turn), variable("HERMES_TEST_STORAGE_CLASS").as_deref())
    }

    #[track_caller]
    fn with(_turn: Box<dyn fmt::Debug>, class: Option<&str>) -> Self {
        let namespace = unique();
        let overlay = overlay(&namespace, class);
        let (console, processes) = (String::new(), RefCell::default());
        let mut made = Self { namespace, overlay, console, processes, _turn };
        made.install();
        made
    }

    /// Applies the manifests, and blocks until the console is ready.
    #[track_caller]
    pub fn install(&mut self) {
        let overlay = self.overlay.path().to_str().expect("a UTF-8 path");
        kubectl(["apply", "--kustomize", overlay]).ok();
        self.find_console();
    }

    /// Blocks until the console is ready, and has commands run in it from now on.
    #[track_caller]
    pub fn find_console(&mut self) {
        self.kubectl(["rollout", "status", "deployment/hermes", CONSOLE_START]).ok();
        let [console] = &self.consoles()[..] else { panic!("one console") };
        self.console.clone_from(console);
    }

    /// The names of the Pods of the console that are to stay.
    pub fn consoles(&self) -> Vec<String> {
        let pods = self.kubectl(["get", "pods", "--selector", CONSOLE, "--output=json"]).json();
        let pods = pods["items"].as_array().expect("a list").iter();
        let stays = |pod: &&Value| {
            pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running"
        };
        pods.filter(stays)
            .map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// The name of the console's Pod.
    pub fn console(&self) -> &str {
        &self.console
    }

    /// The name of a Pod's node.
    pub fn node_of(&self, pod: &str) -> String {
        let pod = self.object("pod", pod).expect("a Pod");
        pod["spec"]["nodeName"].as_str().expect("a node").to_owned()
    }

    /// kubectl in this namespace.
    pub fn kubectl<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Hermes {
        kubectl(["--namespace", &self.namespace]).args(args)
    }

    /// A program in a Pod.
    pub fn enter<'a>(&self, pod: &str, command: impl IntoIterator<Item = &'a str>) -> Hermes {
        self.kubectl(["exec", pod, "--"]).args(command)
    }

    /// What `GET /health` of the gateway of the profile answers in the console, by the name of the gateway's Pod; `None`
    /// if it does not answer.
    pub fn health(&self, profile: &str) -> Option<String> {
        let port = self.hermes(&["profile", "port", profile]).ok().stdout;
        let name = format!("{}.{}", Self::pod_name(profile), hermes_kube::objects::SERVICE);
        let ask = format!(
            "exec 3<>/dev/tcp/{name}/{} && printf 'GET /health HTTP/1.0\\r\\nHost: {name}\\r\\n\\r\\n' >&3 && cat <&3",
            port.trim()
        );
        let answer = self.enter(&self.console, ["bash", "-c", &ask]).run();
        (answer.code() == Some(0) && answer.stdout.contains(" 200 ")).then_some(answer.stdout)
    }

    /// The API server's whole answer to a request for a list of this namespace, such as `/api/v1` and `pods`.
    pub fn list(&self, api: &str, resource: &str) -> String {
        kubectl(["get", "--raw", &format!("{api}/namespaces/{}/{resource}", self.namespace)])
            .ok()
            .stdout
    }

    fn set(profile: &str) -> String {
        hermes_kube::names::object_name(&profile.parse().expect("a name"))
    }

    fn pod_name(profile: &str) -> String {
        hermes_kube::names::pod_name(&Self::set(profile))
    }

    /// The object of this kind and name.
    fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let get = ["get", kind, name, "--ignore-not-found", "--output=json"];
        let object = self.kubectl(get).ok();
        (!object.stdout.is_empty()).then(|| object.json())
    }

    /// The process that a number stands for; `None` if it is one of the console.
    fn process(&self, number: u64) -> Option<Process> {
        let index = usize::try_from(number.checked_sub(FIRST)?).expect("a small number");
        self.processes.borrow().get(index).cloned()
    }

    /// The number that stands for a process.
    fn number(&self, process: Process) -> u64 {
        let mut processes = self.processes.borrow_mut();
        let known = processes.iter().position(|one| *one == process);
        let index = known.unwrap_or(processes.len());
        if known.is_none() {
            processes.push(process);
        }
        FIRST + u64::try_from(index).expect("a small number")
    }

    /// The ID of the running container of the profile's Pod.
    fn container(&self, profile: &str) -> Option<String> {
        let container = &self.pod(profile)?["status"]["containerStatuses"][0];
        let runs = !container["state"]["running"].is_null();
        container["containerID"].as_str().filter(|_| runs).map(str::to_owned)
    }
}

impl Machine for Installation {
    fn hermes(&self, args: &[&str]) -> Hermes {
        self.enter(&self.console, ["hermes"]).args(args.iter().copied())
    }

    fn shell(&self, script: &str) -> Hermes {
        self.enter(&self.console, ["sh", "-c", script])
    }

    fn home(&self) -> String {
        "/opt/data".to_owned()
    }

    /// Every Pod of the namespace, the console's included, is replaced by another one.
    fn restart(&mut self) {
        let pods = ["delete", "pods", "--all", "--wait=true", "--timeout=120s"];
        self.kubectl(pods).ok();
        self.find_console();
    }

    fn service_files(&self, profile: &str) -> Vec<String> {
        let set = self.object("statefulset", &Self::set(profile)).map(|_| Self::set(profile));
        let registration = format!("{}/profiles/.pods/{profile}", self.home());
        let is_there = self.shell(&format!("test -e {registration}")).run().code() == Some(0);
        set.into_iter().chain(is_there.then_some(registration)).collect()
    }

    fn rendered(&self, profile: &str) -> String {
        let set = self.object("statefulset", &Self::set(profile)).expect("a StatefulSet");
        let pod = self.pod(profile).expect("a Pod");
        let read = format!("cat {}/profiles/.pods/{profile}", self.home());
        let words = pod["spec"]["containers"][0]["command"].as_array().expect("a command");
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        format!("{set}\n{pod}\n{}\n{}", self.shell(&read).ok().stdout, words.join(" "))
    }

    fn runs(&self) -> &'static str {
        "gateway pod"
    }

    /// With a number of its own for a process of a Pod.
    fn status(&self, profile: &str) -> Value {
        let mut status = self.hermes(&["gateway", "status", profile, "--json"]).run().json();
        let pid = status["pid"].as_u64().filter(|_| status["state"] != "orphan");
        if let Some((pid, container)) = pid.zip(self.container(profile)) {
            let process = Process { profile: profile.to_owned(), container, pid };
            status["pid"] = self.number(process).into();
        }
        status
    }

    fn is_alive(&self, pid: u64) -> bool {
        let of = |pid: u64| format!("grep -qs '^State:.[^ZX]' /proc/{pid}/status");
        let Some(process) = self.process(pid) else {
            return self.shell(&of(pid)).run().code() == Some(0);
        };
        if self.container(&process.profile).as_ref() != Some(&process.container) {
            return false;
        }
        let pod = Self::pod_name(&process.profile);
        self.enter(&pod, ["sh", "-c", &of(process.pid)]).run().code() == Some(0)
    }

    fn kill(&self, pid: u64) {
        let process = self.process(pid).expect("a process of a Pod");
        let kill = format!("kill -9 {}", process.pid);
        self.enter(&Self::pod_name(&process.profile), ["sh", "-c", &kill]).ok();
    }
}

impl Cluster for Installation {
    fn pod(&self, profile: &str) -> Option<Value> {
        self.object("pod", &Self::pod_name(profile))
    }

    fn delete_pod(&self, profile: &str) {
        self.kubectl(["delete", "pod", &Self::pod_name(profile), "--wait=false"]).ok();
    }

    fn scale(&self, profile: &str, replicas: u32) {
        let replicas = format!("--replicas={replicas}");
        self.kubectl(["scale", "statefulset", &Self::set(profile), &replicas]).ok();
    }

    /// Runs the command that `HERMES_TEST_LOSE_NODE` holds, and blocks until Kubernetes has noticed.
    fn lose_node(&self, profile: &str) -> String {
        let pod = self.pod(profile).expect("a Pod");
        let node = pod["spec"]["nodeName"].as_str().expect("a node").to_owned();
        on_node("HERMES_TEST_LOSE_NODE", &node);
        within(SOON * 3, "Kubernetes has noticed", || {
            let node = self.object("node", &node)?;
            let conditions = node["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|one| one["type"] == "Ready")?;
            (ready["status"] != "True").then_some(())
        });
        node
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for args in [&["get", "pods,statefulsets", "--output=wide"][..], &["get", "events"]] {
                eprintln!("{}", self.kubectl(args.iter().copied()).run());
            }
            if std::env::var_os("HERMES_TEST_KEEP").is_some() {
                return;
            }
        }
        let _ = kubectl(["delete", "namespace", &self.namespace, "--timeout=120s"]).run();
    }
}

/// Runs the command of a shell in a variable, with the name of a node in `NODE`.
pub fn on_node(variable: &str, node: &str) {
    let command = self::variable(variable).expect("the test is not run without it");
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).env("NODE", node).stdin(Stdio::null());
    assert!(shell.status().expect("a shell").success(), "{command} {node}");
}

/// A variable that is set, and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// kubectl with these arguments, for the cluster of its own configuration.
pub fn kubectl<'a>(args: impl IntoIterator<Item = &'a str>) -> Hermes {
    let mut command = Command::new("kubectl");
    command.args(args);
    Hermes::new(command)
}

/// A directory for kustomize: the manifests as they stand with the image, as an operator names it; and around them the
/// namespace, the storage class, and faster delays.
fn overlay(namespace: &str, class: Option<&str>) -> tempfile::TempDir {
    let overlay = tempfile::tempdir().expect("a directory");
    let base = overlay.path().join("cluster");
    fs::create_dir(&base).expect("a directory");
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/cluster");
    for file in crate::names(&manifests) {
        fs::copy(manifests.join(&file), base.join(&file)).expect("a file");
    }
    let image = variable("HERMES_TEST_IMAGE").expect("HERMES_TEST_IMAGE: cargo xtask kube-test");
    let (name, tag) = split(&image);
    let images = json!([{ "name": "hermes", "newName": name, "newTag": tag }]);
    let own = base.join("kustomization.yaml");
    let text = fs::read_to_string(&own).expect("a file");
    fs::write(&own, format!("{text}images: {images}\n")).expect("a file");
    let patch = |kind: &str, path: &str, value: Value| {
        let patch = json!([{ "op": "add", "path": path, "value": value }]);
        json!({ "target": { "kind": kind }, "patch": patch.to_string() })
    };
    let label = variable("HERMES_TEST_LABEL").expect("HERMES_TEST_LABEL: cargo xtask kube-test");
    let (key, value) = label.split_once('=').expect("a key and a value");
    let faster = json!({ "name": "HERMES_TEST_FASTER", "value": FASTER });
    let env = "/spec/template/spec/containers/0/env/-";
    let mut patches = vec![
        patch("Namespace", &format!("/metadata/labels/{key}"), json!(value)),
        patch("Deployment", env, faster),
    ];
    let class =
        class.map(|class| patch("PersistentVolumeClaim", "/spec/storageClassName", json!(class)));
    patches.extend(class);
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "namespace": namespace, "resources": ["cluster"], "patches": patches,
    });
    fs::write(overlay.path().join("kustomization.yaml"), kustomization.to_string())
        .expect("a file");
    overlay
}

/// An image's name and tag. The port of a registry is not a tag.
fn split(image: &str) -> (&str, &str) {
    image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((image, "latest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_registry_is_not_a_tag() {
        assert_eq!(split("hermes:1"), ("hermes", "1"));
        assert_eq!(
            split("registry.example:5000/hermes"),
            ("registry.example:5000/hermes", "latest")
        );
        assert_eq!(split("registry.example:5000/hermes:1"), ("registry.example:5000/hermes", "1"));
    }
}
