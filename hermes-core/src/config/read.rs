//! The values of our keys: checks types and ranges, and refuses values that PyYAML would read differently.
//!
//! A key of ours without a value (`port:`) is not set. Errors never show values of `env`, which may be
//! secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Place};
use super::fill;
use super::keys::KEYS;
use super::pyyaml::not_a_string;
use super::secrets::masked;
use super::spelling::looks_like;
use super::yaml::{Kind, Node, Scalar};
use super::{GatewayKind, StopTimeout, Topology, Warning};

/// The keys of a mapping with their values.
type Entries = [(Node, Node)];

/// One key with its value.
pub(super) struct Field<'a> {
    /// The full name of the key, for messages.
    pub(super) name: String,
    pub(super) key: &'a Node,
    pub(super) value: &'a Node,
}

impl<'a> Field<'a> {
    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Node::Scalar(scalar) if scalar.kind == Kind::Null)
    }

    /// A part of the value, reported under the same key.
    fn part(&self, value: &'a Node) -> Self {
        Self { name: self.name.clone(), key: self.key, value }
    }
}

/// A variable of `env`.
pub(super) struct Variable {
    pub(super) value: String,
    pub(super) place: Place,
}

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) path: &'a Path,
}

impl Reader<'_> {
    /// The top-level key `name` and the entries below it; `None` if it is not set. `example` is a line below it.
    pub(super) fn section<'a>(
        &self,
        root: &'a Node,
        name: &'static str,
        example: &str,
    ) -> Result<Option<(Field<'a>, &'a Entries)>, ConfigError> {
        let entries = match root {
            Node::Map(entries) => entries,
            Node::Scalar(scalar) if scalar.kind == Kind::Null => return Ok(None),
            other => {
                let problem = format!("the top level must be a mapping, with lines like `{name}:`");
                let place = self.place(other).unwrap_or(Place::new(self.path, self.text, Some(0)));
                return Err(ConfigError::Yaml { place, problem });
            }
        };
        let found = self.ours(entries, &[name], "")?;
        let Some(&(_, key, value)) = found.first() else { return Ok(None) };
        let field = Field { name: name.to_owned(), key, value };
        match value {
            Node::Map(entries) => Ok(Some((field, entries))),
            _ if field.is_null() => Ok(None),
            _ => {
                let problem = format!("must be a mapping, with lines like `{example}`");
                Err(self.invalid(&field, &problem))
            }
        }
    }

    /// The entries whose key is one of `names`, in the order of the file. Refuses duplicates.
    pub(super) fn ours<'a>(
        &self,
        entries: &'a [(Node, Node)],
        names: &[&'static str],
        above: &str,
    ) -> Result<Vec<(&'static str, &'a Node, &'a Node)>, ConfigError> {
        let mut found: Vec<(&'static str, &Node, &Node)> = Vec::new();
        for (key, value) in entries {
            if is_merge(key) {
                if let Some(name) = names.iter().find(|name| sets(value, name)) {
                    let field = Field { name: format!("{above}{name}"), key, value: key };
                    let problem = "must not be set by a merge key (`<<`): write it out";
                    return Err(self.invalid(&field, problem));
                }
                continue;
            }
            let Some(name) = names.iter().find(|name| string(key) == Some(name)) else { continue };
            if found.iter().any(|(known, ..)| known == name) {
                let field = Field { name: format!("{above}{name}"), key, value: key };
                return Err(self.invalid(&field, "is set twice: keep one of them"));
            }
            found.push((name, key, value));
        }
        Ok(found)
    }

    /// The keys that are set in `entries`, the mapping that is the value of `field`. Refuses any that is not one of `names`.
    pub(super) fn only_ours<'a>(
        &self,
        field: &Field<'_>,
        entries: &'a [(Node, Node)],
        names: &[&'static str],
    ) -> Result<Vec<(&'static str, Field<'a>)>, ConfigError> {
        let found = self.ours(entries, names, &format!("{}.", field.name))?;
        if found.len() < entries.len() {
            let known: Vec<_> = names.iter().map(|key| format!("`{key}`")).collect();
            let mut words = entries.iter().filter_map(|(key, _)| Some((key, string(key)?)));
            let unknown = words.find(|(_, word)| !names.contains(word));
            let word = unknown.map_or_else(String::new, |(_, word)| {
                format!(" `{}`", masked(&word.escape_debug().to_string()))
            });
            let problem = format!("has an unknown key{word}; the keys are {}", known.join(", "));
            let key = unknown.map_or(field.value, |(key, _)| key);
            return Err(self.invalid(&field.part(key), &problem));
        }
        let named = |(name, key, value)| {
            (name, Field { name: format!("{}.{name}", field.name), key, value })
        };
        Ok(found.into_iter().map(named).filter(|(_, field)| !field.is_null()).collect())
    }

    pub(super) fn kind(&self, field: &Field<'_>) -> Result<GatewayKind, ConfigError> {
        match self.string(field)?.as_str() {
            "built-in" => Ok(GatewayKind::BuiltIn),
            "hermes-agent" => Ok(GatewayKind::HermesAgent),
            _ => Err(self.invalid(field, "must be `hermes-agent` or `built-in`")),
        }
    }

    pub(super) fn program(&self, field: &Field<'_>) -> Result<PathBuf, ConfigError> {
        let path = PathBuf::from(self.string(field)?);
        let problem = "must be an absolute path, such as /opt/hermes-agent/bin/hermes";
        path.is_absolute().then_some(path).ok_or_else(|| self.invalid(field, problem))
    }

    pub(super) fn topology(&self, field: &Field<'_>) -> Result<Topology, ConfigError> {
        match self.string(field)?.as_str() {
            "isolated" => Ok(Topology::Isolated),
            "shared" => Ok(Topology::Shared),
            _ => Err(self.invalid(field, "must be `isolated` or `shared`")),
        }
    }

    pub(super) fn port(&self, field: &Field<'_>) -> Result<u16, ConfigError> {
        let port = self.number(field, "8642")?;
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        port.ok_or_else(|| self.invalid(field, "must be between 1 and 65535"))
    }

    pub(super) fn stop_timeout(&self, field: &Field<'_>) -> Result<StopTimeout, ConfigError> {
        StopTimeout::new(self.number(field, "8")?).ok_or_else(|| {
            let (min, max) = (StopTimeout::MIN, StopTimeout::MAX);
            self.invalid(field, &format!("must be between {min} and {max} seconds"))
        })
    }

    /// A number that both readers read alike. Refused, for example: 017, 0x11, 1:30, 1_000 and "17".
    pub(super) fn number(&self, field: &Field<'_>, example: &str) -> Result<u64, ConfigError> {
        let problem =
            || format!("must be a plain decimal number without quotes, such as {example}");
        let Node::Scalar(Scalar { kind: Kind::Integer, plain: true, text, .. }) = field.value
        else {
            return Err(self.invalid(field, &problem()));
        };
        let plain = text.bytes().all(|c| c.is_ascii_digit());
        if !plain || (text.len() > 1 && text.starts_with('0')) {
            return Err(self.invalid(field, &problem()));
        }
        // Parsing fails only for too many digits, and so large a number is out of every range.
        Ok(text.parse().unwrap_or(u64::MAX))
    }

    /// A number of seconds, or of times.
    pub(super) fn up_to_3600(&self, field: &Field<'_>, example: &str) -> Result<u64, ConfigError> {
        let number = self.number(field, example)?;
        let valid = (1..=3600).contains(&number).then_some(number);
        valid.ok_or_else(|| self.invalid(field, "must be between 1 and 3600"))
    }

    pub(super) fn command(&self, field: &Field<'_>) -> Result<Vec<String>, ConfigError> {
        let arguments = self.list(field, "[program, --flag]")?;
        let string = |argument| self.string_or_empty(argument);
        let command: Vec<_> = arguments.iter().map(string).collect::<Result<_, _>>()?;
        match command.first() {
            None => Err(self.invalid(field, "must name a program: the list is empty")),
            Some(program) if program.is_empty() => {
                Err(self.invalid(&arguments[0], "must name a program first"))
            }
            Some(_) => Ok(command),
        }
    }

    /// The values of a list of strings.
    pub(super) fn list<'a>(
        &self,
        field: &Field<'a>,
        example: &str,
    ) -> Result<Vec<Field<'a>>, ConfigError> {
        match field.value {
            Node::List(values) => Ok(values.iter().map(|value| field.part(value)).collect()),
            _ => Err(self.invalid(field, &format!("must be a list of strings, such as {example}"))),
        }
    }

    pub(super) fn env(&self, field: &Field<'_>) -> Result<BTreeMap<String, Variable>, ConfigError> {
        let Node::Map(entries) = field.value else {
            return Err(self.invalid(field, "must be a mapping, with lines like `NAME: value`"));
        };
        let mut env = BTreeMap::new();
        for (key, value) in entries {
            let at_key = field.part(key);
            if is_merge(key) {
                let problem = "must not use a merge key (`<<`): write the variables out";
                return Err(self.invalid(&at_key, problem));
            }
            let name = self.string_or_empty(&at_key)?;
            if !is_identifier(&name) {
                let shown = name.escape_debug();
                let problem = format!(
                    "invalid variable name `{shown}`: only letters, digits and `_`, no digit first"
                );
                return Err(self.invalid(&at_key, &problem));
            }
            let at_value = Field { name: format!("{}.{name}", field.name), key, value };
            if env.contains_key(&name) {
                let twice = Field { name: at_value.name, key, value: key };
                return Err(self.invalid(&twice, "is set twice: keep one of them"));
            }
            let value = self.string_or_empty(&at_value)?;
            env.insert(name, Variable { value, place: self.place_of(&at_value) });
        }
        Ok(env)
    }

    pub(super) fn string(&self, field: &Field<'_>) -> Result<String, ConfigError> {
        let text = self.string_or_empty(field)?;
        if text.is_empty() {
            return Err(self.invalid(field, "must not be empty"));
        }
        Ok(text)
    }

    /// A scalar that both readers read as a string.
    fn string_or_empty(&self, field: &Field<'_>) -> Result<String, ConfigError> {
        let scalar = match field.value {
            Node::Scalar(scalar) => scalar,
            Node::Tagged(tag, _) => {
                let problem = format!("must be a string without the tag `!{tag}`");
                return Err(self.invalid(field, &problem));
            }
            Node::Map(entries) => {
                return Err(match placeholder(entries) {
                    Some(name) => {
                        let problem = format!(
                            "must be a string, but YAML reads `{{{name}}}` as a mapping: put it in quotes"
                        );
                        let (name, key) = (field.name.clone(), field.key);
                        self.invalid(&Field { name, key, value: &entries[0].0 }, &problem)
                    }
                    None => self.invalid(field, "must be a string, not a mapping"),
                });
            }
            _ => return Err(self.invalid(field, "must be a string, not a list")),
        };
        let other_type = match scalar.kind {
            Kind::Null => {
                return Err(self.invalid(field, "must be a string: write '' for an empty one"));
            }
            Kind::Boolean => Some("a boolean"),
            Kind::Integer | Kind::Float => Some("a number"),
            Kind::String if scalar.plain => not_a_string(&scalar.text),
            // The library does not show whether a scalar over two lines is quoted. Of the other types
            // only a date has a blank.
            Kind::String if scalar.span.is_none() && scalar.text.contains(' ') => {
                not_a_string(&scalar.text)
            }
            Kind::String => None,
        };
        if let Some(other_type) = other_type {
            let problem =
                format!("must be a string, but YAML reads it as {other_type}: put it in quotes");
            return Err(self.invalid(field, &problem));
        }
        if scalar.text.contains('\0') {
            return Err(self.invalid(field, "must not contain a NUL character"));
        }
        Ok(scalar.text.clone())
    }

    /// The warning for a key under `gateway` that looks like one of ours.
    pub(super) fn misspelt(&self, key: &Node) -> Option<Warning> {
        let key_text = string(key).filter(|text| !KEYS.contains(text))?;
        let suggestion = KEYS.into_iter().find(|ours| looks_like(key_text, ours))?;
        let (line, column) = self.place(key).and_then(|place| place.at).unzip();
        let (path, key) = (self.path.to_owned(), key_text.to_owned());
        Some(Warning { path, key, suggestion, line, column })
    }

    pub(super) fn invalid(&self, field: &Field<'_>, problem: &str) -> ConfigError {
        let (key, problem) = (field.name.clone(), problem.to_owned());
        ConfigError::Invalid { key, place: self.place_of(field), problem }
    }

    /// The place of the value, or of the key if the value's place is unknown.
    pub(super) fn place_of(&self, field: &Field<'_>) -> Place {
        let place = self.place(field.value).or_else(|| self.place(field.key));
        place.unwrap_or(Place::new(self.path, self.text, None))
    }

    /// The place of a scalar; `None` for lists and mappings, whose place is unknown.
    fn place(&self, node: &Node) -> Option<Place> {
        match node {
            Node::Scalar(Scalar { span: Some(span), plain, .. }) => {
                let start = if *plain { span.start } else { span.start - 1 };
                Some(Place::new(self.path, self.text, Some(start)))
            }
            Node::Tagged(_, node) => self.place(node),
            _ => None,
        }
    }
}

/// The text of a string node, such as a key.
fn string(node: &Node) -> Option<&str> {
    match node {
        Node::Scalar(scalar) if scalar.kind == Kind::String => Some(&scalar.text),
        _ => None,
    }
}

/// The name of the placeholder that a mapping is if nobody quoted it, as in `{port}`.
fn placeholder(entries: &[(Node, Node)]) -> Option<&'static str> {
    let [(key, Node::Scalar(Scalar { kind: Kind::Null, .. }))] = entries else { return None };
    let name = string(key)?;
    fill::NAMES.into_iter().find(|placeholder| *placeholder == name)
}

/// Whether `key` is `<<`, which PyYAML expands and our library does not. A quoted `<<` is a normal key.
fn is_merge(key: &Node) -> bool {
    matches!(key, Node::Scalar(scalar) if scalar.plain && scalar.text == "<<")
}

/// Whether merging `node` sets the key `name`.
fn sets(node: &Node, name: &str) -> bool {
    match node {
        Node::Map(entries) => entries
            .iter()
            .any(|(key, value)| string(key) == Some(name) || (is_merge(key) && sets(value, name))),
        Node::List(nodes) => nodes.iter().any(|node| sets(node, name)),
        _ => false,
    }
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}
