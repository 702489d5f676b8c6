//! From text to a tree with places. Alone in naming the YAML library.
//!
//! Two passes over the same text. The first lets the library say what each node is ([`Kind`], list,
//! mapping); the second asks for every scalar as a string, which the library answers with a piece
//! of the input as it is written, whatever it takes it for. Where that piece lies in the input is
//! its place. The passes see the same nodes in the same order, aliases already followed.
//!
//! What belongs to the agent is not read at all in [`Scope::Ours`]: it may be anything.

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
use super::keys::{GATEWAY, KEYS};

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file, with keys that stand there twice.
    Map(Vec<(Node, Node)>),
    /// A node with a tag of somebody's own, such as `!secret x`.
    Tagged(String, Box<Node>),
    /// Not ours, not read.
    Skipped,
}

/// A scalar as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    /// What the library takes it for.
    pub(super) kind: Kind,
    /// Without quotes, and with escapes and line ends resolved.
    pub(super) text: String,
    /// Where `text` stands in the input, without quotes; `None` if it does not stand there
    /// literally: escapes, more than one line.
    pub(super) span: Option<Range<usize>>,
    /// Whether there are no quotes around it. False if `span` is `None`.
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

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// At the top level, `gateway` and merge keys; below it, our keys and merge keys.
    Ours,
    /// Below `gateway`.
    Gateway,
    /// Only the keys that a merge key brings in.
    Merge,
    /// Everything.
    Whole,
}

/// How often aliases may be repeated: nodes read, including those that are read again.
const MAX_NODES: usize = 1_000_000;
/// Our own limit and the library's.
const TOO_MANY: &str = "too many values: aliases repeat too much";
/// How many brackets may be open: the library's time grows with the square of it, also where nobody asks
/// for what is in them. PyYAML gives up at fewer.
const MAX_OPEN: usize = 500;
const TOO_DEEP: &str = "nested too deeply, or an alias of what it is in";

/// Reads one document; an empty one is null.
pub(super) fn read(text: &str, scope: Scope, path: &Path) -> Result<Node, ConfigError> {
    if text.len() > MAX_SIZE {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let failed =
        |offset, problem| Err(ConfigError::Yaml { place: Place::new(path, text, offset), problem });
    // Cut off here, so that it counts neither as a character nor as a part of the first key.
    let input = text.strip_prefix('\u{feff}').unwrap_or(text);
    let cut = text.len() - input.len();
    if let Some((at, sign)) = input.char_indices().find(|(_, sign)| !is_printable(*sign)) {
        let problem = format!("the control character U+{:04X} is not allowed", u32::from(sign));
        return failed(Some(cut + at), problem);
    }
    if let Some(at) = too_many_open(input) {
        return failed(Some(cut + at), TOO_DEEP.to_owned());
    }
    let budget = Cell::new(MAX_NODES);
    let learn = Learn { scope, budget: &budget };
    let result =
        learn.deserialize(serde_yaml::Deserializer::from_str(input)).and_then(|mut root| {
            // A document without any node has nothing that could be asked for as a string.
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
            // The place is told in our own words, and with a byte order mark the counts differ.
            let there = format!(" at line {} column {}", location.line(), location.column());
            problem = problem.replacen(&there, "", 1);
        }
        if problem.contains("more than one document") {
            problem = "more than one document (a second `---`)".to_owned();
        } else if problem.contains("repetition limit") {
            problem = TOO_MANY.to_owned();
        } else if problem.contains("recursion limit") {
            problem = TOO_DEEP.to_owned();
        }
        failed(offset, problem.replace(['\n', '\r'], " "))
    })
}

/// Where one bracket too many is open. Those in quotes and comments count, too, and close each other.
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

/// The first pass: what each node is.
#[derive(Clone, Copy)]
struct Learn<'a> {
    scope: Scope,
    budget: &'a Cell<usize>,
}

impl Learn<'_> {
    /// With what the value of `key` is read; `None` if it is not.
    fn below(self, key: &Node) -> Option<Self> {
        let Node::Scalar(Scalar { kind: Kind::String, text, .. }) = key else {
            return (self.scope == Scope::Whole).then_some(self);
        };
        let scope = match (self.scope, text.as_str()) {
            (Scope::Whole, _) => Scope::Whole,
            (_, "<<") => Scope::Merge,
            (Scope::Ours, GATEWAY) => Scope::Gateway,
            (Scope::Gateway, key) if KEYS.contains(&key) => Scope::Whole,
            _ => return None,
        };
        Some(Self { scope, ..self })
    }

    fn scalar<E>(kind: Kind, text: &str) -> Result<Node, E> {
        Ok(Node::Scalar(Scalar { kind, text: text.to_owned(), span: None, plain: false }))
    }
}

impl<'de> DeserializeSeed<'de> for Learn<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let Some(budget) = self.budget.get().checked_sub(1) else {
            return Err(D::Error::custom(TOO_MANY));
        };
        self.budget.set(budget);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Learn<'_> {
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

/// The second pass: what each scalar's text is and where it stands.
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
            // Asked for a certain type, the library looks through tags.
            Node::Tagged(_, node) => Locate { node, text: self.text }.deserialize(deserializer),
            Node::Skipped => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
        }
    }
}

impl<'de> Visitor<'de> for Locate<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the same as before")
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

/// A quote on both sides. Nothing unquoted can stand directly between two scalars' quotes, but the
/// empty text of a value that is left out can: it is not quoted unless both quotes are its own.
fn is_quoted(text: &str, span: &Range<usize>) -> bool {
    let before = text[..span.start].chars().next_back();
    before.is_some_and(|c| matches!(c, '\'' | '"')) && text[span.end..].chars().next() == before
}

/// What YAML allows in a file, of which the library tells only the byte.
fn is_printable(sign: char) -> bool {
    matches!(sign, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}')
        || matches!(sign, '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
