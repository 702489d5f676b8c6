//! Giving a profile another name: its home, the logs of its gateway and the sticky choice of it.
//!
//! A rename is written down before its first step, in a journal that goes after its last. After a
//! crash the place of the home decides: where it has its old name nothing was moved yet, and where it
//! has the new one the rest follows. Home, logs and choice are moved in this order and moved back in
//! the opposite one, each durably before the next, so there is no third case. Whoever holds both
//! names' locks and finds a journal has found one that nobody works on.
//!
//! Services are not known here: a backend that registers them goes through the steps of [`Renaming`]
//! with its own in between, and any other calls [`Store::rename`].

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;

use super::{Profile, Store, StoreError};
use crate::fsutil;
use crate::lock::{Lock, LockError};
use crate::name::ProfileName;
use crate::process_lock;

/// A rename under way. Its two names are locked until it is dropped, which undoes nothing.
#[derive(Debug)]
pub struct Renaming<'a> {
    store: &'a Store,
    from: ProfileName,
    to: ProfileName,
    chosen: bool,
    _locks: [Lock; 2],
}

/// A journal that was found: of a rename that goes on, or that a crash interrupted.
#[derive(Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The journal.
    pub path: PathBuf,
    /// The old name and the new one, or what is wrong with the journal.
    pub names: Result<(ProfileName, ProfileName), String>,
}

/// What became of an interrupted rename.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// The profile has its new name, and all of it was moved.
    Finished {
        /// Logs that stay under the old name, because there are some under the new one.
        left: Option<PathBuf>,
    },
    /// The profile has its old name: nothing had been moved yet.
    Undone,
}

impl Store {
    /// Whether `from` can be renamed to `to`, while no other rename goes on.
    fn check_rename(&self, from: &ProfileName, to: &ProfileName) -> Result<(), StoreError> {
        self.get(from)?;
        if self.find(to)?.is_some() {
            return Err(StoreError::Exists { name: to.clone() });
        }
        // Logs that were kept of a former profile are not to become this one's.
        for path in [self.root.profile(to).path().to_owned(), self.root.gateway_logs(to)] {
            if path.symlink_metadata().is_ok() {
                return Err(StoreError::InTheWay { path });
            }
        }
        Ok(())
    }

    /// Renames a profile whose gateway has no service that would have to be renamed, too. All or
    /// nothing. A gateway that runs is [`StoreError::Runs`], and what else is refused
    /// [`Store::begin_rename`] says. Not idempotent. Blocks while another command changes one of the
    /// two, at most as long as the store's timeout.
    pub fn rename(&self, from: &ProfileName, to: &ProfileName) -> Result<Profile, StoreError> {
        let renaming = self.begin_rename(from, to, self.timeout)?;
        renaming.record()?;
        match renaming.move_files() {
            Ok(()) => renaming.forget()?,
            Err(failed) => {
                return Err(match renaming.move_back() {
                    Ok(()) => failed,
                    Err(source) => {
                        StoreError::Torn { failed: failed.into(), source: source.into() }
                    }
                });
            }
        }
        self.get(to)
    }

    /// Takes the locks of both names and checks that the one can become the other:
    /// [`StoreError::Default`], [`StoreError::Reserved`], [`StoreError::Absent`],
    /// [`StoreError::Exists`] or [`StoreError::InTheWay`] if not. Nothing is changed but what an
    /// interrupted rename of one of them left, which is settled. Blocks while another command holds one
    /// of the locks, at most `timeout` for each.
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
        // A lock makes directories, which is too much where there is no profile. All else may be a
        // rename half-way, as long as the locks are not held.
        self.get(from)?;
        if from == to {
            return Err(StoreError::Exists { name: to.clone() });
        }
        let locks = self.lock_both(from, to, timeout)?;
        self.check_rename(from, to)?;
        // What makes no sense chooses nobody.
        let chosen = self.active().is_ok_and(|active| active.as_ref() == Some(from));
        Ok(Renaming { store: self, from: from.clone(), to: to.clone(), chosen, _locks: locks })
    }

    /// The journals that there are. Changes nothing and does not wait.
    pub fn interrupted_renames(&self) -> Result<Vec<Interrupted>, StoreError> {
        let profiles = self.root.profiles();
        let failed = |source| StoreError::List { path: profiles.clone(), source };
        let entries = match fs::read_dir(&profiles) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(from) = crate::RootHome::renamed_in(&name) else { continue };
            let names = match from.parse() {
                Ok(from) => self.read_journal(&from).map(|to| to.map(|to| (from, to))),
                Err(error) => Err(format!("{error}")),
            };
            // One that has gone in between was of a rename that has ended.
            if let Some(names) = names.transpose() {
                found.push(Interrupted { names, path });
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Finishes a rename that a crash interrupted, or undoes it. `None` if there is none any more. One
    /// that goes on holds its locks: blocks until it has ended, at most `timeout`, and is then
    /// [`StoreError::Busy`]. Idempotent.
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
        let there = |name| self.root.profile(name).path().symlink_metadata().is_ok();
        let chosen = self.active().is_ok_and(|active| active.as_ref() == Some(from));
        let failed = |source| failed(from, to, source);
        // Where neither home is there, somebody removed the profile by hand.
        let settled = if there(from) || !there(to) {
            Settled::Undone
        } else {
            let left = Some(self.root.gateway_logs(from)).filter(|logs| logs.exists());
            let left = left.filter(|_| self.root.gateway_logs(to).exists());
            if left.is_none() {
                self.move_logs(from, to).map_err(failed)?;
            }
            if chosen {
                self.choose(to, failed)?;
            }
            Settled::Finished { left }
        };
        self.forget_rename(from).map_err(failed)?;
        Ok(Some(settled))
    }

    /// Settles what an interrupted rename left of the profile called `name`, old name or new one.
    /// For whoever is about to change it, before its lock is taken. As [`Store::settle_rename`].
    pub fn settle_renames_of(
        &self,
        name: &ProfileName,
        timeout: Duration,
    ) -> Result<(), StoreError> {
        for Interrupted { names, .. } in self.interrupted_renames()? {
            // One that makes no sense names nobody; boot says so.
            if let Ok((from, to)) = names
                && (from == *name || to == *name)
            {
                self.settle_rename(&from, &to, timeout)?;
            }
        }
        Ok(())
    }

    /// In the order of the names: two renames that go in opposite directions never wait for each other.
    fn lock_both(
        &self,
        a: &ProfileName,
        b: &ProfileName,
        timeout: Duration,
    ) -> Result<[Lock; 2], StoreError> {
        let lock = |name| {
            Lock::acquire(&self.root.profile_lock(name), timeout).map_err(|error| match error {
                LockError::Io { source, .. } => failed(a, b, source),
                busy @ LockError::Busy { .. } => StoreError::Busy(busy),
            })
        };
        Ok([lock(a.min(b))?, lock(a.max(b))?])
    }

    /// The new name in the journal of `from`; `None` if there is no journal.
    fn read_journal(&self, from: &ProfileName) -> Result<Option<ProfileName>, String> {
        let bytes = fsutil::read_if_there(&self.root.rename_journal(from));
        let Some(bytes) = bytes.map_err(|error| format!("it can't be read: {error}"))? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        let to: ProfileName = text.trim_end().parse().map_err(|error| format!("{error}"))?;
        match from.is_default() || to.is_default() || to == *from {
            true => Err(format!("`{from}` is never renamed to `{to}`")),
            false => Ok(Some(to)),
        }
    }

    fn move_logs(&self, from: &ProfileName, to: &ProfileName) -> io::Result<()> {
        let logs = self.root.gateway_logs(from);
        match fsutil::rename_exclusively(&logs, &self.root.gateway_logs(to)) {
            // Nothing was ever logged.
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

    fn choose(
        &self,
        name: &ProfileName,
        failed: impl Fn(io::Error) -> StoreError,
    ) -> Result<(), StoreError> {
        let _ports = self.lock_ports(failed)?;
        self.write_active(name)
    }

    fn forget_rename(&self, from: &ProfileName) -> io::Result<()> {
        fsutil::remove_file_if_there(&self.root.rename_journal(from))?;
        fsutil::sync_directory(&self.root.profiles())
    }
}

impl Renaming<'_> {
    /// Writes the journal, durably. The first step; what comes after it is settled after a crash. On
    /// failure there is none.
    pub fn record(&self) -> Result<(), StoreError> {
        let failed = |source| failed(&self.from, &self.to, source);
        // Held against `remove_leftovers`, which would take a journal that is not whole for one.
        let _ports = self.store.lock_ports(failed)?;
        let journal = self.store.root.rename_journal(&self.from);
        let text = format!("{}\n", self.to);
        fsutil::write_durably(&journal, text.as_bytes(), 0o644).map_err(|error| {
            // It may be there and not be known to be on disk. What was not begun needs no journal.
            let _ = self.forget();
            failed(error)
        })
    }

    /// Moves home, logs and sticky choice. The gateway must have ended: one that still runs is
    /// [`StoreError::Runs`]. What a failure leaves is for [`Renaming::move_back`].
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
        store.move_logs(from, to).map_err(failed)?;
        if self.chosen { store.choose(to, failed) } else { Ok(()) }
    }

    /// Undoes [`Renaming::move_files`], however far it came, and removes the journal. The service must
    /// be gone. Idempotent.
    pub fn move_back(&self) -> Result<(), StoreError> {
        let Self { store, from, to, .. } = self;
        let failed = |source| failed(to, from, source);
        if store.root.profile(from).path().symlink_metadata().is_err() {
            if self.chosen {
                store.choose(from, failed)?;
            }
            // What the gateway said under its new name belongs to it, too.
            if !store.root.gateway_logs(from).exists() {
                store.move_logs(to, from).map_err(failed)?;
            }
            store.move_home(to, from).map_err(failed)?;
        }
        self.forget()
    }

    /// Removes the journal, durably: the last step.
    pub fn forget(&self) -> Result<(), StoreError> {
        let failed = |source| failed(&self.from, &self.to, source);
        self.store.forget_rename(&self.from).map_err(failed)
    }
}

fn failed(from: &ProfileName, to: &ProfileName, source: io::Error) -> StoreError {
    StoreError::Rename { from: from.clone(), to: to.clone(), source }
}
