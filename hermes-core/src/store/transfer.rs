//! Export and import of profiles as archives.
//!
//! An import may take long, so it does not hold the lock on the profiles while it unpacks. Instead it
//! holds a lock on its staging directory, which the kernel drops with the process:
//! [`Store::remove_leftovers`] removes only staging directories without a holder.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;

use super::{Profile, Store, StoreError, populate_home, port_writer};
use crate::archive::{self, Archive, ArchiveError, Format, HomeKind, Include, Packed};
use crate::fsutil;
use crate::home::ProfileHome;
use crate::intent::Intent;
use crate::name::ProfileName;
use crate::settings;

/// The result of [`Store::import`].
#[derive(Debug)]
pub struct Imported {
    /// The profile.
    pub profile: Profile,
    /// The port in the archive's `config.yaml`, if another profile has it and the import replaced it
    /// by a free one.
    pub taken_port: Option<u16>,
}

impl Store {
    /// Writes the profile, with the entries of `include`, to a new file at `to` with mode 0600, since it holds
    /// conversations. An
    /// existing file is [`StoreError::FileExists`] unless `replace` is set. The archive appears at `to`
    /// only when it is complete and on disk; blocks until then.
    ///
    /// The gateway may keep running, but a database that it writes to meanwhile may be stored in an
    /// inconsistent state.
    pub fn export(
        &self,
        profile: &Profile,
        include: &[Include],
        to: &Path,
        format: Format,
        replace: bool,
    ) -> Result<Packed, StoreError> {
        let failed = |source| StoreError::Export {
            name: profile.name.clone(),
            source: ArchiveError::Write { entry: to.display().to_string(), source },
        };
        let file_exists = || StoreError::FileExists { path: to.to_owned() };
        if !replace && fsutil::exists(to).map_err(failed)? {
            return Err(file_exists());
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
        let own_file = (metadata.dev(), metadata.ino());
        let packed = self.pack(profile, include, format, staged.as_file_mut(), Some(own_file))?;
        staged.as_file().sync_all().map_err(failed)?;
        let published = match replace {
            true => staged.persist(to).map(drop).map_err(|error| error.error),
            false => fsutil::persist_exclusively(staged, to),
        };
        match published {
            Ok(()) => fsutil::sync_directory(directory).map_err(failed)?,
            Err(error) if !replace && error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(file_exists());
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(packed)
    }

    /// Writes the profile to `out`, otherwise like [`Store::export`].
    pub fn export_to(
        &self,
        profile: &Profile,
        include: &[Include],
        out: &mut dyn Write,
        format: Format,
    ) -> Result<Packed, StoreError> {
        self.pack(profile, include, format, out, None)
    }

    fn pack(
        &self,
        profile: &Profile,
        include: &[Include],
        format: Format,
        out: &mut dyn Write,
        except: Option<(u64, u64)>,
    ) -> Result<Packed, StoreError> {
        let kind = if profile.name.is_default() { HomeKind::Root } else { HomeKind::Profile };
        let (home, top) = (profile.home.path(), profile.name.as_str());
        archive::pack(home, kind, include, top, format, out, except)
            .map_err(|source| StoreError::Export { name: profile.name.clone(), source })
    }

    /// Creates the profile `name` from an archive. Not idempotent: an existing name is
    /// [`StoreError::Exists`], `default` is [`StoreError::OntoDefault`]. A partial profile is never
    /// visible, and a failure leaves nothing behind. Blocks until the archive is unpacked, and while
    /// another command creates a profile, at most for the store's timeout.
    ///
    /// Adds the files of [`Store::create`] that the archive lacks. Replaces a port that another
    /// profile has by a free one and keeps the rest of `config.yaml`; adds no port if there is none.
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
        self.refuse_open(None)?;
        self.settle_renames_of(name, self.timeout)?;
        let failed = |source| StoreError::Unfit { name: name.clone(), source };
        // The final rename would detect this too, but only after all the unpacking.
        if self.find(name)?.is_some() {
            return Err(StoreError::Exists { name: name.clone() });
        }
        let (staged, _in_use) = {
            let _ports = self.lock_ports(failed)?;
            let staged = self.stage(name).map_err(failed)?;
            let in_use = fs::File::open(staged.path()).map_err(failed)?;
            in_use.file().lock().map_err(failed)?;
            (staged, in_use)
        };
        archive
            .unpack(staged.path())
            .map_err(|source| StoreError::Import { name: name.clone(), source })?;
        let _ports = self.lock_ports(failed)?;
        let home = self.root.staged(name, staged.path());
        populate_home(home.path(), name, self.free_port(name)?, intent).map_err(failed)?;
        check(&home).map_err(failed)?;
        let taken_port = self.replace_taken_port(&home, name)?;
        fsutil::sync_all_below(home.path()).map_err(failed)?;
        let profile = self.publish(staged, name, failed)?;
        Ok(Imported { profile, taken_port })
    }

    /// If another profile has the port of the staged `home`, writes a free one into every place that names it, and
    /// returns the old one.
    fn replace_taken_port(
        &self,
        home: &ProfileHome,
        name: &ProfileName,
    ) -> Result<Option<u16>, StoreError> {
        // `list`, `start` and `doctor` report a configuration that can't be read.
        let port = settings::address(home).ok().and_then(|address| address.effective_port());
        let Some(port) = port else { return Ok(None) };
        if !self.ports_of_others(name)?.contains_key(&port) {
            return Ok(None);
        }
        port_writer::write(home, self.free_port(name)?)?;
        Ok(Some(port))
    }
}

/// Checks that the archive's entries have the file types of a profile's.
fn check(home: &ProfileHome) -> io::Result<()> {
    let unfit = |path: &Path, file_type: &str| {
        let name = path.file_name().unwrap_or_default().display();
        let message = format!("`{name}` in the archive is not a {file_type}");
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    };
    for path in [home.soul(), home.config(), home.dotenv()] {
        if !fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            return unfit(&path, "file");
        }
    }
    match fs::metadata(home.logs()).is_ok_and(|metadata| metadata.is_dir()) {
        true => Ok(()),
        false => unfit(&home.logs(), "directory"),
    }
}
