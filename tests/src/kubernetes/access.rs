//! Who may do what: a token and a Role.

use std::collections::BTreeSet;

use hermes_kube::LEAST_ROLE;

use super::failure::Failure;
use super::resource::Resource;

/// The account whose token the kubeconfig has.
const USER: &str = "system:serviceaccount:hermes:hermes";

/// A token, and what it allows in the namespace.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) token: String,
    is_expired: bool,
    allowed: BTreeSet<(String, String)>,
}

impl Access {
    pub(super) fn new(token: String) -> Self {
        // As the Role of the manifests has it, so that the backend passes its tests with no more than that.
        let pairs = LEAST_ROLE.iter().flat_map(|rule| {
            let resource = rule.resource.split('.').next().unwrap_or_default();
            rule.verbs.iter().map(|verb| ((*verb).to_owned(), resource.to_owned()))
        });
        Self { token, is_expired: false, allowed: pairs.collect() }
    }

    pub(super) fn expire(&mut self) {
        self.is_expired = true;
    }

    pub(super) fn set(&mut self, verb: &str, resource: &str, is_allowed: bool) {
        let pair = (verb.to_owned(), resource.to_owned());
        match is_allowed {
            true => self.allowed.insert(pair),
            false => self.allowed.remove(&pair),
        };
    }

    /// Checks the header `Authorization`.
    pub(super) fn authenticate(&self, header: Option<&str>) -> Result<(), Failure> {
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        match token == Some(self.token.as_str()) && !self.is_expired {
            true => Ok(()),
            false => Err(Failure::unauthorized()),
        }
    }

    /// Checks the verb. `path` is the resource with its subresource; `namespace` is none of a request about all.
    pub(super) fn authorize(
        &self,
        verb: &str,
        (resource, path): (Resource, &str),
        name: &str,
        namespace: Option<&str>,
    ) -> Result<(), Failure> {
        let own = namespace == Some(super::NAMESPACE);
        if own && self.allowed.contains(&(verb.to_owned(), path.to_owned())) {
            return Ok(());
        }
        let place = match namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let action = format!(
            "User \"{USER}\" cannot {verb} resource \"{path}\" in API group \"{}\" {place}",
            resource.group()
        );
        Err(Failure::forbidden(resource, name, &action))
    }
}
