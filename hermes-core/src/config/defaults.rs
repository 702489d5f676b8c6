//! `gateway.defaults` in the root home's `config.yaml`: our keys for every profile that does not set them itself.
//!
//! Every command reads every profile, so the parsed text is kept as long as the file is the same one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::error::{ConfigError, utf8};
use super::keys::{DEFAULTS, GATEWAY, SHARED};
use super::read::{Field, Reader};
use super::read_file;
use super::version::{Version, version};
use super::yaml::{self, Node, Scope};

/// The keys, with the text that they are part of.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    path: PathBuf,
    text: String,
    entries: Vec<(Node, Node)>,
}

/// The last file that was read, and which one it was.
static LAST: Mutex<Option<(PathBuf, Version, Arc<Defaults>)>> = Mutex::new(None);

/// How old a change must be at least: a second change in the same tick of the clock would have the same time.
const SETTLED: Duration = Duration::from_secs(1);

impl Defaults {
    /// The defaults in the file at `path`, which may be absent. A file that can't be used, and has no line with
    /// `defaults`, costs its own profile alone.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, ConfigError> {
        let Ok(Some(version)) = version(path) else { return Ok(Arc::default()) };
        let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, _, defaults)) = last.filter(|(of, at, _)| of == path && *at == version) {
            return Ok(defaults);
        }
        let Ok(Some(bytes)) = read_file(path) else { return Ok(Arc::default()) };
        let defaults = utf8(&bytes, path).and_then(|text| Self::parse(text, path));
        let defaults = match defaults {
            Err(_) if !mentions(&bytes) => Self::default(),
            defaults => defaults?,
        };
        let defaults = Arc::new(defaults);
        if version.is_older_than(SystemTime::now(), SETTLED) {
            let kept = Some((path.to_owned(), version, Arc::clone(&defaults)));
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
        Ok(defaults)
    }

    /// The defaults in `text`, the content of the file at `path`.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        if !mentions(text.as_bytes()) {
            return Ok(Self::default());
        }
        let root = yaml::read(text, Scope::Ours, path)?;
        let reader = Reader { text, path };
        let Some((_, gateway)) = reader.section(&root, GATEWAY, "port: 8642")? else {
            return Ok(Self::default());
        };
        let found = reader.ours(gateway, &[DEFAULTS], "gateway.")?;
        let Some((_, key, value)) = found.first().copied() else { return Ok(Self::default()) };
        let field = Field { name: format!("{GATEWAY}.{DEFAULTS}"), key, value };
        let entries = match value {
            Node::Map(entries) => entries.clone(),
            _ if field.is_null() => Vec::new(),
            _ => {
                let problem = "must be a mapping, with lines like `kind: hermes-agent`";
                return Err(reader.invalid(&field, problem));
            }
        };
        reader.only_ours(&field, &entries, SHARED)?;
        Ok(Self { path: path.to_owned(), text: text.to_owned(), entries })
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { text: &self.text, path: &self.path }
    }

    /// The keys that are set.
    pub(super) fn entries(&self) -> &[(Node, Node)] {
        &self.entries
    }
}

/// Whether the text may set defaults.
fn mentions(text: &[u8]) -> bool {
    text.windows(DEFAULTS.len()).any(|word| word == DEFAULTS.as_bytes())
}
