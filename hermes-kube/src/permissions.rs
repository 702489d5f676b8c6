//! What the account of the console has to be allowed: the rules of the least Role with which this backend works.
//!
//! The Role in `deploy/kubernetes/cluster` has the same rules, which a test compares.

use crate::api_error::Operation;

/// A rule of the Role: the verbs that requests about a resource use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The resource with its group, as `kubectl auth can-i` takes it: `statefulsets.apps`, `pods`.
    pub resource: &'static str,
    /// The verbs, each of which some request uses.
    pub verbs: &'static [&'static str],
}

/// The rules, for the namespace of the gateways alone. An object that is applied needs `create` as well, if it does not exist.
pub const LEAST_ROLE: &[Rule] = &[
    Rule {
        resource: "statefulsets.apps",
        verbs: &["get", "list", "watch", "create", "patch", "delete"],
    },
    Rule { resource: "pods", verbs: &["get", "list", "watch", "delete"] },
    Rule { resource: "pods/log", verbs: &["get"] },
];

/// Whether the least Role allows `operation`.
pub(crate) fn allow(operation: &Operation) -> bool {
    LEAST_ROLE.iter().any(|rule| {
        rule.resource == operation.resource && rule.verbs.contains(&operation.permission)
    })
}
