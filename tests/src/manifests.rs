//! Reads a directory of manifests, as kustomize does with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::PodSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{names, python_with};

/// A directory in `deploy/kubernetes`.
pub struct Manifests(PathBuf);

impl Manifests {
    /// The directory `deploy/kubernetes/NAME`.
    pub fn of(name: &str) -> Self {
        Self(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes").join(name))
    }

    /// The YAML in `file`, as PyYAML reads it.
    pub fn read(&self, file: &str) -> Value {
        let script =
            "import sys, json, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
        let mut python = Command::new(python_with("yaml"));
        let output = python.args(["-c", script]).arg(self.0.join(file)).output().expect("Python");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// The object of `file`. A key that its type does not have would be lost on the way.
    pub fn object<T: Serialize + DeserializeOwned>(&self, file: &str) -> T {
        let read = self.read(file);
        let object: T = serde_json::from_value(read.clone()).expect(file);
        let lost = lost(&read, &serde_json::to_value(&object).expect(file), "");
        assert_eq!(lost, [""; 0], "{file} has what its type does not");
        object
    }

    /// The files in the directory, without `kustomization.yaml`, and those that it lists; both sorted.
    pub fn files(&self) -> (Vec<String>, Vec<String>) {
        let mut files = names(&self.0);
        files.retain(|name| name != "kustomization.yaml");
        let listed = self.read("kustomization.yaml")["resources"].clone();
        let mut listed: Vec<String> = serde_json::from_value(listed).expect("a list of files");
        listed.sort();
        (files, listed)
    }
}

/// The paths of what `whole` has and `part` does not.
pub fn lost(whole: &Value, part: &Value, path: &str) -> Vec<String> {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            let of = |(key, value): (&String, &Value)| {
                lost(value, part.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))
            };
            whole.iter().flat_map(of).collect()
        }
        (Value::Array(whole), Value::Array(part)) if whole.len() == part.len() => {
            let of = |(index, (one, other))| lost(one, other, &format!("{path}[{index}]"));
            whole.iter().zip(part).enumerate().flat_map(of).collect()
        }
        _ if whole == part => Vec::new(),
        // `podSelector: {}`
        _ if *whole == json!({}) && part.is_null() => Vec::new(),
        _ => vec![path.to_owned()],
    }
}

/// Checks that a Pod meets the level `restricted` of the
/// [Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/), and more: its root is
/// read-only, a new Pod does not open its volume's files to the group, and no directory grows without a limit.
#[track_caller]
pub fn assert_restricted(pod: &PodSpec) {
    let security = pod.security_context.as_ref().expect("a security context");
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!((security.run_as_user, security.fs_group), (Some(10_000), Some(10_000)));
    assert_eq!(security.fs_group_change_policy.as_deref(), Some("OnRootMismatch"));
    assert_eq!(security.seccomp_profile.as_ref().expect("a profile").type_, "RuntimeDefault");
    for container in &pod.containers {
        let security = container.security_context.as_ref().expect("a security context");
        assert_eq!(security.allow_privilege_escalation, Some(false));
        let capabilities = security.capabilities.as_ref().expect("capabilities");
        assert_eq!(
            (capabilities.drop.as_deref(), &capabilities.add),
            (Some(&["ALL".to_owned()][..]), &None)
        );
        assert_eq!(security.read_only_root_filesystem, Some(true));
    }
    for volume in pod.volumes.iter().flatten() {
        let is_limited = volume.empty_dir.as_ref().is_none_or(|empty| empty.size_limit.is_some());
        assert!(is_limited, "`{}` has no size limit", volume.name);
    }
}
