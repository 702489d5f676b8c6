//! Blocking calls to the API server, each with a deadline of its own.
//!
//! kube has no time limit for an answer, and its own retries know none, so both are here. Every call may be repeated
//! without harm: objects are applied, and deletions name the object that they mean.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hermes_core::driver::DriverError;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Config, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::runtime::{self, Runtime};

use crate::api_error::{ApiError, Operation, Target};
use crate::objects::GATEWAYS;
use crate::permissions;

/// Under this name the API server records which fields are ours.
const FIELD_MANAGER: &str = "hermes";
/// How long a server is tried again to which no connection can be made: a load balancer changes its target in less.
const AWAY: Duration = Duration::from_secs(3);
/// The pauses between tries grow from the first to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The answer to credentials that are not, or no longer, good.
const UNAUTHORIZED: u16 = 401;

/// A client of the API server for one namespace. It starts no thread: the thread that calls it does the work.
pub struct Client {
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
    api: kube::Client,
    target: Target,
    /// The time limit of each call.
    timeout: Duration,
    /// Whether the server has refused the credentials.
    is_refused: AtomicBool,
}

/// The client of this process, which the environment describes: a server of many requests would read the kubeconfig and
/// connect anew for each.
static SHARED: Mutex<Option<Arc<Client>>> = Mutex::new(None);

impl Client {
    /// The client that the environment describes, as for kubectl: the current context of the kubeconfig, else the service
    /// account of this Pod. Reads files and connects to nothing. Each call takes at most `timeout`.
    pub fn connect(timeout: Duration) -> Result<Self, DriverError> {
        let runtime = new_runtime()?;
        let config = runtime.block_on(Config::infer()).map_err(|error| {
            DriverError::unreachable(error).with_hint(
                "name a kubeconfig in KUBECONFIG, or run the command in a Pod with a service account",
            )
        })?;
        Self::in_runtime(runtime, config, timeout)
    }

    /// The same client for all calls of this function with the same time limit, until the server refuses its credentials:
    /// there may be new ones.
    pub fn shared(timeout: Duration) -> Result<Arc<Self>, DriverError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let is_usable = |client: &&Arc<Self>| {
            client.timeout == timeout && !client.is_refused.load(Ordering::Relaxed)
        };
        if let Some(client) = shared.as_ref().filter(is_usable) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Self::connect(timeout)?);
        *shared = Some(Arc::clone(&client));
        Ok(client)
    }

    /// As [`connect`](Self::connect), with this configuration.
    pub fn with(config: Config, timeout: Duration) -> Result<Self, DriverError> {
        Self::in_runtime(new_runtime()?, config, timeout)
    }

    fn in_runtime(
        runtime: Runtime,
        mut config: Config,
        timeout: Duration,
    ) -> Result<Self, DriverError> {
        config.default_retry = false;
        config.connect_timeout = Some(timeout);
        let target = Target {
            server: config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            namespace: config.default_namespace.clone(),
        };
        let api = {
            // The client has a task in the runtime.
            let _entered = runtime.enter();
            kube::Client::try_from(config).map_err(|error| {
                DriverError::new(error).with_hint("`kubectl version` reads the same kubeconfig")
            })?
        };
        let is_refused = AtomicBool::new(false);
        Ok(Self { runtime: Some(runtime), api, target, timeout, is_refused })
    }

    /// The namespace of the objects.
    pub fn namespace(&self) -> &str {
        &self.target.namespace
    }

    /// The StatefulSet `name`, if there is one.
    pub fn stateful_set(&self, name: &str) -> Result<Option<StatefulSet>, ApiError> {
        self.get(&stateful_set("read", "get", name), name)
    }

    /// The Pod `name`, if there is one.
    pub fn pod(&self, name: &str) -> Result<Option<Pod>, ApiError> {
        self.get(&pod("read", "get", name), name)
    }

    /// The StatefulSets of all gateways, at most `limit` if it is given.
    pub fn stateful_sets(&self, limit: Option<u32>) -> Result<Vec<StatefulSet>, ApiError> {
        let object = "the StatefulSets of the gateways".to_owned();
        let list = Operation { object, ..stateful_set("list", "list", "") };
        self.list(&list, limit)
    }

    /// The Pods of all gateways.
    pub fn pods(&self) -> Result<Vec<Pod>, ApiError> {
        let object = "the Pods of the gateways".to_owned();
        self.list(&Operation { object, ..pod("list", "list", "") }, None)
    }

    /// Creates a StatefulSet, or gives it these fields, whoever set them before. Idempotent.
    pub fn apply(&self, set: &StatefulSet) -> Result<StatefulSet, ApiError> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.call(&stateful_set("apply", "patch", name), async |api: Api<StatefulSet>| {
            api.patch(name, &parameters, &Patch::Apply(set)).await
        })
    }

    /// Sets the number of replicas of a StatefulSet and nothing else. `None` if it does not exist. Idempotent.
    pub fn scale(&self, name: &str, replicas: i32) -> Result<Option<StatefulSet>, ApiError> {
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        let scaled = self
            .call(&stateful_set("scale", "patch", name), async |api: Api<StatefulSet>| {
                api.patch(name, &parameters, &patch).await
            });
        unless_absent(scaled)
    }

    /// Deletes a StatefulSet, and its Pod after it. Does not wait for their end. Idempotent.
    pub fn delete_stateful_set(&self, name: &str) -> Result<(), ApiError> {
        let parameters = DeleteParams::background();
        let deleted = self
            .call(&stateful_set("delete", "delete", name), async |api: Api<StatefulSet>| {
                api.delete(name, &parameters).await
            });
        unless_absent(deleted).map(drop)
    }

    /// Deletes the Pod `name` if its unique ID is `uid`: another one of this name is left alone. Does not wait for its
    /// end. Idempotent.
    pub fn delete_pod(&self, name: &str, uid: &str) -> Result<(), ApiError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let parameters =
            DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let deleted = self.call(&pod("delete", "delete", name), async |api: Api<Pod>| {
            match api.delete(name, &parameters).await {
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                deleted => deleted.map(drop),
            }
        });
        unless_absent(deleted).map(drop)
    }

    fn get<K: Kind>(&self, operation: &Operation, name: &str) -> Result<Option<K>, ApiError> {
        unless_absent(self.call(operation, async |api: Api<K>| api.get(name).await))
    }

    fn list<K: Kind>(&self, operation: &Operation, limit: Option<u32>) -> Result<Vec<K>, ApiError> {
        let parameters = ListParams { limit, ..ListParams::default().labels(&selector()) };
        let list = self.call(operation, async |api: Api<K>| api.list(&parameters).await);
        Ok(list?.items)
    }

    /// The objects of this kind in the namespace, for a stream that outlives a call.
    pub(crate) fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.api.clone(), &self.target.namespace)
    }

    /// Makes a request until it succeeds or fails for good. Blocks at most as long as the time limit.
    pub(crate) fn call<K: Kind, T>(
        &self,
        operation: &Operation,
        request: impl AsyncFn(Api<K>) -> kube::Result<T>,
    ) -> Result<T, ApiError> {
        debug_assert!(permissions::allow(operation), "the least Role has no rule to {operation}");
        let deadline = Instant::now() + self.timeout;
        self.block_on(async {
            let (mut pause, mut away_since) = (FIRST_PAUSE, None);
            loop {
                let answer =
                    tokio::time::timeout_at(deadline.into(), request(self.api::<K>())).await;
                let error = match answer {
                    Ok(Ok(value)) => return Ok(value),
                    Ok(Err(error)) => self.error(error, operation),
                    Err(_) => {
                        return Err(self.silent(operation));
                    }
                };
                let again = Instant::now() + error.retry_after().unwrap_or(pause);
                let end = match error.is_away() {
                    true => deadline.min(*away_since.get_or_insert_with(Instant::now) + AWAY),
                    false => deadline,
                };
                away_since = away_since.filter(|_| error.is_away());
                if !error.is_passing() || again >= end {
                    return Err(error);
                }
                log::debug!("trying again to {operation}: {error}");
                tokio::time::sleep_until(again.into()).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        })
    }

    /// The answer of one request, within the time limit; for a request inside of [`block_on`](Self::block_on).
    pub(crate) async fn in_time<T>(
        &self,
        operation: &Operation,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        debug_assert!(permissions::allow(operation), "the least Role has no rule to {operation}");
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(|error| self.error(error, operation)),
            Err(_) => Err(self.silent(operation)),
        }
    }

    /// The error of a request without an answer in time.
    pub(crate) fn silent(&self, operation: &Operation) -> ApiError {
        ApiError::silent(operation, &self.target, self.timeout)
    }

    /// The time limit of each call.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The error of a request.
    pub(crate) fn error(&self, error: kube::Error, operation: &Operation) -> ApiError {
        let error = ApiError::of(error, operation, &self.target);
        if error.code() == Some(UNAUTHORIZED) {
            self.is_refused.store(true, Ordering::Relaxed);
        }
        error
    }

    /// Runs `future` on this thread.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().expect("it is there until the client is dropped").block_on(future)
    }
}

impl Drop for Client {
    /// A runtime that is dropped inside of another one panics; one that is shut down does not wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A kind of objects in a namespace.
pub(crate) trait Kind:
    Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + DeserializeOwned
    + Clone
    + fmt::Debug
{
}

impl Kind for StatefulSet {}
impl Kind for Pod {}

fn new_runtime() -> Result<Runtime, DriverError> {
    Ok(runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Selects the objects of all gateways.
pub(crate) fn selector() -> String {
    let (label, value) = GATEWAYS;
    format!("{label}={value}")
}

pub(crate) fn stateful_set(verb: &'static str, permission: &'static str, name: &str) -> Operation {
    let object = format!("the StatefulSet `{name}`");
    Operation { verb, permission, resource: "statefulsets.apps", object }
}

pub(crate) fn pod(verb: &'static str, permission: &'static str, name: &str) -> Operation {
    Operation { verb, permission, resource: "pods", object: format!("the Pod `{name}`") }
}

/// `None` if the object does not exist.
fn unless_absent<T>(outcome: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match outcome {
        Err(error) if error.is_absence() => Ok(None),
        outcome => outcome.map(Some),
    }
}

#[cfg(test)]
mod tests;
