//! A scan directory: its s6-svscan, its slots, and their supervisors.
//!
//! Sources: `scandir.html`, `s6-svscan.html`, `src/libs6/s6_svc_ok.c`. Each s6-svscan and
//! s6-supervise holds a lock. Hermes only queries these locks with `fcntl(2)` and `F_GETLK`, which needs read
//! permission and returns the holder.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use hermes_core::ProfileName;
use hermes_core::process_lock::{self, Holder};

use crate::protocol::control::{self, ControlError, Sent};
use crate::protocol::resume::resume_reader;
use crate::slot::layout::{self, HIDDEN_PREFIX, SCANDIR_LOCK, ServiceDir};

/// The entries of a scan directory, read once.
#[derive(Debug)]
pub struct Listing(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    is_directory: bool,
}

impl Listing {
    /// The profiles that have a slot, sorted. Other services, links and hidden directories are skipped.
    pub fn profiles(&self) -> Vec<ProfileName> {
        let names = self.directories().filter_map(|path| path.file_name()?.to_str());
        let mut profiles: Vec<_> = names.filter_map(layout::profile_of).collect();
        profiles.sort();
        profiles
    }

    /// Hermes's hidden directories, sorted: slots not yet published, or being removed.
    pub fn hidden(&self) -> Vec<PathBuf> {
        let hidden = self.directories().filter(|path| name_of(path).starts_with(HIDDEN_PREFIX));
        let mut hidden: Vec<_> = hidden.map(Path::to_owned).collect();
        hidden.sort();
        hidden
    }

    /// All entries that are no directories.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter(|entry| !entry.is_directory).map(|entry| entry.path.as_path())
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter(|entry| entry.is_directory).map(|entry| entry.path.as_path())
    }
}

/// A scan directory.
#[derive(Debug, Clone)]
pub struct ScanDir(PathBuf);

impl ScanDir {
    /// The scan directory at `path`. Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The slot of `profile`, whether it exists or not.
    pub fn slot(&self, profile: &ProfileName) -> ServiceDir {
        ServiceDir::new(self.0.join(layout::slot_name(profile)))
    }

    /// The file that s6-svscan keeps locked while it runs.
    pub fn svscan_lock(&self) -> PathBuf {
        self.0.join(".s6-svscan/lock")
    }

    /// The FIFO from which s6-svscan reads commands.
    pub fn svscan_control(&self) -> PathBuf {
        self.0.join(".s6-svscan/control")
    }

    /// The lock that commands hold while they change the directory.
    pub fn command_lock(&self) -> PathBuf {
        self.0.join(SCANDIR_LOCK)
    }

    /// The s6-svscan that holds the directory, or `None`. Does not wait.
    pub fn svscan(&self) -> io::Result<Option<Holder>> {
        process_lock::holder(&self.svscan_lock())
    }

    /// Sends `commands` to s6-svscan, and resumes it if it is suspended. Without commands only shows whether it reads
    /// any. Returns at once.
    pub fn send(&self, commands: &[u8]) -> Result<Sent, ControlError> {
        let sent = control::send(&self.svscan_control(), commands)?;
        if !commands.is_empty() {
            resume_reader(&self.svscan_lock());
        }
        Ok(sent)
    }

    /// The entries of the directory.
    pub fn listing(&self) -> io::Result<Listing> {
        let entry = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry?;
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            Ok(Entry { path: entry.path(), is_directory })
        };
        fs::read_dir(&self.0)?.map(entry).collect::<io::Result<_>>().map(Listing)
    }

    /// The profiles of the [`listing`](Self::listing).
    pub fn profiles(&self) -> io::Result<Vec<ProfileName>> {
        Ok(self.listing()?.profiles())
    }

    /// The hidden directories of the [`listing`](Self::listing).
    pub fn hidden(&self) -> io::Result<Vec<PathBuf>> {
        Ok(self.listing()?.hidden())
    }

    /// All services that s6-svscan supervises, not only Hermes's slots: for it a link to a directory is one, too.
    pub fn services(&self) -> io::Result<Vec<PathBuf>> {
        let mut services: Vec<_> = self.listing()?.0;
        services.retain(|entry| {
            !name_of(&entry.path).starts_with('.') && (entry.is_directory || entry.path.is_dir())
        });
        Ok(services.into_iter().map(|entry| entry.path).collect())
    }

    /// The number of entries that may be services: an upper bound on the number of services.
    pub(crate) fn visible_entries(&self) -> io::Result<u64> {
        fs::read_dir(&self.0)?.try_fold(0, |count, entry| {
            let hidden = entry?.file_name().as_encoded_bytes().starts_with(b".");
            Ok(count + u64::from(!hidden))
        })
    }
}

fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

impl ServiceDir {
    /// The s6-supervise of this service directory, or `None`. Does not wait.
    pub fn supervisor(&self) -> io::Result<Option<Holder>> {
        process_lock::holder(&self.lock())
    }

    /// Sends `commands` to its s6-supervise, and resumes that if it is suspended. Returns at once.
    pub fn send(&self, commands: &[u8]) -> Result<Sent, ControlError> {
        let sent = control::send(&self.control(), commands)?;
        resume_reader(&self.lock());
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slots_are_profiles_and_only_hermes_directories_are_hidden() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["gateway-b", "gateway-a", "gateway-A", "dashboard", ".hermes-x", ".s6-svscan"]
        {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("gateway-file"), "").unwrap();
        let scandir = ScanDir::new(dir.path());
        let names: Vec<_> = scandir.profiles().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(scandir.hidden().unwrap(), [dir.path().join(".hermes-x")]);
        assert_eq!(scandir.services().unwrap().len(), 4);
    }
}
