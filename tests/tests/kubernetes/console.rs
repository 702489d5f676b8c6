//! The place where commands run: the root home of a cluster is mounted there.

use std::fs;

use hermes_tests::kubernetes::{Cluster, PODS, SETS};
use hermes_tests::suite::{self, Machine};
use hermes_tests::{Hermes, TestEnv, eventually, free_port, kubernetes_program};
use serde_json::{Value, json};

/// A home and a cluster that runs its gateways. Dropping it ends all of them.
pub(crate) struct Console {
    pub(crate) cluster: Cluster,
    pub(crate) env: TestEnv,
}

impl Console {
    pub(crate) fn new() -> Self {
        let mut env = TestEnv::new();
        env.program = kubernetes_program;
        env.faster = 50;
        Self { cluster: Cluster::start(&env), env }
    }

    fn in_cluster(&self, command: Hermes) -> Hermes {
        let kubeconfig = self.cluster.kubeconfig().to_str().expect("a UTF-8 path");
        command
            .env("HERMES_BACKEND", "kubernetes")
            .env("HERMES_KUBERNETES_IMAGE", "hermes:test")
            .env("KUBECONFIG", kubeconfig)
    }

    /// The name of the profile's StatefulSet.
    pub(crate) fn set(profile: &str) -> String {
        hermes_kube::names::object_name(&profile.parse().expect("a name"))
    }

    /// The name of its Pod.
    pub(crate) fn pod(profile: &str) -> String {
        hermes_kube::names::pod_name(&Self::set(profile))
    }

    fn registration(&self, profile: &str) -> std::path::PathBuf {
        self.env.home().join("profiles/.pods").join(profile)
    }
}

impl Machine for Console {
    fn hermes(&self, args: &[&str]) -> Hermes {
        self.in_cluster(self.env.hermes(args.iter().copied()))
    }

    fn shell(&self, script: &str) -> Hermes {
        self.in_cluster(self.env.shell(script))
    }

    fn home(&self) -> String {
        self.env.home().to_str().expect("a UTF-8 path").to_owned()
    }

    /// The node starts again, and with it the containers that it had.
    fn restart(&mut self) {
        let sets = fs::read_dir(self.env.home().join("profiles/.pods")).expect("a directory");
        for entry in sets {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            // The others are not registrations.
            if name.starts_with('.') {
                continue;
            }
            let pod = Self::pod(&name);
            let restarts = || {
                let pod = self.cluster.pod(&pod)?;
                pod["status"]["containerStatuses"][0]["restartCount"].as_u64()
            };
            let Some(before) = restarts() else { continue };
            self.cluster.kill_main(&pod);
            eventually("it was started again", || (restarts() != Some(before)).then_some(()));
        }
    }

    fn service_files(&self, profile: &str) -> Vec<String> {
        let set = Self::set(profile);
        let set = self.cluster.stateful_set(&set).map(|_| set);
        let registration = self.registration(profile);
        let registration = registration.exists().then(|| registration.display().to_string());
        set.into_iter().chain(registration).collect()
    }

    fn rendered(&self, profile: &str) -> String {
        let set = self.cluster.stateful_set(&Self::set(profile)).expect("a StatefulSet");
        let pod = self.cluster.pod(&Self::pod(profile)).expect("a Pod");
        let registration = fs::read_to_string(self.registration(profile)).expect("a registration");
        let words = pod["spec"]["containers"][0]["command"].as_array().expect("a command");
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        format!("{set}\n{pod}\n{registration}\n{}", words.join(" "))
    }

    fn runs(&self) -> &'static str {
        "gateway pod"
    }

    fn port(&self) -> Option<u16> {
        Some(free_port())
    }

    /// With the number that the machine has for the gateway's process, which has another one in its Pod.
    fn status(&self, profile: &str) -> Value {
        let mut status = self.hermes(&["gateway", "status", profile, "--json"]).run().json();
        let pid = status["pid"].as_u64();
        if let Some(pid) = pid.and_then(|pid| self.cluster.process(&Self::pod(profile), pid)) {
            status["pid"] = pid.into();
        }
        status
    }
}

impl suite::Cluster for Console {
    fn pod(&self, profile: &str) -> Option<Value> {
        self.cluster.pod(&Self::pod(profile))
    }

    fn delete_pod(&self, profile: &str) {
        let path = format!("{PODS}/{}", Self::pod(profile));
        let answer = self.cluster.ask("DELETE", &path, "application/json", None);
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    fn scale(&self, profile: &str, replicas: u32) {
        let path = format!("{SETS}/{}", Self::set(profile));
        let body = json!({ "spec": { "replicas": replicas } });
        let answer = self.cluster.ask("PATCH", &path, "application/merge-patch+json", Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    fn lose_node(&self, profile: &str) -> String {
        self.cluster.lose_node();
        let pod = suite::Cluster::pod(self, profile).expect("a Pod");
        pod["spec"]["nodeName"].as_str().expect("a node").to_owned()
    }
}
