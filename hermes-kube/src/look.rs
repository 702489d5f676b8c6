//! Looks at the objects of one gateway, or at those of all.

use std::collections::HashMap;

use hermes_core::driver::DriverError;
use hermes_core::process_lock::holder;
use hermes_core::restart::PodRecord;
use hermes_core::status::{State, Status};
use hermes_core::store::Profile;
use hermes_core::{Gateway, ProfileName};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;

use crate::driver::{Kubernetes, intent};
use crate::names::{object_name, pod_name};
use crate::objects::profile_of;
use crate::status::Found;

/// The objects of all gateways, by the names of their StatefulSets and Pods.
#[derive(Debug)]
pub(crate) struct All {
    sets: HashMap<String, StatefulSet>,
    pods: HashMap<String, Pod>,
}

impl All {
    /// The profiles that have objects.
    pub(crate) fn names(&self) -> Vec<ProfileName> {
        self.sets.values().filter_map(|set| profile_of(&set.metadata)).collect()
    }

    /// What there is of a profile's gateway, which another profile's objects are not.
    pub(crate) fn take(&mut self, profile: &ProfileName) -> Found {
        let name = object_name(profile);
        let is_its = |of: Option<ProfileName>| of.as_ref() == Some(profile);
        let set = self.sets.remove(&name).filter(|set| is_its(profile_of(&set.metadata)));
        let pod =
            self.pods.remove(&pod_name(&name)).filter(|pod| is_its(profile_of(&pod.metadata)));
        Found { set, pod, ..Found::default() }
    }
}

impl Kubernetes {
    /// The gateway of a profile that may not exist.
    pub(crate) fn gateway(&self, name: &ProfileName) -> Gateway {
        Gateway::new(Profile { name: name.clone(), home: self.store.root().profile(name) })
    }

    /// The profile's StatefulSet. One of this name that is another's is an error.
    pub(crate) fn own_set(
        &self,
        profile: &ProfileName,
    ) -> Result<Option<StatefulSet>, DriverError> {
        let name = object_name(profile);
        let Some(set) = self.client.stateful_set(&name)? else { return Ok(None) };
        match profile_of(&set.metadata) {
            Some(owner) if owner == *profile => Ok(Some(set)),
            owner => {
                let owner = owner.map_or_else(
                    || "was not made by hermes".to_owned(),
                    |owner| format!("belongs to the profile `{owner}`"),
                );
                let namespace = self.client.namespace();
                Err(DriverError::new(format!("the StatefulSet `{name}` {owner}")).with_hint(format!(
                    "`kubectl delete statefulset {name} -n {namespace}` removes it, if nothing needs it"
                )))
            }
        }
    }

    /// The profile's Pod.
    pub(crate) fn own_pod(&self, profile: &ProfileName) -> Result<Option<Pod>, DriverError> {
        let pod = self.client.pod(&pod_name(&object_name(profile)))?;
        Ok(pod.filter(|pod| profile_of(&pod.metadata).as_ref() == Some(profile)))
    }

    /// What there is of a gateway.
    pub(crate) fn look(&self, gateway: &Gateway) -> Result<Found, DriverError> {
        let name = gateway.name();
        if name.is_default() {
            return Ok(Found::default());
        }
        let set = self.own_set(name)?;
        let pod = self.own_pod(name)?;
        self.with_files(gateway, Found { set, pod, ..Found::default() })
    }

    /// What there is in the cluster, for all gateways.
    pub(crate) fn look_at_all(&self) -> Result<All, DriverError> {
        let by_name = |name: &Option<String>| name.clone().unwrap_or_default();
        let sets = self.client.stateful_sets(None)?.into_iter();
        let pods = self.client.pods()?.into_iter();
        Ok(All {
            sets: sets.map(|set| (by_name(&set.metadata.name), set)).collect(),
            pods: pods.map(|pod| (by_name(&pod.metadata.name), pod)).collect(),
        })
    }

    /// What was found in the cluster, with what files say.
    pub(crate) fn with_files(&self, gateway: &Gateway, found: Found) -> Result<Found, DriverError> {
        if gateway.name().is_default() {
            return Ok(Found::default());
        }
        let record = match found.uid() {
            Some(uid) => PodRecord::read(&gateway.home().pod_record(), uid)?,
            None => None,
        };
        let registered = found.set.is_some() || self.registry.has(gateway.name())?;
        Ok(Found { registered, record, ..found })
    }

    /// The status of a gateway of which this was found. A process here that holds the gateway's lock is an orphan: a Pod's
    /// process holds a lock of its own.
    pub(crate) fn status_of(
        &self,
        gateway: &Gateway,
        found: &Found,
    ) -> Result<Status, DriverError> {
        let status = found.status(gateway.name(), intent(gateway), Timestamp::now());
        Ok(match status.state {
            State::Down | State::Unsupervised => {
                status.beside(holder(&gateway.home().gateway_lock())?)
            }
            _ => status,
        })
    }
}
