//! Watches gateways for changes with inotify(7): their status records, profiles and intents.
//!
//! s6-supervise replaces `supervise/status` and `supervise/death_tally` by rename at every change
//! (`src/supervision/s6-supervise.c`). The store replaces its files by rename, and slots and profiles appear
//! and disappear by rename. inotify does not report locks, so killed supervisors and orphans cause no event, and not
//! what another machine changes in a shared directory: callers must also compare, and look, from time to time.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hermes_core::changes::{Changed, Changes, Stamp, stamp};
use hermes_core::{ProfileName, Store, fsutil};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::slot::layout::{self, HIDDEN_PREFIX};
use crate::tree::Tree;

/// Watches every gateway of a tree, including ones created later.
#[derive(Debug)]
pub(crate) struct TreeChanges {
    inotify: OwnedFd,
    tree: Tree,
    store: Store,
    places: HashMap<i32, Watched>,
}

/// A watched directory, and its state when [`Changes::compare`] last saw it.
#[derive(Debug)]
struct Watched {
    place: Place,
    stamp: Option<Stamp>,
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
    /// A slot, for its `down` file.
    Slot(ProfileName),
    /// A slot's `supervise/`, for its status record.
    Supervise(ProfileName),
    /// A slot's `data/`, for the reason of parking.
    Data(ProfileName),
}

impl Place {
    fn profile(&self) -> Option<&ProfileName> {
        match self {
            Self::Profiles | Self::Scandir => None,
            Self::Home(name) | Self::Slot(name) | Self::Supervise(name) | Self::Data(name) => {
                Some(name)
            }
        }
    }

    fn path(&self, tree: &Tree) -> PathBuf {
        let of = |file: PathBuf| file.parent().map(Path::to_owned).unwrap_or_default();
        match self {
            Self::Profiles => tree.root.profiles(),
            Self::Scandir => tree.scandir.path().to_owned(),
            Self::Home(name) => tree.root.profile(name).path().to_owned(),
            Self::Slot(name) => tree.scandir.slot(name).path().to_owned(),
            Self::Supervise(name) => of(tree.scandir.slot(name).status()),
            Self::Data(name) => of(tree.scandir.slot(name).parked()),
        }
    }
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

    fn compare(&mut self) -> io::Result<Changed> {
        let tree = &self.tree;
        let differs = |watched: &mut Watched| {
            let now = stamp(&watched.place.path(tree));
            (now != watched.stamp).then(|| {
                watched.stamp = now;
                watched.place.clone()
            })
        };
        let different: Vec<_> = self.places.values_mut().filter_map(differs).collect();
        let mut changed = Changed::default();
        for place in different {
            changed.profiles.extend(place.profile().cloned());
            match &place {
                Place::Profiles | Place::Scandir => {
                    changed.leftovers = true;
                    self.watch_unknown(&mut changed)?;
                }
                // Another directory may have its name now.
                Place::Home(name) => self.watch_home(name)?,
                Place::Slot(name) | Place::Supervise(name) | Place::Data(name) => {
                    self.watch_slot(name)?;
                }
            }
        }
        Ok(changed)
    }
}

impl TreeChanges {
    /// Starts watching the gateways of `tree` and `store`. Fails if the scan directory does not exist, or if
    /// there are more directories than `fs.inotify.max_user_watches` allows.
    pub(crate) fn begin(tree: &Tree, store: &Store) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let (tree, store) = (tree.clone(), store.clone());
        let mut changes = Self { inotify, tree, store, places: HashMap::new() };
        if !changes.watch(Place::Scandir)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        changes.watch(Place::Profiles)?;
        changes.watch_unknown(&mut Changed::default())?;
        Ok(changes)
    }

    /// Watches the profiles and the slots that are not watched yet, and notes them as changed.
    fn watch_unknown(&mut self, changed: &mut Changed) -> io::Result<()> {
        let (mut homes, mut slots) = (BTreeSet::new(), BTreeSet::new());
        for watched in self.places.values() {
            match &watched.place {
                Place::Home(name) => drop(homes.insert(name.clone())),
                Place::Slot(name) => drop(slots.insert(name.clone())),
                _ => {}
            }
        }
        for name in self.store.names().map_err(io::Error::other)? {
            if !homes.contains(&name) {
                self.watch_home(&name)?;
                changed.profiles.insert(name);
            }
        }
        for name in self.tree.scandir.profiles()? {
            if !slots.contains(&name) {
                self.watch_slot(&name)?;
                changed.profiles.insert(name);
            }
        }
        Ok(())
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
            let Some(watched) = self.places.get(&event.wd()) else { continue };
            let name = event.file_name().map(|name| name.to_bytes().to_vec());
            entries.push((watched.place.clone(), name.unwrap_or_default()));
        }
    }

    fn handle(&mut self, place: &Place, name: &[u8], changed: &mut Changed) -> io::Result<()> {
        let root = self.tree.root.clone();
        let text = str::from_utf8(name).unwrap_or_default();
        match place {
            Place::Profiles => match text.parse() {
                Ok(profile) => {
                    self.watch_home(&profile)?;
                    changed.profiles.insert(profile);
                }
                // Leftovers and journals have names that no profile can have.
                Err(_) => changed.leftovers = true,
            },
            Place::Scandir => {
                if let Some(profile) = layout::profile_of(text) {
                    self.watch_slot(&profile)?;
                    changed.profiles.insert(profile);
                }
                changed.leftovers |= text.starts_with(HIDDEN_PREFIX);
            }
            Place::Home(profile) => {
                let home = root.profile(profile);
                let (state, health) = (home.agent_state(), home.health());
                let files = [home.intent(), home.config(), home.soul(), state, health];
                let is_file = |file: &PathBuf| file.file_name() == Some(OsStr::from_bytes(name));
                if files.iter().any(is_file) || text.starts_with(fsutil::TEMPORARY) {
                    changed.profiles.insert(profile.clone());
                }
                if profile.is_default() && root.profiles().file_name() == Some(OsStr::new(text)) {
                    self.watch(Place::Profiles)?;
                    changed.all = true;
                }
                // The tree looks after its lock when it looks at leftovers.
                changed.leftovers |= profile.is_default()
                    && root.owner_lock().file_name() == Some(OsStr::from_bytes(name));
            }
            Place::Slot(profile) | Place::Supervise(profile) | Place::Data(profile) => {
                changed.profiles.insert(profile.clone());
            }
        }
        Ok(())
    }

    fn watch_home(&mut self, profile: &ProfileName) -> io::Result<()> {
        self.watch(Place::Home(profile.clone())).map(drop)
    }

    fn watch_slot(&mut self, profile: &ProfileName) -> io::Result<()> {
        for place in [Place::Slot, Place::Supervise, Place::Data] {
            self.watch(place(profile.clone()))?;
        }
        Ok(())
    }

    /// Watches a directory; `false` if it does not exist.
    fn watch(&mut self, place: Place) -> io::Result<bool> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR;
        let path = place.path(&self.tree);
        match inotify::add_watch(&self.inotify, &path, flags) {
            Ok(watch) => {
                self.places.insert(watch, Watched { stamp: stamp(&path), place });
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
