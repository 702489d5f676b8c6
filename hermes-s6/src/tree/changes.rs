//! Watches gateways for changes with inotify(7): their status records, profiles and intents.
//!
//! s6-supervise replaces `supervise/status` and `supervise/death_tally` by rename at every change
//! (`src/supervision/s6-supervise.c`). The store replaces its files by rename, and slots and profiles appear
//! and disappear by rename. inotify does not report locks, so killed supervisors and orphans cause no event:
//! callers must also poll from time to time.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hermes_core::changes::{Changed, Changes};
use hermes_core::{ProfileName, Store};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::slot::layout;
use crate::tree::Tree;

/// Watches every gateway of a tree, including ones created later.
#[derive(Debug)]
pub(crate) struct TreeChanges {
    inotify: OwnedFd,
    tree: Tree,
    places: HashMap<i32, Place>,
}

/// The kind of a watched directory.
#[derive(Debug, Clone)]
enum Place {
    /// It contains the homes of profiles.
    Profiles,
    /// It contains the slots.
    Scandir,
    /// A profile's home. The agent writes other files there, which are ignored.
    Home(ProfileName),
    /// A slot's `supervise/` or `data/`.
    Records(ProfileName),
}

impl Changes for TreeChanges {
    fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    fn take(&mut self) -> io::Result<Changed> {
        let mut changed = Changed::default();
        for (place, name) in self.events(&mut changed)? {
            self.handle(&place, &name, &mut changed)?;
        }
        Ok(changed)
    }
}

impl TreeChanges {
    /// Starts watching the gateways of `tree` and `store`. Fails if the scan directory does not exist, or if
    /// there are more directories than `fs.inotify.max_user_watches` allows.
    pub(crate) fn begin(tree: &Tree, store: &Store) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut changes = Self { inotify, tree: tree.clone(), places: HashMap::new() };
        let scandir = &tree.scandir;
        if !changes.watch(scandir.path(), Place::Scandir)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        changes.watch(&tree.root.profiles(), Place::Profiles)?;
        let listing = store.list().map_err(io::Error::other)?;
        for profile in listing.profiles {
            changes.watch_home(&profile.name)?;
        }
        for profile in scandir.profiles()? {
            changes.watch_slot(&profile)?;
        }
        Ok(changes)
    }

    /// The pending events: the watched directory, and the name of the changed entry in it.
    fn events(&mut self, changed: &mut Changed) -> io::Result<Vec<(Place, Vec<u8>)>> {
        let mut entries = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(entries),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            changed.all |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            if event.events().contains(ReadFlags::IGNORED) {
                self.places.remove(&event.wd());
                continue;
            }
            let Some(place) = self.places.get(&event.wd()) else { continue };
            let name = event.file_name().map(|name| name.to_bytes().to_vec());
            entries.push((place.clone(), name.unwrap_or_default()));
        }
    }

    fn handle(&mut self, place: &Place, name: &[u8], changed: &mut Changed) -> io::Result<()> {
        let root = self.tree.root.clone();
        let text = str::from_utf8(name).unwrap_or_default();
        match place {
            Place::Profiles => {
                if let Ok(profile) = text.parse() {
                    self.watch_home(&profile)?;
                    changed.profiles.insert(profile);
                }
            }
            Place::Scandir => {
                if let Some(profile) = layout::profile_of(text) {
                    self.watch_slot(&profile)?;
                    changed.profiles.insert(profile);
                }
            }
            Place::Home(profile) => {
                let home = root.profile(profile);
                let (state, health) = (home.legacy_state(), home.health());
                let files = [home.intent(), home.config(), home.soul(), state, health];
                if files.iter().any(|file| file.file_name() == Some(OsStr::from_bytes(name))) {
                    changed.profiles.insert(profile.clone());
                }
                if profile.is_default() && root.profiles().file_name() == Some(OsStr::new(text)) {
                    self.watch(&root.profiles(), Place::Profiles)?;
                    changed.all = true;
                }
            }
            Place::Records(profile) => {
                changed.profiles.insert(profile.clone());
            }
        }
        Ok(())
    }

    fn watch_home(&mut self, profile: &ProfileName) -> io::Result<()> {
        let home = self.tree.root.profile(profile);
        self.watch(home.path(), Place::Home(profile.clone())).map(drop)
    }

    fn watch_slot(&mut self, profile: &ProfileName) -> io::Result<()> {
        let slot = self.tree.scandir.slot(profile);
        for record in [slot.status(), slot.parked()] {
            let directory = record.parent().unwrap_or(slot.path());
            self.watch(directory, Place::Records(profile.clone()))?;
        }
        Ok(())
    }

    /// Watches the directory at `path`; `false` if it does not exist.
    fn watch(&mut self, path: &Path, place: Place) -> io::Result<bool> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.inotify, path, flags) {
            Ok(watch) => {
                self.places.insert(watch, place);
                Ok(true)
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(io::Error::new(
                io::Error::from(errno).kind(),
                format!("failed to watch `{}`: {errno}", path.display()),
            )),
        }
    }
}
