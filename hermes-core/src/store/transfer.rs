//! Profiles that leave as an archive, and those that come as one.
//!
//! An import may take long, so the lock under which profiles are made is not held while it unpacks.
//! Its staged directory is marked instead, by a lock of its own that ends with the process:
//! [`Store::remove_leftovers`] takes away those that nobody holds.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;

use super::{HIDDEN, Profile, Store, StoreError, is_there, populate_home, write_port};
use crate::archive::{self, Archive, ArchiveError, Format, Packed, Whose};
use crate::config;
use crate::fsutil;
use crate::home::{ProfileHome, RootHome};
use crate::intent::Intent;
use crate::name::ProfileName;

/// A profile that was made from an archive.
#[derive(Debug)]
pub struct Imported {
    /// The profile.
    pub profile: Profile,
    /// The port that the archive's `config.yaml` named, if another profile names it and this one
    /// got a free one instead.
    pub taken_port: Option<u16>,
}

impl Store {
    /// Writes the profile into a new file at `to`, which is its owner's alone, as a conversation is.
    /// One that is there already is [`StoreError::FileExists`] unless it is to be replaced. Until the
    /// archive is whole and on disk there is none at `to`. Blocks until then.
    ///
    /// The gateway may go on running; databases that it writes to meanwhile may be stored half
    /// changed.
    pub fn export(
        &self,
        profile: &Profile,
        to: &Path,
        format: Format,
        replace: bool,
    ) -> Result<Packed, StoreError> {
        let failed = |source| StoreError::Export {
            name: profile.name.clone(),
            source: ArchiveError::Write { entry: to.display().to_string(), source },
        };
        let in_the_way = || StoreError::FileExists { path: to.to_owned() };
        if !replace && is_there(to).map_err(failed)? {
            return Err(in_the_way());
        }
        let directory = match to.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let mut staged = tempfile::Builder::new()
            .prefix(".hermes-export-")
            .tempfile_in(directory)
            .map_err(failed)?;
        let metadata = staged.as_file().metadata().map_err(failed)?;
        let itself = (metadata.dev(), metadata.ino());
        let packed = self.pack(profile, format, staged.as_file_mut(), Some(itself))?;
        staged.as_file().sync_all().map_err(failed)?;
        let published = match replace {
            true => staged.persist(to),
            false => staged.persist_noclobber(to),
        };
        match published {
            Ok(_) => fsutil::sync_directory(directory).map_err(failed)?,
            Err(refused) if !replace && refused.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(in_the_way());
            }
            Err(refused) => return Err(failed(refused.error)),
        }
        Ok(packed)
    }

    /// Writes the profile to `out`, otherwise like [`Store::export`].
    pub fn export_to(
        &self,
        profile: &Profile,
        out: &mut dyn Write,
        format: Format,
    ) -> Result<Packed, StoreError> {
        self.pack(profile, format, out, None)
    }

    fn pack(
        &self,
        profile: &Profile,
        format: Format,
        out: &mut dyn Write,
        but: Option<(u64, u64)>,
    ) -> Result<Packed, StoreError> {
        let whose = if profile.name.is_default() { Whose::Root } else { Whose::Own };
        archive::pack(profile.home.path(), whose, profile.name.as_str(), format, out, but)
            .map_err(|source| StoreError::Export { name: profile.name.clone(), source })
    }

    /// Makes the profile `name` of an archive. Not idempotent: an existing name is
    /// [`StoreError::Exists`], and `default` is never imported over. Nothing half-made is ever
    /// visible, and nothing is left on failure. Blocks until the archive is unpacked, and while
    /// another profile is being made, at most as long as the store's timeout.
    ///
    /// What [`Store::create`] would make and the archive has not is added. A port that another
    /// profile names is replaced by a free one, and the rest of `config.yaml` is kept; one that it
    /// doesn't name is not added.
    pub fn import(
        &self,
        archive: Archive<'_>,
        name: &ProfileName,
        intent: Intent,
    ) -> Result<Imported, StoreError> {
        if name.is_default() {
            return Err(StoreError::OntoDefault);
        }
        if name.is_reserved() {
            return Err(StoreError::Reserved { name: name.clone() });
        }
        self.settle_renames_of(name, self.timeout)?;
        let failed = |source| StoreError::Unfit { name: name.clone(), source };
        // Whatever is there, it would only be seen when all is unpacked.
        if is_there(self.root.profile(name).path()).map_err(failed)? {
            return Err(StoreError::Exists { name: name.clone() });
        }
        let (staged, _in_use) = {
            let _ports = self.lock_ports(failed)?;
            let staged = tempfile::Builder::new()
                .prefix(HIDDEN)
                .tempdir_in(self.root.profiles())
                .map_err(failed)?;
            let in_use = fs::File::open(staged.path()).map_err(failed)?;
            in_use.file().lock().map_err(failed)?;
            (staged, in_use)
        };
        archive
            .unpack(staged.path())
            .map_err(|source| StoreError::Import { name: name.clone(), source })?;
        let _ports = self.lock_ports(failed)?;
        let home = RootHome::new(staged.path()).profile(&ProfileName::default_profile());
        populate_home(home.path(), name, self.free_port(name)?, intent).map_err(failed)?;
        check(&home).map_err(failed)?;
        let taken_port = self.give_free_port(&home, name)?;
        fsutil::sync_all_below(home.path()).map_err(failed)?;
        let profile = self.publish(staged, name, failed)?;
        Ok(Imported { profile, taken_port })
    }

    /// Writes a free port into the `config.yaml` of the staged `home` if another profile names the one
    /// that it has, and says which that was.
    fn give_free_port(
        &self,
        home: &ProfileHome,
        name: &ProfileName,
    ) -> Result<Option<u16>, StoreError> {
        let path = home.config();
        // What can't be read is as it was; `list`, `start` and `doctor` say so.
        let port = config::load(&path).ok().and_then(|loaded| loaded.gateway.port);
        let Some(port) = port else { return Ok(None) };
        if !self.named_ports(name)?.contains(&port) {
            return Ok(None);
        }
        write_port(&path, self.free_port(name)?)?;
        Ok(Some(port))
    }
}

/// Archives may have anything by the names that matter.
fn check(home: &ProfileHome) -> io::Result<()> {
    let unfit = |path: &Path, what: &str| {
        let name = path.file_name().unwrap_or_default().display();
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("`{name}` in it is no {what}")))
    };
    for path in [home.soul(), home.config()] {
        if !fs::metadata(&path).is_ok_and(|found| found.is_file()) {
            return unfit(&path, "file");
        }
    }
    match fs::metadata(home.logs()).is_ok_and(|found| found.is_dir()) {
        true => Ok(()),
        false => unfit(&home.logs(), "directory"),
    }
}
