//! Text to a tree with places. The only file that uses the YAML library.
//!
//! Two passes over the same text. In the first the library decides the type of each node ([`Kind`],
//! list, mapping). The second deserializes every scalar as a string: whatever its type, the library
//! returns a slice of the input, and the slice's offset is the scalar's place. Both passes visit the
//! same nodes in the same order, with aliases resolved.
//!
//! [`Scope::Ours`] skips the agent's part, which may be invalid.
//!
//! [`simple`] reads most files without the library, with the same result.

mod simple;

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::MAX_SIZE;
use super::error::{ConfigError, Place};
use super::keys::{self, GATEWAY, KEYS, NOTIFY};

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file, duplicate keys included.
    Map(Vec<(Node, Node)>),
    /// A node with an application's tag, such as `!secret x`.
    Tagged(String, Box<Node>),
    /// A node outside of the [`Scope`].
    Skipped,
}

/// A scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    /// Its type according to the library.
    pub(super) kind: Kind,
    /// Its text without quotes, with escapes and line ends resolved.
    pub(super) text: String,
    /// The place of `text` in the input, without quotes; `None` if the input differs from `text`
    /// (escapes, more than one line).
    pub(super) span: Option<Range<usize>>,
    /// Whether it is unquoted. False if `span` is `None`.
    pub(super) plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Float,
    String,
}

/// The part of the document to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// At the top level, `gateway` and merge keys; below `gateway`, our keys and merge keys.
    Ours,
    /// The part of `Ours` below `gateway`.
    Gateway,
    /// At the top level, `notify` and merge keys.
    Notify,
    /// At the top level, the agent's keys that decide its address, and `gateway`.
    Agent,
    /// At the top level or under `gateway`: the platforms.
    Platforms,
    /// Under `platforms`: the API server.
    ApiServer,
    /// Only the keys that a merge key sets.
    Merge,
    /// Everything.
    Whole,
}

/// The maximum number of nodes to read, counted again for each alias: it bounds the expansion of aliases.
const MAX_NODES: usize = 1_000_000;
/// The problem if [`MAX_NODES`] or the library's own limit is exceeded.
const TOO_MANY: &str = "too many values: aliases repeat too much";
/// The maximum number of open brackets: the library's time is quadratic in it, even for skipped nodes.
/// PyYAML fails at fewer.
const MAX_OPEN: usize = 500;
const TOO_DEEP: &str = "nested too deeply, or a recursive alias";

/// Reads one document; an empty one is null.
pub(super) fn read(text: &str, scope: Scope, path: &Path) -> Result<Node, ConfigError> {
    if text.len() > MAX_SIZE {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let budget = Cell::new(MAX_NODES);
    match simple::read(text, Classify { scope, budget: &budget }) {
        Some(root) => Ok(root),
        None => by_library(text, scope, path),
    }
}

/// As [`read`], with the library.
fn by_library(text: &str, scope: Scope, path: &Path) -> Result<Node, ConfigError> {
    let failed =
        |offset, problem| Err(ConfigError::Yaml { place: Place::new(path, text, offset), problem });
    // Removed here: a byte order mark is neither a character nor a part of the first key.
    let input = text.strip_prefix('\u{feff}').unwrap_or(text);
    let cut = text.len() - input.len();
    if let Some((at, c)) = input.char_indices().find(|(_, c)| !is_printable(*c)) {
        let problem = format!("the control character U+{:04X} is not allowed", u32::from(c));
        return failed(Some(cut + at), problem);
    }
    if let Some(at) = too_many_open(input) {
        return failed(Some(cut + at), TOO_DEEP.to_owned());
    }
    let budget = Cell::new(MAX_NODES);
    let classify = Classify { scope, budget: &budget };
    let result =
        classify.deserialize(serde_yaml::Deserializer::from_str(input)).and_then(|mut root| {
            // An empty document has no scalar to deserialize as a string.
            if !matches!(&root, Node::Scalar(scalar) if scalar.kind == Kind::Null) {
                let locate = Locate { node: &mut root, text };
                locate.deserialize(serde_yaml::Deserializer::from_str(input))?;
            }
            Ok(root)
        });
    result.or_else(|error| {
        let location = error.location();
        let offset = location.as_ref().map(|location| cut + location.index());
        let mut problem = error.to_string();
        if let Some(location) = location {
            // Our message has its own place, and a byte order mark makes the library's columns differ.
            let place = format!(" at line {} column {}", location.line(), location.column());
            problem = problem.replacen(&place, "", 1);
        }
        let is_at =
            |c| offset.and_then(|at| text.get(at..)).is_some_and(|rest| rest.starts_with(c));
        if problem.contains("cannot start any token") && is_at('\t') {
            problem = "a tab can't indent a line: use spaces".to_owned();
        } else if problem.contains("more than one document") {
            problem = "more than one document (a second `---`)".to_owned();
        } else if problem.contains("repetition limit") {
            problem = TOO_MANY.to_owned();
        } else if problem.contains("recursion limit") {
            problem = TOO_DEEP.to_owned();
        }
        failed(offset, problem.replace(['\n', '\r'], " "))
    })
}

/// The offset at which more than [`MAX_OPEN`] brackets are open. Counts brackets in quotes and comments
/// too.
fn too_many_open(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    text.bytes().position(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > MAX_OPEN
    })
}

/// The first pass: the type of each node.
#[derive(Clone, Copy)]
struct Classify<'a> {
    scope: Scope,
    budget: &'a Cell<usize>,
}

impl Classify<'_> {
    /// The visitor for the value of `key`; `None` if the value is skipped.
    fn below(self, key: &Node) -> Option<Self> {
        let Node::Scalar(Scalar { kind: Kind::String, text, .. }) = key else {
            return (self.scope == Scope::Whole).then_some(self);
        };
        let scope = match (self.scope, text.as_str()) {
            (Scope::Whole, _) => Scope::Whole,
            (_, "<<") => Scope::Merge,
            (Scope::Ours, GATEWAY) => Scope::Gateway,
            (Scope::Notify, NOTIFY) => Scope::Whole,
            (Scope::Agent, GATEWAY) => Scope::Platforms,
            (Scope::Agent | Scope::Platforms, keys::agent::PLATFORMS) => Scope::ApiServer,
            (Scope::ApiServer, keys::agent::API_SERVER) => Scope::Whole,
            (Scope::Agent, key) if key.starts_with(keys::agent::VARIABLES) => Scope::Whole,
            (Scope::Agent, keys::agent::VERSION) => Scope::Whole,
            (Scope::Gateway, key) if KEYS.contains(&key) => Scope::Whole,
            _ => return None,
        };
        Some(Self { scope, ..self })
    }

    fn scalar<E>(kind: Kind, text: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Scalar { kind, text: text.to_owned(), span: None, plain: false }))
    }
}

impl<'de> DeserializeSeed<'de> for Classify<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let Some(budget) = self.budget.get().checked_sub(1) else {
            return Err(D::Error::custom(TOO_MANY));
        };
        self.budget.set(budget);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Classify<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Self::scalar(Kind::Null, "")
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Self::scalar(Kind::Null, "")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Self::scalar(Kind::Boolean, "")
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Self::scalar(Kind::Integer, "")
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Self::scalar(Kind::Integer, "")
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Self::scalar(Kind::Integer, "")
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Self::scalar(Kind::Integer, "")
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Self::scalar(Kind::Float, "")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Self::scalar(Kind::String, text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(self)? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        let whole = Self { scope: Scope::Whole, ..self };
        while let Some(key) = map.next_key_seed(whole)? {
            let value = if let Some(below) = self.below(&key) {
                map.next_value_seed(below)?
            } else {
                map.next_value::<IgnoredAny>()?;
                Node::Skipped
            };
            nodes.push((key, value));
        }
        Ok(Node::Map(nodes))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (tag, value) = tagged.variant::<String>()?;
        Ok(Node::Tagged(tag, Box::new(value.newtype_variant_seed(self)?)))
    }
}

/// The second pass: the text and the place of each scalar.
struct Locate<'a, 't> {
    node: &'a mut Node,
    text: &'t str,
}

impl<'de> DeserializeSeed<'de> for Locate<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.node {
            Node::Scalar(_) => deserializer.deserialize_str(self),
            Node::List(_) => deserializer.deserialize_seq(self),
            Node::Map(_) => deserializer.deserialize_map(self),
            // With a given type the library ignores tags.
            Node::Tagged(_, node) => Locate { node, text: self.text }.deserialize(deserializer),
            Node::Skipped => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
        }
    }
}

impl<'de> Visitor<'de> for Locate<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same node as in the first pass")
    }

    fn visit_borrowed_str<E>(self, piece: &'de str) -> Result<(), E> {
        if let Node::Scalar(scalar) = self.node {
            let start = piece.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
            let span = start..start.wrapping_add(piece.len());
            scalar.text = piece.to_owned();
            if self.text.get(span.clone()) == Some(piece) {
                scalar.plain = !is_quoted(self.text, &span);
                scalar.span = Some(span);
            }
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if let Node::Scalar(scalar) = self.node {
            scalar.text = text.to_owned();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if let Node::List(nodes) = self.node {
            for node in nodes {
                list.next_element_seed(Locate { node, text: self.text })?;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Node::Map(nodes) = self.node {
            for (key, value) in nodes {
                map.next_key_seed(Locate { node: key, text: self.text })?;
                map.next_value_seed(Locate { node: value, text: self.text })?;
            }
        }
        Ok(())
    }
}

/// Whether the scalar at `span` has the same quote on both sides. Nothing unquoted can stand directly
/// between the quotes of two scalars, except for the empty text of a missing value.
fn is_quoted(text: &str, span: &Range<usize>) -> bool {
    let before = text[..span.start].chars().next_back();
    before.is_some_and(|c| matches!(c, '\'' | '"')) && text[span.end..].chars().next() == before
}

/// Whether YAML allows `c` in a file. The library checks this too, but reports only a byte.
fn is_printable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}')
        || matches!(c, '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
