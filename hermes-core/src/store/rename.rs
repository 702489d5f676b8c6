//! Renames of profiles: the home, the logs of its gateway and the sticky choice of it.
//!
//! A rename writes a journal before its first step and removes it after the last. After a crash the
//! name of the home decides: with the old name, nothing was moved, and the rename is undone; with the
//! new name, the rest is moved too. There is no third case, because home, logs and choice move in this
//! order, and back in the opposite one, each durably before the next. A process that holds both names'
//! locks and finds a journal knows that no other process works on that rename.
//!
//! The store does not know services: a backend that registers them takes the steps of [`Renaming`] with
//! its own in between, any other backend calls [`Store::rename`].

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{Access, access};

use super::{Profile, Store, StoreError};
use crate::lock::Lock;
use crate::name::ProfileName;
use crate::process_lock;
use crate::{formats, fsutil};

/// The format of the journal: the new name. A later one begins with a line `format N`, which is no name.
const FORMAT: u32 = 1;

/// A rename in progress. Holds the locks of both names until it is dropped, which undoes nothing.
#[derive(Debug)]
pub struct Renaming<'a> {
    store: &'a Store,
    from: ProfileName,
    to: ProfileName,
    chosen: bool,
    _locks: [Lock; 2],
}

/// A journal: of a rename that a crash interrupted, or that is still in progress.
#[derive(Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The journal.
    pub path: PathBuf,
    /// The old name and the new one, or why the journal is invalid.
    pub names: Result<(ProfileName, ProfileName), String>,
}

/// The result of settling an interrupted rename.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// The profile has its new name, and everything was moved.
    Finished {
        /// Logs that stay under the old name, because logs of the new name exist.
        left: Option<PathBuf>,
    },
    /// The profile has its old name, and nothing was moved.
    Undone,
}

impl Store {
    /// Checks that `from` can be renamed to `to`, with every step that moves a file. Needs the locks of both.
    fn check_rename(
        &self,
        from: &ProfileName,
        to: &ProfileName,
        chosen: bool,
    ) -> Result<(), StoreError> {
        self.get(from)?;
        if self.find(to)?.is_some() {
            return Err(StoreError::Exists { name: to.clone() });
        }
        // The profile must not inherit the kept logs of a deleted one.
        let paths =
            |name| [self.root.profile(name).path().to_owned(), self.root.gateway_logs(name)];
        let failed = |source| failed(from, to, source);
        // Without the lock `remove_leftovers` could interfere.
        let _ports = self.lock_ports(failed)?;
        self.finish_deletion_of(to)?;
        for path in paths(from) {
            if fsutil::exists(&path).map_err(failed)? {
                fsutil::check_renamable(&path).map_err(failed)?;
            }
        }
        for path in paths(to) {
            // An empty directory gives way, unless it is a mount point.
            let _ = fs::remove_dir(&path);
            if fsutil::exists(&path).map_err(failed)? {
                return Err(StoreError::InTheWay { path });
            }
        }
        let root = self.root.path();
        match chosen.then(|| access(root, Access::WRITE_OK | Access::EXEC_OK)) {
            Some(Err(errno)) => {
                Err(StoreError::Active { path: self.root.active_profile(), source: errno.into() })
            }
            _ => Ok(()),
        }
    }

    /// Renames a profile whose gateway has no service. All or nothing. Fails like
    /// [`Store::begin_rename`], and with [`StoreError::Runs`] if the gateway runs. Not idempotent.
    /// Blocks while another command changes one of the two, at most for the store's timeout.
    pub fn rename(&self, from: &ProfileName, to: &ProfileName) -> Result<Profile, StoreError> {
        self.begin_rename(from, to, self.timeout)?.complete()?;
        self.get(to)
    }

    /// Takes the locks of both names and checks that `from` can be renamed to `to`:
    /// [`StoreError::Default`], [`StoreError::Reserved`], [`StoreError::Absent`],
    /// [`StoreError::Exists`] or [`StoreError::InTheWay`] if not, and [`StoreError::Rename`] if home or logs
    /// can't be moved: a mount point, or a directory in a lower layer of an overlay. Settles interrupted
    /// renames of both names and an interrupted deletion of `to`, and changes nothing else. Blocks while another command holds one of the locks, at most
    /// `timeout` for each.
    pub fn begin_rename(
        &self,
        from: &ProfileName,
        to: &ProfileName,
        timeout: Duration,
    ) -> Result<Renaming<'_>, StoreError> {
        if from.is_default() {
            return Err(StoreError::Default);
        }
        if to.is_reserved() {
            return Err(StoreError::Reserved { name: to.clone() });
        }
        self.settle_renames_of(from, timeout)?;
        self.settle_renames_of(to, timeout)?;
        // Taking a lock creates directories, so an absent profile is refused before. All other checks
        // need the locks: without them they could see a rename half-way.
        self.get(from)?;
        if from == to {
            return Err(StoreError::Exists { name: to.clone() });
        }
        let locks = self.lock_both(from, to, timeout)?;
        // An invalid choice chooses no profile.
        let chosen = self.active().is_ok_and(|active| active.as_ref() == Some(from));
        self.check_rename(from, to, chosen)?;
        Ok(Renaming { store: self, from: from.clone(), to: to.clone(), chosen, _locks: locks })
    }

    /// All journals. Changes nothing and does not block.
    pub fn interrupted_renames(&self) -> Result<Vec<Interrupted>, StoreError> {
        let profiles = self.root.profiles();
        let failed = |source| StoreError::List { path: profiles.clone(), source };
        let entries = match fs::read_dir(&profiles) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut journals = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(from) = crate::RootHome::renamed_in(&name) else { continue };
            let names = match from.parse() {
                Ok(from) => self.read_journal(&from).map(|to| to.map(|to| (from, to))),
                Err(error) => Err(format!("{error}")),
            };
            // A journal that has disappeared meanwhile belonged to a rename that has ended.
            if let Some(names) = names.transpose() {
                journals.push(Interrupted { names, path });
            }
        }
        journals.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(journals)
    }

    /// Completes or undoes a rename that a crash interrupted. `None` if there is no such journal any
    /// more. Blocks while another command holds the locks, at most `timeout` for each; then
    /// [`StoreError::Lock`]. Idempotent.
    pub fn settle_rename(
        &self,
        from: &ProfileName,
        to: &ProfileName,
        timeout: Duration,
    ) -> Result<Option<Settled>, StoreError> {
        let _locks = self.lock_both(from, to, timeout)?;
        if self.read_journal(from) != Ok(Some(to.clone())) {
            return Ok(None);
        }
        let exists = |name| self.root.profile(name).path().symlink_metadata().is_ok();
        let chosen = self.active().is_ok_and(|active| active.as_ref() == Some(from));
        let failed = |source| failed(from, to, source);
        // If neither home exists, the profile was removed by hand.
        let settled = if exists(from) || !exists(to) {
            Settled::Undone
        } else {
            let left = Some(self.root.gateway_logs(from)).filter(|logs| logs.exists());
            let left = left.filter(|_| self.root.gateway_logs(to).exists());
            if left.is_none() {
                self.move_logs(from, to).map_err(failed)?;
            }
            if chosen {
                self.choose(to)?;
            }
            Settled::Finished { left }
        };
        self.forget_rename(from).map_err(failed)?;
        Ok(Some(settled))
    }

    /// Settles every interrupted rename from or to `name`, like [`Store::settle_rename`]. A command calls
    /// it before it takes the lock of `name`.
    pub fn settle_renames_of(
        &self,
        name: &ProfileName,
        timeout: Duration,
    ) -> Result<(), StoreError> {
        for Interrupted { names, .. } in self.interrupted_renames()? {
            // `hermes boot` reports invalid journals.
            if let Ok((from, to)) = names
                && (from == *name || to == *name)
            {
                self.settle_rename(&from, &to, timeout)?;
            }
        }
        Ok(())
    }

    /// Takes the locks in the order of the names, so that two opposite renames can't deadlock.
    fn lock_both(
        &self,
        a: &ProfileName,
        b: &ProfileName,
        timeout: Duration,
    ) -> Result<[Lock; 2], StoreError> {
        let lock = |name| Lock::acquire(&self.root.profile_lock(name), timeout);
        Ok([lock(a.min(b))?, lock(a.max(b))?])
    }

    /// The new name in the journal of `from`; `None` if there is no journal.
    fn read_journal(&self, from: &ProfileName) -> Result<Option<ProfileName>, String> {
        let bytes = fsutil::read_if_there(&self.root.rename_journal(from));
        let Some(bytes) = bytes.map_err(|error| format!("failed to read it: {error}"))? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        if let Some(number) = text.strip_prefix("format ").and_then(|rest| rest.lines().next()) {
            let number = number.trim().parse().unwrap_or(u32::MAX);
            formats::refuse_newer(&self.root.rename_journal(from), number, FORMAT)?;
        }
        let to: ProfileName = text.trim_end().parse().map_err(|error| format!("{error}"))?;
        match from.is_default() || to.is_default() || to == *from {
            true => Err(format!("`{from}` can't be renamed to `{to}`")),
            false => Ok(Some(to)),
        }
    }

    fn move_logs(&self, from: &ProfileName, to: &ProfileName) -> io::Result<()> {
        let logs = self.root.gateway_logs(from);
        match fsutil::rename_exclusively(&logs, &self.root.gateway_logs(to)) {
            // The gateway never logged anything.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => logs.parent().map_or(Ok(()), fsutil::sync_directory),
        }
    }

    fn move_home(&self, from: &ProfileName, to: &ProfileName) -> io::Result<()> {
        let [from, to] = [from, to].map(|name| self.root.profile(name));
        fsutil::rename_exclusively(from.path(), to.path())?;
        fsutil::sync_directory(&self.root.profiles())
    }

    fn forget_rename(&self, from: &ProfileName) -> io::Result<()> {
        fsutil::remove_file_if_there(&self.root.rename_journal(from))?;
        fsutil::sync_directory(&self.root.profiles())
    }
}

impl Renaming<'_> {
    /// All steps, for a gateway that has no service: all or nothing.
    pub fn complete(&self) -> Result<(), StoreError> {
        self.record()?;
        match self.move_files() {
            Ok(()) => self.forget(),
            Err(failed) => Err(match self.move_back() {
                Ok(()) => failed,
                Err(source) => StoreError::Torn { failed: failed.into(), source: source.into() },
            }),
        }
    }

    /// The first step: writes the journal, durably. From then on a crash is settled. On failure there is
    /// no journal.
    pub fn record(&self) -> Result<(), StoreError> {
        let failed = |source| failed(&self.from, &self.to, source);
        // Without the lock `remove_leftovers` could take the temporary file for a leftover.
        let _ports = self.store.lock_ports(failed)?;
        let journal = self.store.root.rename_journal(&self.from);
        let text = format!("{}\n", self.to);
        fsutil::write_durably(&journal, text.as_bytes(), 0o644).map_err(|error| {
            // The journal may exist without being durable, but nothing was moved yet.
            let _ = self.forget();
            failed(error)
        })
    }

    /// Moves home, logs and sticky choice. The gateway must have ended: if it still runs,
    /// [`StoreError::Runs`]. After a failure the caller calls [`Renaming::move_back`].
    pub fn move_files(&self) -> Result<(), StoreError> {
        let Self { store, from, to, .. } = self;
        let failed = |source| failed(from, to, source);
        let lock = store.root.profile(from).gateway_lock();
        if let Some(holder) = process_lock::holder(&lock).map_err(failed)? {
            return Err(StoreError::Runs { name: from.clone(), pid: holder.pid });
        }
        store.move_home(from, to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Exists { name: to.clone() },
            _ => failed(error),
        })?;
        // A new lock begins with the next start.
        let _ = process_lock::remove(&lock);
        store.move_logs(from, to).map_err(failed)?;
        if self.chosen { store.choose(to) } else { Ok(()) }
    }

    /// Undoes [`Renaming::move_files`], complete or not, and removes the journal. The service must be
    /// removed before. Idempotent.
    pub fn move_back(&self) -> Result<(), StoreError> {
        let Self { store, from, to, .. } = self;
        let failed = |source| failed(to, from, source);
        if store.root.profile(from).path().symlink_metadata().is_err() {
            if self.chosen {
                store.choose(from)?;
            }
            // The gateway may have logged under its new name.
            if !store.root.gateway_logs(from).exists() {
                store.move_logs(to, from).map_err(failed)?;
            }
            store.move_home(to, from).map_err(failed)?;
        }
        self.forget()
    }

    /// The last step: removes the journal, durably.
    pub fn forget(&self) -> Result<(), StoreError> {
        let failed = |source| failed(&self.from, &self.to, source);
        self.store.forget_rename(&self.from).map_err(failed)
    }
}

fn failed(from: &ProfileName, to: &ProfileName, source: io::Error) -> StoreError {
    StoreError::Rename { from: from.clone(), to: to.clone(), source }
}
