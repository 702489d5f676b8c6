//! The manifests in `deploy/kubernetes/cluster`: they fit each other, and the objects that the Kubernetes backend makes.

use std::collections::{BTreeMap, BTreeSet};

use hermes_core::home::env;
use hermes_core::store::Profile;
use hermes_core::{Gateway, RootHome};
use hermes_kube::objects::{self, Settings};
use hermes_kube::{KIND, LEAST_ROLE};
use hermes_tests::manifests::{Manifests, assert_restricted};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolumeClaim, PodSpec, PodTemplateSpec, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn object<T: Serialize + DeserializeOwned>(file: &str) -> T {
    Manifests::of("cluster").object(file)
}

fn console() -> PodTemplateSpec {
    let deployment: Deployment = object("console.yaml");
    deployment.spec.expect("a specification").template
}

/// The variables of the console's container.
fn variables() -> BTreeMap<String, String> {
    let env = pod(console()).containers.remove(0).env.expect("variables");
    env.into_iter().map(|variable| (variable.name, variable.value.expect("a value"))).collect()
}

/// What the backend makes for a gateway from the console's variables.
fn gateway() -> StatefulSetSpec {
    let variables = variables();
    let root = RootHome::new("/opt/data");
    let name = "coder".parse().expect("a name");
    let gateway = Gateway::new(Profile { home: root.profile(&name), name });
    let settings = Settings {
        image: variables[env::KUBERNETES_IMAGE].clone(),
        claim: variables[env::KUBERNETES_CLAIM].clone(),
        root: root.path().display().to_string(),
    };
    let set = objects::stateful_set(&gateway, &settings, &BTreeMap::new(), true);
    set.spec.expect("a specification")
}

fn pod(template: PodTemplateSpec) -> PodSpec {
    template.spec.expect("a Pod")
}

fn labels(template: PodTemplateSpec) -> BTreeMap<String, String> {
    template.metadata.and_then(|metadata| metadata.labels).expect("labels")
}

/// Whether a selector takes objects with these labels.
fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The claims of a Pod's volumes.
fn claims(pod: &PodSpec) -> Vec<&str> {
    let volumes = pod.volumes.iter().flatten();
    let claims = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.map(|claim| claim.claim_name.as_str()).collect()
}

/// The field at a path of kustomize: names with dots between, and `[key=value]` for an item of a list.
fn field<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |object, part| {
        match part.strip_prefix('[').and_then(|part| part.strip_suffix(']')?.split_once('=')) {
            Some((key, value)) => {
                let items = object.as_array().expect(path);
                items.iter().find(|item| item[key] == value).expect(path)
            }
            None => &object[part],
        }
    })
}

#[test]
fn every_manifest_is_listed_and_has_only_what_its_type_has() {
    object::<Namespace>("namespace.yaml");
    object::<PersistentVolumeClaim>("volume.yaml");
    object::<ServiceAccount>("service-account.yaml");
    object::<Role>("role.yaml");
    object::<RoleBinding>("role-binding.yaml");
    object::<Deployment>("console.yaml");
    object::<Service>("service.yaml");
    object::<NetworkPolicy>("network-policy-gateways.yaml");
    object::<NetworkPolicy>("network-policy-console.yaml");
    let (files, listed) = Manifests::of("cluster").files();
    assert_eq!(listed, files);
}

#[test]
fn the_pods_are_restricted() {
    assert_restricted(&pod(console()));
    let gateway = pod(gateway().template);
    assert_restricted(&gateway);
    assert_eq!(gateway.automount_service_account_token, Some(false));
    let namespace: Namespace = object("namespace.yaml");
    let enforced = &namespace.metadata.labels.unwrap()["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "restricted");
}

#[test]
fn the_role_allows_what_the_backend_requests_and_nothing_else() {
    let role: Role = object("role.yaml");
    let mut allowed = BTreeSet::new();
    for rule in role.rules.unwrap() {
        assert_eq!((rule.resource_names, rule.non_resource_urls), (None, None));
        for group in rule.api_groups.unwrap() {
            for resource in rule.resources.iter().flatten() {
                let group = if group.is_empty() { String::new() } else { format!(".{group}") };
                let of = |verb: &String| (format!("{resource}{group}"), verb.clone());
                allowed.extend(rule.verbs.iter().map(of));
            }
        }
    }
    let requested: BTreeSet<_> = LEAST_ROLE
        .iter()
        .flat_map(|rule| {
            rule.verbs.iter().map(|verb| (rule.resource.to_owned(), (*verb).to_owned()))
        })
        .collect();
    assert_eq!(allowed, requested);
}

#[test]
fn the_consoles_account_alone_has_the_role() {
    let account: ServiceAccount = object("service-account.yaml");
    let role: Role = object("role.yaml");
    let binding: RoleBinding = object("role-binding.yaml");
    assert_eq!(account.automount_service_account_token, Some(false));
    assert_eq!(
        (&*binding.role_ref.kind, Some(binding.role_ref.name)),
        ("Role", role.metadata.name)
    );
    let subjects = binding.subjects.unwrap();
    let [subject] = &subjects[..] else { panic!("one account") };
    assert_eq!(
        (&*subject.kind, Some(&subject.name)),
        ("ServiceAccount", account.metadata.name.as_ref())
    );
    let console = pod(console());
    assert_eq!(console.service_account_name, account.metadata.name);
    assert_eq!(console.automount_service_account_token, Some(true));
}

#[test]
fn the_console_is_one_and_runs_the_backend() {
    let deployment: Deployment = object("console.yaml");
    let spec = deployment.spec.unwrap();
    assert_eq!(spec.replicas, Some(1));
    assert_eq!(spec.strategy.unwrap().type_.as_deref(), Some("Recreate"));
    assert!(selects(&spec.selector.match_labels.unwrap(), &labels(console())));
    let container = pod(console()).containers.remove(0);
    assert_eq!(container.command.unwrap(), ["hermes", "dashboard"]);
    let variables = variables();
    assert_eq!(variables[env::BACKEND], KIND.name());
    assert_eq!(variables[env::OPEN_HOME], "1");
    // The dashboard listens on 127.0.0.1.
    assert!(!variables.contains_key(env::DASHBOARD_HOST));
}

#[test]
fn all_pods_mount_the_claim_which_several_nodes_can() {
    let volume: PersistentVolumeClaim = object("volume.yaml");
    let name = volume.metadata.name.unwrap();
    assert_eq!(volume.spec.unwrap().access_modes.unwrap(), ["ReadWriteMany"]);
    assert_eq!(claims(&pod(console())), [&name]);
    assert_eq!(claims(&pod(gateway().template)), [&name]);
    let mounts = pod(console()).containers.remove(0).volume_mounts.unwrap();
    let home = mounts.iter().find(|mount| mount.name == "home").unwrap();
    assert_eq!((&*home.mount_path, &home.sub_path), ("/opt/data", &None));
}

#[test]
fn gateways_run_the_image_of_the_console() {
    let manifests = Manifests::of("cluster");
    let replacements = manifests.read("kustomization.yaml")["replacements"].clone();
    let [replacement] = &replacements.as_array().unwrap()[..] else { panic!("one") };
    let console = manifests.read("console.yaml");
    let (source, target) = (&replacement["source"], &replacement["targets"][0]);
    for object in [source, &target["select"]] {
        assert_eq!(object["kind"], console["kind"]);
        assert_eq!(object["name"], console["metadata"]["name"]);
    }
    let image = field(&console, source["fieldPath"].as_str().unwrap());
    let variable = field(&console, target["fieldPaths"][0].as_str().unwrap());
    assert_eq!((image, variable), (&json!("hermes"), &json!("hermes")));
    assert_eq!(variables()[env::KUBERNETES_IMAGE], "hermes");
    assert_eq!(console["spec"]["template"]["spec"]["containers"][0]["image"], *image);
}

#[test]
fn the_service_names_the_pods_of_gateways_alone() {
    let service: Service = object("service.yaml");
    assert_eq!(service.metadata.name.as_deref(), Some(objects::SERVICE));
    assert_eq!(gateway().service_name, service.metadata.name);
    let spec = service.spec.unwrap();
    assert_eq!((spec.cluster_ip.as_deref(), spec.ports), (Some("None"), None));
    let selector = spec.selector.unwrap();
    assert!(
        selects(&selector, &labels(gateway().template)) && !selects(&selector, &labels(console()))
    );
}

#[test]
fn gateways_are_reached_from_the_namespace_and_the_console_from_no_pod() {
    let policy = |file: &str| {
        let policy: NetworkPolicy = object(file);
        let spec = policy.spec.unwrap();
        assert_eq!(spec.policy_types.unwrap(), ["Ingress"]);
        (spec.pod_selector.unwrap().match_labels.unwrap(), json!(spec.ingress))
    };
    let (selector, ingress) = policy("network-policy-gateways.yaml");
    assert!(
        selects(&selector, &labels(gateway().template)) && !selects(&selector, &labels(console()))
    );
    // Without a selector of namespaces it is this one.
    assert_eq!(ingress, json!([{ "from": [{ "podSelector": {} }] }]));
    let (selector, ingress) = policy("network-policy-console.yaml");
    assert!(
        selects(&selector, &labels(console())) && !selects(&selector, &labels(gateway().template))
    );
    assert_eq!(ingress, Value::Null);
}
