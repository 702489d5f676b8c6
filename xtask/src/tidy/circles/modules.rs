//! The modules of a crate, and the resolution of paths to the files that define them.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Import, Path, Source};

/// How many imports are followed; a longer chain leads back to itself.
const MAX_IMPORTS: usize = 8;

/// The modules of one crate, the root first.
#[derive(Default)]
pub(super) struct Modules<'a> {
    modules: Vec<Module<'a>>,
}

struct Module<'a> {
    file: &'a str,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
    paths: Vec<Path>,
}

/// One file names an item of another one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) name: String,
}

impl<'a> Modules<'a> {
    /// Reads the crate whose root is the file `root`.
    pub(super) fn read(root: &'a str, files: &'a BTreeMap<String, String>) -> Self {
        let mut modules = Self::default();
        if let Some(text) = files.get(root) {
            let dir = root.rsplit_once('/').map_or("", |(dir, _)| dir);
            modules.add(root, None, dir, Source::parse(text), files);
        }
        modules
    }

    /// Adds a module and its children, whose files are in `dir`.
    fn add(
        &mut self,
        file: &'a str,
        parent: Option<usize>,
        dir: &str,
        source: Source,
        files: &'a BTreeMap<String, String>,
    ) -> usize {
        let at = self.modules.len();
        let (children, items) = (BTreeMap::new(), source.items.into_iter().collect());
        let (imports, paths) = (source.imports, source.paths);
        self.modules.push(Module { file, parent, children, items, imports, paths });
        for (name, source) in source.inline {
            let child = self.add(file, Some(at), &format!("{dir}/{name}"), source, files);
            self.modules[at].children.insert(name, child);
        }
        for name in source.children {
            let places = [format!("{dir}/{name}.rs"), format!("{dir}/{name}/mod.rs")];
            let found = places.iter().find_map(|place| files.get_key_value(place));
            if let Some((file, text)) = found {
                let source = Source::parse(text);
                let child = self.add(file, Some(at), &format!("{dir}/{name}"), source, files);
                self.modules[at].children.insert(name, child);
            }
        }
        at
    }

    /// The items that each file names of others.
    pub(super) fn edges(&self) -> BTreeSet<Edge<'a>> {
        let mut edges = BTreeSet::new();
        for (at, module) in self.modules.iter().enumerate() {
            let imports = module.imports.iter().map(|import| (&import.path, import.public));
            let paths = module.paths.iter().map(|path| (path, false));
            for (path, public) in imports.chain(paths) {
                let Some(to) = self.resolve(at, path, 0) else { continue };
                let target = self.modules[to].file;
                // A module and its children are one unit: files only keep it short, and children may use private items
                // of their parents.
                let inside = self.has_ancestor(at, target);
                let re_export = public && self.has_ancestor(to, module.file);
                if target != module.file && !inside && !re_export {
                    let name = path.last().cloned().unwrap_or_default();
                    edges.insert(Edge { from: module.file, to: target, name });
                }
            }
        }
        edges
    }

    fn has_ancestor(&self, at: usize, file: &str) -> bool {
        let parents = std::iter::successors(Some(at), |at| self.modules[*at].parent);
        parents.skip(1).any(|at| self.modules[at].file == file)
    }

    /// The module that defines the item of `path`, as seen in the module `at`; none if another crate defines it.
    fn resolve(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(0, rest, depth),
            "self" => self.walk(at, rest, depth),
            "super" => self.walk(self.modules[at].parent?, rest, depth),
            name => self.lookup(at, name, rest, depth).flatten(),
        }
    }

    /// The same for a path that begins in the module `at`.
    fn walk(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        let Some((first, rest)) = path.split_first() else { return Some(at) };
        if first == "super" {
            return self.walk(self.modules[at].parent?, rest, depth);
        }
        if let Some(found) = self.lookup(at, first, rest, depth) {
            return found;
        }
        let globs = self.modules[at].imports.iter().filter(|import| import.name.is_none());
        let mut globs = globs.filter(|_| depth < MAX_IMPORTS);
        let found = globs.find_map(|glob| {
            let to = self.resolve(at, &glob.path, depth + 1)?;
            self.lookup(to, first, rest, depth + 1)
        });
        // A macro declares the name, so the module has it.
        found.unwrap_or(Some(at))
    }

    /// The same for `name` in the module `at`, followed by `rest`; the outer option is none if the module has no such
    /// name.
    fn lookup(
        &self,
        at: usize,
        name: &str,
        rest: &[String],
        depth: usize,
    ) -> Option<Option<usize>> {
        let module = &self.modules[at];
        if let Some(child) = module.children.get(name) {
            return Some(self.walk(*child, rest, depth));
        }
        if module.items.contains(name) {
            return Some(Some(at));
        }
        let import = module.imports.iter().find(|import| import.name.as_deref() == Some(name))?;
        let path = [&import.path, rest].concat();
        // `use log;` names another crate and must not resolve to itself.
        let other = depth < MAX_IMPORTS && import.path != [name];
        Some(if other { self.resolve(at, &path, depth + 1) } else { None })
    }
}
