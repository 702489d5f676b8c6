//! A request as the API server understands it: which verb on which object, with which options.

use std::collections::BTreeMap;

use axum::http::{Method, Uri};
use serde_json::Value;

use super::failure::Failure;
use super::resource::Resource;

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) verb: &'static str,
    pub(super) resource: Resource,
    pub(super) subresource: Option<&'static str>,
    /// Empty for all objects of a kind.
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) query: BTreeMap<String, String>,
}

impl Call {
    /// Reads it from a method and a URL.
    pub(super) fn read(method: &Method, uri: &Uri) -> Result<Self, Failure> {
        let parts: Vec<_> = uri.path().trim_matches('/').split('/').map(decode).collect();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let (group, rest) = match &parts[..] {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", "apps", "v1", rest @ ..] => ("apps", rest),
            _ => return Err(Failure::no_resource()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                (Some((*namespace).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let [plural, rest @ ..] = rest else { return Err(Failure::no_resource()) };
        let mut all = Resource::ALL.into_iter();
        let resource = all.find(|one| one.plural() == *plural && one.group() == group);
        let resource = resource.ok_or_else(Failure::no_resource)?;
        let (name, subresource) = match rest {
            [] => ("", None),
            [name] => (*name, None),
            [name, "log"] if resource == Resource::Pods => (*name, Some("log")),
            [name, "scale"] if resource == Resource::StatefulSets => (*name, Some("scale")),
            _ => return Err(Failure::no_resource()),
        };
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            (decode(key), decode(value))
        });
        let query: BTreeMap<_, _> = query.collect();
        let watches = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
        let verb = match (method.as_str(), name.is_empty()) {
            ("GET", true) if watches => "watch",
            ("GET", true) => "list",
            ("GET", false) => "get",
            ("POST", true) => "create",
            ("PUT", false) => "update",
            ("PATCH", false) => "patch",
            ("DELETE", false) => "delete",
            ("DELETE", true) => "deletecollection",
            _ => return Err(Failure::no_method()),
        };
        let name = name.to_owned();
        Ok(Self { verb, resource, subresource, name, namespace, query })
    }

    /// The resource and its subresource, as Roles name them.
    pub(super) fn path(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource.plural()),
            None => self.resource.plural().to_owned(),
        }
    }

    pub(super) fn option(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str)
    }

    pub(super) fn is(&self, key: &str) -> bool {
        matches!(self.option(key), Some("true" | "1"))
    }

    /// A number among the options.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Failure> {
        let Some(text) = self.option(key).filter(|text| !text.is_empty()) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Failure::bad_request(format!("{key}: Invalid value: \"{text}\""))),
        }
    }

    /// Which objects it selects, by `labelSelector` and `fieldSelector`.
    pub(super) fn selector(&self) -> Result<Selector, Failure> {
        let mut selector = Selector { requirements: Vec::new(), name: None };
        for (key, value) in pairs(self.option("labelSelector").unwrap_or_default())? {
            selector.requirements.push((key, value));
        }
        for (key, value) in pairs(self.option("fieldSelector").unwrap_or_default())? {
            if key != "metadata.name" {
                let message = format!("field label not supported: {key}");
                return Err(Failure::bad_request(message));
            }
            selector.name = value;
        }
        Ok(selector)
    }
}

/// `key=value` and `key`, parted by commas.
fn pairs(text: &str) -> Result<Vec<(String, Option<String>)>, Failure> {
    let terms = text.split(',').filter(|term| !term.is_empty());
    let pair = |term: &str| {
        if term.contains(['!', '(']) {
            let message =
                format!("unable to parse requirement: {term}: the stand-in knows = alone");
            return Err(Failure::bad_request(message));
        }
        Ok(match term.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.trim_start_matches('=').to_owned())),
            None => (term.to_owned(), None),
        })
    };
    terms.map(pair).collect()
}

/// Which objects a list or a watch is about.
#[derive(Debug)]
pub(super) struct Selector {
    requirements: Vec<(String, Option<String>)>,
    name: Option<String>,
}

impl Selector {
    pub(super) fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let has = |(key, value): &(String, Option<String>)| {
            let actual = metadata["labels"][key.as_str()].as_str();
            actual.is_some() && (value.is_none() || actual == value.as_deref())
        };
        self.requirements.iter().all(has)
            && self.name.as_deref().is_none_or(|name| metadata["name"] == name)
    }
}

/// Decodes `%XX` and `+`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(hex.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = &tail[if hex.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
