//! What a container of a Pod is to run: its command, environment and mounts, from the objects.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::Value;

use super::shared::Settings;

/// A container that can be started.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) command: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) mounts: Vec<Mount>,
    /// User, group and the group of volumes.
    pub(super) user: [u64; 3],
    pub(super) has_read_only_root: bool,
    pub(super) message_path: PathBuf,
    pub(super) directory: String,
}

/// Something at a path of the container.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) target: PathBuf,
    pub(super) source: Source,
    pub(super) is_read_only: bool,
}

/// What a mount shows.
#[derive(Debug)]
pub(super) enum Source {
    /// A directory of a claim's own directory.
    Claim { root: PathBuf, directory: PathBuf },
    /// An empty directory in memory, with its size in bytes.
    Memory(Option<u64>),
}

/// What to run for the first container of `pod`; an error says what the stand-in does not know.
pub(super) fn plan(pod: &Value, address: Ipv4Addr, settings: &Settings) -> Result<Plan, String> {
    let container = &pod["spec"]["containers"][0];
    for key in ["lifecycle", "envFrom"] {
        if !container[key].is_null() {
            return Err(format!("the stand-in has no {key}"));
        }
    }
    for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
        if !container[probe].is_null() && container[probe]["httpGet"].is_null() {
            return Err(format!("the stand-in asks over HTTP alone: {probe}"));
        }
    }
    let mut env = settings.image.clone();
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some(path) => field(pod, address, path)?,
            None if !variable["valueFrom"].is_null() => {
                return Err(format!("the stand-in takes variables from fields alone: {name}"));
            }
            None => expand(variable["value"].as_str().unwrap_or_default(), &env),
        };
        env.insert(name, value);
    }
    let words = ["command", "args"].into_iter().flat_map(|key| container[key].as_array());
    let command: Vec<_> = words.flatten().filter_map(Value::as_str).collect();
    if container["command"].as_array().is_none_or(Vec::is_empty) {
        return Err("the stand-in has no images with a command of their own".to_owned());
    }
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let mut mounts: Vec<_> = mounts.map(|of| mount(pod, of, settings)).collect::<Result<_, _>>()?;
    mounts.sort_by_key(|mount| mount.target.as_os_str().len());
    let security = |key: &str| {
        let own = container["securityContext"][key].as_u64();
        own.or(pod["spec"]["securityContext"][key].as_u64()).unwrap_or_default()
    };
    Ok(Plan {
        command: command.into_iter().map(|word| expand(word, &env)).collect(),
        env,
        mounts,
        user: ["runAsUser", "runAsGroup", "fsGroup"].map(security),
        has_read_only_root: container["securityContext"]["readOnlyRootFilesystem"] == true,
        message_path: container["terminationMessagePath"].as_str().unwrap_or_default().into(),
        directory: container["workingDir"].as_str().unwrap_or("/").to_owned(),
    })
}

fn mount(pod: &Value, mount: &Value, settings: &Settings) -> Result<Mount, String> {
    let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let volume = volumes.find(|volume| volume["name"] == mount["name"]);
    let volume = volume.ok_or_else(|| format!("no volume {}", mount["name"]))?;
    let target = mount["mountPath"].as_str().unwrap_or_default().into();
    let source = if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
        let root = settings.claims.get(claim).cloned();
        let root = root.ok_or_else(|| format!("persistentvolumeclaim \"{claim}\" not found"))?;
        let directory = root.join(mount["subPath"].as_str().unwrap_or_default());
        Source::Claim { root, directory }
    } else if volume["emptyDir"].is_object() {
        Source::Memory(volume["emptyDir"]["sizeLimit"].as_str().map(bytes).transpose()?)
    } else {
        return Err(format!("the stand-in has no such volume: {volume}"));
    };
    Ok(Mount { target, source, is_read_only: mount["readOnly"] == true })
}

/// The bytes of a quantity such as `16Mi`.
fn bytes(quantity: &str) -> Result<u64, String> {
    let (number, unit) = match quantity.find(|c: char| !c.is_ascii_digit()) {
        Some(index) => quantity.split_at(index),
        None => (quantity, ""),
    };
    let shift = ["", "Ki", "Mi", "Gi"].iter().zip([0, 10, 20, 30]).find(|(name, _)| **name == unit);
    let number = number.parse::<u64>().ok();
    let bytes = shift.zip(number).map(|((_, shift), number)| number << shift);
    bytes.ok_or_else(|| format!("the stand-in does not know the size {quantity}"))
}

/// A field of a Pod for a variable.
fn field(pod: &Value, address: Ipv4Addr, path: &str) -> Result<String, String> {
    let value = match path {
        "metadata.name" => &pod["metadata"]["name"],
        "metadata.namespace" => &pod["metadata"]["namespace"],
        "metadata.uid" => &pod["metadata"]["uid"],
        "spec.nodeName" => &pod["spec"]["nodeName"],
        "status.podIP" | "status.podIPs" => return Ok(address.to_string()),
        _ => {
            let inner = path.strip_prefix("metadata.").and_then(|path| path.strip_suffix("']"));
            let (map, key) = inner.and_then(|path| path.split_once("['")).unwrap_or_default();
            &pod["metadata"][map][key]
        }
    };
    value.as_str().map(str::to_owned).ok_or_else(|| format!("no field {path}"))
}

/// Puts in the values of `$(NAME)`; `$$` is a `$`, and what has no value stays.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(index) = rest.find('$') {
        expanded.push_str(&rest[..index]);
        rest = &rest[index + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        match name.and_then(|(name, after)| Some((env.get(name)?, after))) {
            Some((value, after)) => {
                expanded.push_str(value);
                rest = after;
            }
            None => expanded.push('$'),
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded_as_kubernetes_does() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expand("$(A)-$$(A)-$(B)-$A$", &env), "1-$(A)-$(B)-$A$");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((bytes("16Mi"), bytes("7")), (Ok(16 << 20), Ok(7)));
        assert!(bytes("1.5G").is_err());
    }
}
