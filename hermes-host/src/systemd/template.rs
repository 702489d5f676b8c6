//! What is installed: the template that all gateways of a home share, and a link for each of them.
//!
//! The link is what `systemctl enable` would make, which takes seconds where there are many units: it
//! reloads all of them. A new instance needs no reload; the template's text does.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use fs_err as fs;
use hermes_core::DriverError;
use hermes_core::config::StopTimeout;
use hermes_core::fsutil;
use hermes_core::lock::Lock;
use hermes_core::{Gateway, ProfileName};

use super::unit::{GENERATION, GROWING_DELAY, Mark, Template};
use super::{Scope, Systemd};
use crate::privilege::raised;

/// A home there does not outlive a restart of the machine, and the unit has a directory of its own there.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

impl Systemd {
    /// The template's file.
    pub(super) fn template(&self) -> PathBuf {
        self.places.units.join(self.names.template())
    }

    /// The link that has the manager bring the gateway up.
    pub(super) fn link(&self, profile: &ProfileName) -> PathBuf {
        self.places.wants.join(self.names.unit(profile))
    }

    /// The profiles that are installed, sorted.
    pub(super) fn installed(&self) -> io::Result<Vec<ProfileName>> {
        let entries = match fs::read_dir(&self.places.wants) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(self.names.profile(&entry?.file_name().to_string_lossy()));
        }
        names.sort();
        Ok(names)
    }

    /// What the template that is there says of itself; the outer `None` if there is none, the inner if
    /// it is not of Hermes.
    pub(super) fn mark(&self) -> io::Result<Option<Option<Mark>>> {
        let bytes = fsutil::read_if_there(&self.template())?;
        Ok(bytes.map(|bytes| Mark::read(&String::from_utf8_lossy(&bytes))))
    }

    /// Installs the gateway of a profile whose lock the caller holds; one that is installed already gets
    /// the template that it needs. Idempotent.
    pub(super) fn install(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let (profile, own) = (gateway.name(), gateway.stop_timeout());
        let is_linked = self.has_link(profile);
        if is_linked && self.serves(own)? {
            return Ok(());
        }
        self.refuse_what_does_not_last()?;
        // Held until the link is there: without it the last one's end would take the template away.
        let _lock = self.lock_services()?;
        // Once for all that one command installs: the rest only looks whether it serves them.
        if !self.serves(own)? || !self.settled.load(Ordering::Relaxed) {
            self.settle_template(profile, own)?;
            self.settled.store(true, Ordering::Relaxed);
        }
        if is_linked {
            return Ok(());
        }
        let (link, target) = (self.link(profile), Path::new("..").join(self.names.template()));
        let linked = raised(|| {
            fs::create_dir_all(&self.places.wants)?;
            // What else is in its place, be it another's link, is not ours to replace.
            symlink(&target, &link).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("failed to link `{}`: {error}", link.display()),
                )
            })?;
            fsutil::sync_directory(&self.places.wants)
        });
        Ok(linked?)
    }

    /// Takes the lock of what all units have in common.
    fn lock_services(&self) -> Result<Lock, DriverError> {
        Ok(Lock::acquire(&self.store.root().services_lock(), self.setup.timeouts.lock)?)
    }

    fn has_link(&self, profile: &ProfileName) -> bool {
        let target = Path::new("..").join(self.names.template());
        fs::read_link(self.link(profile)).is_ok_and(|there| there == target)
    }

    /// Whether the template that is there is this generation's, this home's, and gives a stop of this
    /// budget its time. One that pins another home, or is not of Hermes, is an error.
    pub(super) fn serves(&self, stop: StopTimeout) -> Result<bool, DriverError> {
        let mark = self.mark()?;
        let path = self.template();
        let home = self.store.root().path();
        match mark {
            None => Ok(false),
            Some(None) => {
                let why = format!("`{}` was not written by hermes", path.display());
                let hint = "move it away, if nothing else needs it".to_owned();
                Err(DriverError::new(why).with_hint(hint))
            }
            Some(Some(mark)) if mark.home != home => {
                let (path, theirs, ours) = (path.display(), mark.home.display(), home.display());
                let why = format!(
                    "`{path}` runs the gateways of `{theirs}`, and the home here is `{ours}`"
                );
                let hint = format!("HERMES_HOME={theirs} means the other one");
                Err(DriverError::new(why).with_hint(hint))
            }
            Some(Some(mark)) => {
                Ok(mark.generation == GENERATION && mark.kill_after >= stop.kill_after().as_secs())
            }
        }
    }

    /// Writes the template if it differs from what it should be, and has the manager read it.
    fn settle_template(&self, profile: &ProfileName, own: StopTimeout) -> Result<(), DriverError> {
        let version = self.version()?;
        let profiles = self.store.list().map(|listing| listing.profiles).unwrap_or_default();
        let profiles = profiles.into_iter().map(Gateway::new);
        let longest = profiles.map(|gateway| gateway.stop_timeout()).max();
        let text = Template {
            program: &self.setup.program,
            root: self.store.root(),
            user: (self.scope == Scope::System).then_some(self.setup.account.name.as_str()),
            stop_timeout: longest.unwrap_or(own).max(own),
            grows: version >= GROWING_DELAY,
        }
        .render()
        .map_err(DriverError::new)?;
        let path = self.template();
        let there = fsutil::read_if_there(&path)?;
        if there.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        raised(|| {
            fs::create_dir_all(&self.places.units)?;
            fsutil::write_durably(&path, text.as_bytes(), 0o644)
        })?;
        self.reload()?;
        let seen = self.seen(profile)?;
        if seen.load == "loaded" && Path::new(&seen.fragment) == path {
            return Ok(());
        }
        let why = match seen.fragment.as_str() {
            "" => format!("systemd does not load `{}`: it is {}", path.display(), seen.load),
            other => {
                format!("systemd takes the unit from `{other}`, not from `{}`", path.display())
            }
        };
        let hint = "`systemd-analyze verify` checks unit files; its manager may look elsewhere";
        Err(DriverError::new(why).with_hint(hint))
    }

    /// Stops the gateway of a profile whose lock the caller holds, and takes away what is installed for
    /// it; with the last one the template. Idempotent.
    pub(super) fn uninstall(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let profile = gateway.name();
        self.bring_down(gateway)?;
        let _lock = self.lock_services()?;
        raised(|| {
            if fsutil::remove_file_if_there(&self.link(profile))? {
                fsutil::sync_directory(&self.places.wants)?;
            }
            Ok(())
        })?;
        // What came up between its stop and the end of its link.
        self.bring_down(gateway)?;
        let is_last = self.installed()?.is_empty();
        let mut removed = false;
        if is_last {
            let path = self.template();
            raised(|| {
                removed = fsutil::remove_file_if_there(&path)?;
                Ok(())
            })?;
        }
        if removed {
            self.settled.store(false, Ordering::Relaxed);
            self.reload()?;
        }
        Ok(())
    }

    fn refuse_what_does_not_last(&self) -> Result<(), DriverError> {
        let home = self.store.root().path();
        let Some(temporary) = TEMPORARY.iter().find(|directory| home.starts_with(directory)) else {
            return Ok(());
        };
        let why = format!(
            "the home `{}` is below `{temporary}`, which a service has one of its own of",
            home.display()
        );
        let hint = "`hermes up` runs gateways of such a home".to_owned();
        Err(DriverError::new(why).with_hint(hint))
    }
}
