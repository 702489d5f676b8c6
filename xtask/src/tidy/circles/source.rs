//! Parses the tokens of a source into the items that it declares and the paths that it names.

use super::tokens;

/// The keywords that declare an item of the module.
const ITEMS: &[&str] =
    &["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];

/// A path, by its segments.
pub(super) type Path = Vec<String>;

/// A module, parsed. Paths in the bodies of functions count for the module.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Source {
    /// Child modules in other files.
    pub(super) children: Vec<String>,
    /// Child modules in this file.
    pub(super) inline: Vec<(String, Source)>,
    pub(super) items: Vec<String>,
    pub(super) imports: Vec<Import>,
    /// Paths of at least two segments outside of `use`.
    pub(super) paths: Vec<Path>,
}

/// One leaf of a `use`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Import {
    pub(super) path: Path,
    /// Its name in this module; none for a glob import.
    pub(super) name: Option<String>,
    /// Whether other modules may import it from here.
    pub(super) public: bool,
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let mut source = Self::default();
        source.read(&tokens::of(text), true);
        source
    }

    /// Parses tokens. Items belong to the module only at its `top`.
    fn read(&mut self, tokens: &[&str], top: bool) {
        let mut at = 0;
        let mut public = false;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1).copied().unwrap_or_default();
            let name = is_name(next).then(|| next.to_owned());
            match (*token, name) {
                ("pub", _) => {
                    public = true;
                    at += 1;
                    // `pub(in a::b)`
                    if next == "(" {
                        at += tokens::group(&tokens[at..]);
                    }
                    continue;
                }
                ("use", _) => {
                    let length = tokens[at..].iter().take_while(|token| **token != ";").count();
                    self.tree(&tokens[at + 1..at + length], &[], public);
                    at += length;
                }
                ("mod", Some(name)) if tokens.get(at + 2) == Some(&"{") => {
                    let length = tokens::group(&tokens[at + 2..]);
                    let mut module = Self::default();
                    module.read(&tokens[at + 3..at + 1 + length], true);
                    self.inline.push((name, module));
                    at += 2 + length;
                }
                ("mod", Some(name)) => {
                    self.children.push(name);
                    at += 2;
                }
                ("macro_rules", _) => {
                    self.items.extend(tokens.get(at + 2).map(|name| (*name).to_owned()));
                    at += 3;
                }
                (token, Some(name)) if top && ITEMS.contains(&token) => {
                    // `const fn f`
                    if !ITEMS.contains(&next) {
                        self.items.push(name);
                    }
                    at += 1;
                }
                ("{", _) => {
                    let length = tokens::group(&tokens[at..]);
                    self.read(&tokens[at + 1..at + length - 1], false);
                    at += length;
                }
                (token, _) if is_name(token) && next == "::" => at += self.path(&tokens[at..]),
                _ => at += 1,
            }
            public = false;
        }
    }

    /// Adds the path that `tokens` begin with; returns how many tokens it has.
    fn path(&mut self, tokens: &[&str]) -> usize {
        let mut path = vec![tokens[0].to_owned()];
        let mut at = 1;
        while tokens.get(at) == Some(&"::") && tokens.get(at + 1).is_some_and(|name| is_name(name))
        {
            path.push(tokens[at + 1].to_owned());
            at += 2;
        }
        if path.len() > 1 {
            self.paths.push(path);
        }
        at
    }

    /// Adds the leaves of a tree of imports: `a::{b as c, d::*, self}`.
    fn tree(&mut self, tokens: &[&str], before: &[String], public: bool) {
        let mut path = before.to_vec();
        let mut name = None;
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match *token {
                "{" => {
                    let length = tokens::group(&tokens[at..]);
                    for branch in branches(&tokens[at + 1..at + length - 1]) {
                        self.tree(branch, &path, public);
                    }
                    return;
                }
                "*" => {
                    self.imports.push(Import { path, name: None, public });
                    return;
                }
                "as" => {
                    name = tokens.get(at + 1).map(|name| (*name).to_owned());
                    break;
                }
                // `a::{self}` is the module `a` itself.
                "self" if !path.is_empty() => {}
                token if is_name(token) => path.push(token.to_owned()),
                _ => {}
            }
            at += 1;
        }
        let name = name.or_else(|| path.last().cloned());
        if !path.is_empty() {
            self.imports.push(Import { path, name, public });
        }
    }
}

/// Splits at commas outside of braces.
fn branches<'a, 'b>(tokens: &'a [&'b str]) -> Vec<&'a [&'b str]> {
    let mut branches = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match *token {
            "{" => at += tokens::group(&tokens[at..]),
            "," => {
                branches.push(&tokens[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    branches.push(&tokens[start..]);
    branches
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let source = Source::parse(text);
        let imports = source.imports.iter().map(|import| {
            let public = if import.public { "pub " } else { "" };
            let name = import.name.as_deref().unwrap_or("*");
            format!("{public}{}={name}", import.path.join("::"))
        });
        let paths = source.paths.iter().map(|path| path.join("::"));
        let inline = source.inline.iter().map(|(name, _)| format!("{name}{{}}"));
        let all = source.children.iter().cloned().chain(inline).chain(source.items.iter().cloned());
        all.chain(imports).chain(paths).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn imports_are_read_to_their_leaves() {
        assert_eq!(shown("use crate::a::B;"), "crate::a::B=B");
        assert_eq!(
            shown("use super::{a::{self, B as C}, d, e::*};"),
            "super::a=a super::a::B=C super::d=d super::e=*"
        );
        assert_eq!(shown("pub(in crate::x) use self::a::B;"), "pub self::a::B=B");
        assert_eq!(shown("use ::std::io; fn f() { use super::g; }"), "f std::io=io super::g=g");
    }

    #[test]
    fn declared_items_belong_to_the_module() {
        assert_eq!(
            shown("mod a; pub mod b { mod c; fn d() {} } pub const fn e() {} impl F { fn g() {} }"),
            "a b{} e"
        );
        assert_eq!(
            shown("macro_rules! m { () => {} } struct S; enum E {} const C: u8 = 1;"),
            "m S E C"
        );
    }

    #[test]
    fn paths_are_read_everywhere() {
        assert_eq!(
            shown("fn f(a: super::A) -> crate::b::C { d::e(self::g::<u8>()); h }"),
            "f super::A crate::b::C d::e self::g"
        );
    }
}
