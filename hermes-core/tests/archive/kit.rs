//! Test environments: a root home with profiles, and tar files of any content.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hermes_core::archive::{Archive, Format, Limits, Packed};
use hermes_core::store::Profile;
use hermes_core::{Intent, ProfileName, RootHome, Store};
use tar::{EntryType, Header};

pub(crate) struct TestEnv {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

impl TestEnv {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::new(RootHome::new(dir.path().join("root")));
        fs::create_dir(dir.path().join("root")).expect("a directory");
        Self { dir, store }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn create(&self, profile: &str) -> Profile {
        self.store.create(&name(profile), None, Intent::Running).expect("a profile")
    }

    pub(crate) fn export(&self, profile: &Profile, format: Format) -> (Vec<u8>, Packed) {
        let mut bytes = Vec::new();
        let packed = self.store.export_to(profile, &[], &mut bytes, format).expect("an archive");
        (bytes, packed)
    }

    pub(crate) fn import(&self, bytes: &[u8], profile: &str) -> Profile {
        let archive = Archive::open(bytes, Limits::default()).expect("an archive");
        let imported = self.store.import(archive, &name(profile), Intent::Stopped);
        imported.expect("a profile").profile
    }

    /// The entries of `profiles/`, including hidden ones.
    pub(crate) fn profiles(&self) -> Vec<String> {
        entries(&self.root().join("profiles"))
    }
}

pub(crate) fn name(name: &str) -> ProfileName {
    name.parse().expect("a valid name")
}

pub(crate) fn entries(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn write(home: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = home.join(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, bytes).expect("a file");
}

/// Mode, time and contents (or target) of everything below `home`.
pub(crate) fn tree(home: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![home.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let (mut time, mut contents) = (0, Vec::new());
        if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if metadata.is_symlink() {
            contents = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
        } else {
            time = metadata.mtime();
            contents = fs::read(&path).unwrap();
        }
        let below = path.strip_prefix(home).unwrap().to_owned();
        found.insert(below, (metadata.mode(), time, contents));
    }
    found
}

/// The paths of all members of an archive.
pub(crate) fn members(bytes: &[u8]) -> Vec<String> {
    let reader: Box<dyn Read + '_> = match bytes[0] {
        0x1f => Box::new(flate2::read::GzDecoder::new(bytes)),
        _ => Box::new(zstd::Decoder::new(bytes).unwrap()),
    };
    let mut archive = tar::Archive::new(reader);
    let path =
        |entry: io::Result<tar::Entry<'_, _>>| entry.unwrap().path().unwrap().display().to_string();
    archive.entries().unwrap().map(path).collect()
}

/// A directory with the unpacked archive. Faster than an import, which waits for the disk.
pub(crate) fn unpacked(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    Archive::open(bytes, Limits::default()).unwrap().unpack(dir.path()).unwrap();
    dir
}

pub(crate) const BOTH: [Format; 2] = [Format::Zstd, Format::Gzip];

/// Builds a tar member by member, valid or not.
#[derive(Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default().dir("a/").file("a/SOUL.md", b"")
    }

    /// Adds a member whose header is modified by `change`.
    pub(crate) fn raw(
        mut self,
        kind: u8,
        path: &[u8],
        contents: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        change(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(contents);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, contents: &[u8]) -> Self {
        self.raw(b'0', path.as_bytes(), contents, |_| {})
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.raw(b'5', path.as_bytes(), b"", |header| header.set_mode(0o755))
    }

    pub(crate) fn link(self, kind: u8, path: &str, target: &str) -> Self {
        self.raw(kind, path.as_bytes(), b"", |header| {
            header.set_link_name_literal(target).expect("a short target");
        })
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.link(b'2', path, target)
    }

    pub(crate) fn hardlink(self, path: &str, target: &str) -> Self {
        self.link(b'1', path, target)
    }

    /// Adds a member without contents.
    pub(crate) fn special(self, kind: u8) -> Self {
        self.raw(kind, b"a/special", b"", |_| {})
    }

    pub(crate) fn long_name(self, kind: u8, name: &[u8]) -> Self {
        self.raw(kind, b"././@LongLink", name, |_| {})
    }

    pub(crate) fn pax(self, kind: u8, key: &str, value: &str) -> Self {
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while length.to_string().len() + rest != length {
            length = length.to_string().len() + rest;
        }
        self.raw(kind, b"pax", format!("{length} {key}={value}\n").as_bytes(), |_| {})
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    pub(crate) fn gz(self) -> Vec<u8> {
        gz(&self.end())
    }
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}
