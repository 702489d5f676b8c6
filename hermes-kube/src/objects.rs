//! The objects of a gateway, as pure functions of its profile: one [`StatefulSet`] with no or one replica.
//!
//! A StatefulSet has at most one Pod of each number, also while its node does not answer, so that a gateway never runs twice.
//! The Pod meets the level `restricted` of the [Pod Security Standards].
//!
//! [Pod Security Standards]: https://kubernetes.io/docs/concepts/security/pod-security-standards/

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hermes_core::config::Resources;
use hermes_core::{Gateway, ProfileName, RootHome};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    HTTPGetAction, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSecurityContext,
    PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::names;

/// The annotation with the profile's full name.
pub const PROFILE: &str = "hermes/profile";
/// The label of every object of a gateway, with its value: what lists select.
pub const GATEWAYS: (&str, &str) = ("app.kubernetes.io/name", "hermes-gateway");
/// The label with the name of the gateway's StatefulSet.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// The headless Service that gives every gateway's Pod its name.
pub const SERVICE: &str = "hermes-gateways";
/// The name of the container in each Pod.
pub const CONTAINER: &str = "gateway";

/// The port on the Pod's address on which the launcher answers `/ready` and `/live`. The gateway's own port is in no object.
pub const PROBE_PORT: u16 = 8640;
/// The name of that port.
const PROBES: &str = "probes";

/// The user and group of the image's gateways, and the group of the volume.
const USER: i64 = 10_000;
/// How long, beyond its stop budget, the kubelet waits for a Pod to end: the launcher ends after its gateway.
pub(crate) const AFTER_STOP: Duration = Duration::from_secs(5);
/// The processor time that a gateway asks its node for. Without a request, a limit would count as one.
const CPU_REQUEST: &str = "10m";
/// The memory that a gateway asks its node for, in bytes; less if its limit is less.
const MEMORY_REQUEST: u64 = 32 << 20;
/// The directories in memory that a gateway may write to: name, path and size. A relative path is in the root home, of which a
/// Pod has but its profile's home: there a gateway holds its lock and records its events.
const WRITABLE: [(&str, &str, &str); 4] = [
    ("run", "/run", "16Mi"),
    ("tmp", "/tmp", "256Mi"),
    ("locks", "profiles/.gateways", "1Mi"),
    ("logs", "logs", "16Mi"),
];

/// What the objects of all gateways of a home have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The image that gateways run.
    pub image: String,
    /// The claim of the volume with the root home, which several nodes can mount (`ReadWriteMany`).
    pub claim: String,
    /// Where gateways find the root home, as the console does.
    pub root: String,
}

/// The StatefulSet of `gateway`, with one replica if `is_wanted`. It can't be without that number: an owner that applies none
/// would have Kubernetes choose 1, and start a gateway that was stopped.
pub fn stateful_set(
    gateway: &Gateway,
    settings: &Settings,
    extra_env: &BTreeMap<String, String>,
    is_wanted: bool,
) -> StatefulSet {
    let profile = gateway.name();
    let name = names::object_name(profile);
    let labels = labels(&name);
    let metadata = ObjectMeta {
        labels: Some(labels.clone()),
        annotations: Some(annotations(profile)),
        ..ObjectMeta::default()
    };
    let spec = StatefulSetSpec {
        replicas: Some(is_wanted.into()),
        service_name: Some(SERVICE.to_owned()),
        // A Pod that never becomes ready is replaced, too.
        pod_management_policy: Some("Parallel".to_owned()),
        // A gateway that runs is left alone: the next start has what changed.
        update_strategy: Some(StatefulSetUpdateStrategy {
            type_: Some("OnDelete".to_owned()),
            ..StatefulSetUpdateStrategy::default()
        }),
        revision_history_limit: Some(1),
        selector: LabelSelector { match_labels: Some(labels.clone()), ..LabelSelector::default() },
        template: PodTemplateSpec {
            metadata: Some(metadata.clone()),
            spec: Some(pod(gateway, settings, extra_env)),
        },
        ..StatefulSetSpec::default()
    };
    StatefulSet {
        metadata: ObjectMeta { name: Some(name), ..metadata },
        spec: Some(spec),
        status: None,
    }
}

/// The profile that an object belongs to; `None` if it is no gateway's.
pub fn profile_of(metadata: &ObjectMeta) -> Option<ProfileName> {
    metadata.annotations.as_ref()?.get(PROFILE)?.parse().ok()
}

fn labels(name: &str) -> BTreeMap<String, String> {
    let (key, value) = GATEWAYS;
    [(key, value), (INSTANCE, name), ("app.kubernetes.io/managed-by", "hermes")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn annotations(profile: &ProfileName) -> BTreeMap<String, String> {
    BTreeMap::from([(PROFILE.to_owned(), profile.to_string())])
}

fn pod(gateway: &Gateway, settings: &Settings, extra_env: &BTreeMap<String, String>) -> PodSpec {
    let writable = WRITABLE.map(|(name, _, size)| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity(size.to_owned())),
        }),
        ..Volume::default()
    });
    let home = Volume {
        name: "home".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: settings.claim.clone(),
            read_only: None,
        }),
        ..Volume::default()
    };
    let grace = gateway.stop_timeout().seconds() + AFTER_STOP.as_secs();
    PodSpec {
        containers: vec![container(gateway, settings, extra_env)],
        volumes: Some([home].into_iter().chain(writable).collect()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            // Otherwise every new Pod would give the group access to all files, secrets included.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(grace.try_into().unwrap_or(i64::MAX)),
        ..PodSpec::default()
    }
}

fn container(
    gateway: &Gateway,
    settings: &Settings,
    extra_env: &BTreeMap<String, String>,
) -> Container {
    let profile = gateway.name();
    // Its own profile's directory alone: no gateway can read another's secrets.
    let home = VolumeMount {
        name: "home".to_owned(),
        mount_path: format!("{}/profiles/{profile}", settings.root),
        sub_path: Some(format!("profiles/{profile}")),
        ..VolumeMount::default()
    };
    let root = RootHome::new(&settings.root);
    let defaults = root.projected_defaults();
    let defaults = defaults.parent().expect("it is in a directory of its own");
    // The directory: of a file alone, a Pod would go on to see the one that was replaced.
    let defaults = VolumeMount {
        name: "home".to_owned(),
        mount_path: defaults.display().to_string(),
        sub_path: defaults.strip_prefix(root.path()).ok().map(|path| path.display().to_string()),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let writable = WRITABLE.map(|(name, path, _)| VolumeMount {
        name: name.to_owned(),
        mount_path: Path::new(&settings.root).join(path).display().to_string(),
        ..VolumeMount::default()
    });
    let set = |(name, value): (&String, &String)| EnvVar {
        name: name.clone(),
        value: Some(value.clone()),
        value_from: None,
    };
    let from_pod = [("POD_IP", "status.podIP"), ("POD_UID", "metadata.uid")];
    let from_pod = from_pod.map(|(name, path)| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: None, field_path: path.to_owned() }),
            ..EnvVarSource::default()
        }),
    });
    let root = ("HERMES_HOME".to_owned(), settings.root.clone());
    // Kubernetes puts the values of these variables in.
    let command = format!(
        "hermes -p {profile} gateway pod --uid $(POD_UID) --address $(POD_IP) --port {PROBE_PORT}"
    );
    Container {
        name: CONTAINER.to_owned(),
        image: Some(settings.image.clone()),
        command: Some(command.split(' ').map(str::to_owned).collect()),
        env: Some(extra_env.iter().chain([(&root.0, &root.1)]).map(set).chain(from_pod).collect()),
        ports: Some(vec![ContainerPort {
            name: Some(PROBES.to_owned()),
            container_port: PROBE_PORT.into(),
            ..ContainerPort::default()
        }]),
        // A gateway may take as long as it likes until it is ready for the first time. Others begin after that.
        startup_probe: Some(probe("/ready", 2, i32::MAX)),
        readiness_probe: Some(probe("/ready", 10, 1)),
        liveness_probe: Some(probe("/live", 20, 3)),
        resources: Some(resources(&gateway.config().resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some([home, defaults].into_iter().chain(writable).collect()),
        ..Container::default()
    }
}

/// A probe over HTTP: one that starts a program costs a tenth of a second of processor time each time.
fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PROBES.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        // On a busy node a second is too short.
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn resources(limits: &Resources) -> ResourceRequirements {
    let memory = limits.memory.map(|bytes| ("memory", bytes.to_string()));
    // In thousandths of a processor, from hundredths.
    let cpu = limits.cpu.map(|hundredths| ("cpu", format!("{hundredths}0m")));
    let least = limits.memory.unwrap_or(MEMORY_REQUEST).min(MEMORY_REQUEST);
    let requests = [("cpu", CPU_REQUEST.to_owned()), ("memory", least.to_string())];
    ResourceRequirements {
        limits: (memory.is_some() || cpu.is_some())
            .then(|| quantities(memory.into_iter().chain(cpu))),
        requests: Some(quantities(requests)),
        ..ResourceRequirements::default()
    }
}

fn quantities<'a>(
    amounts: impl IntoIterator<Item = (&'a str, String)>,
) -> BTreeMap<String, Quantity> {
    amounts.into_iter().map(|(resource, amount)| (resource.to_owned(), Quantity(amount))).collect()
}

#[cfg(test)]
mod tests {
    use hermes_core::store::Profile;

    use super::*;

    fn settings() -> Settings {
        Settings {
            image: "hermes:1".to_owned(),
            claim: "hermes-home".to_owned(),
            root: "/opt/data".to_owned(),
        }
    }

    /// The gateway of the profile `name` with this configuration.
    fn gateway(dir: &tempfile::TempDir, name: &str, config: &str) -> Gateway {
        let name: ProfileName = name.parse().unwrap();
        let home = RootHome::new(dir.path()).profile(&name);
        std::fs::create_dir_all(home.path()).unwrap();
        std::fs::write(home.path().join("config.yaml"), config).unwrap();
        Gateway::new(Profile { name, home })
    }

    #[test]
    fn a_gateway_is_a_stateful_set_of_a_restricted_pod() {
        let dir = tempfile::tempdir().unwrap();
        let config = "gateway: {stop_timeout: 20, resources: {memory: 512M, cpu: 1.5}}\n";
        let gateway = gateway(&dir, "my_coder", config);
        let env = BTreeMap::from([("MODE".to_owned(), "y".to_owned())]);
        insta::assert_json_snapshot!(stateful_set(&gateway, &settings(), &env, true));
    }

    #[test]
    fn the_number_of_replicas_is_always_said() {
        let dir = tempfile::tempdir().unwrap();
        let gateway = gateway(&dir, "coder", "");
        let replicas = |is_wanted| {
            let set = stateful_set(&gateway, &settings(), &BTreeMap::new(), is_wanted);
            serde_json::to_value(set).unwrap()["spec"]["replicas"].clone()
        };
        assert_eq!((replicas(false), replicas(true)), (0.into(), 1.into()));
    }

    #[test]
    fn a_request_is_no_more_than_the_limit() {
        let of = |memory| resources(&Resources { memory, ..Resources::default() });
        let least = |memory| of(memory).requests.unwrap()["memory"].0.clone();
        assert_eq!(least(None), "33554432");
        assert_eq!(least(Some(1 << 30)), "33554432");
        assert_eq!(least(Some(16 << 20)), "16777216");
        assert_eq!(of(None).limits, None);
    }

    #[test]
    fn an_object_names_its_profile() {
        let dir = tempfile::tempdir().unwrap();
        let gateway = gateway(&dir, "my_coder", "");
        let set = stateful_set(&gateway, &settings(), &BTreeMap::new(), false);
        assert_eq!(profile_of(&set.metadata).as_ref(), Some(gateway.name()));
        assert_eq!(profile_of(&ObjectMeta::default()), None);
    }
}
