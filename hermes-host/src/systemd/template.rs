//! Writes and removes the template unit of a home, and the link of each installed gateway to it.
//!
//! `systemctl enable` would create the same link, but reloads all units, which takes seconds if there are
//! many. A new instance needs no reload; a changed template does.

use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use fs_err as fs;
use hermes_core::DriverError;
use hermes_core::config::StopTimeout;
use hermes_core::lock::Lock;
use hermes_core::{Gateway, ProfileName, writers};
use hermes_core::{formats, fsutil};

use super::unit::{GENERATION, GROWING_DELAY, Mark, Template};
use super::{Scope, Systemd};
use crate::privilege::as_root;

/// A home below these may not survive a reboot, and `PrivateTmp=` hides them from the unit.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

impl Systemd {
    /// The path of the template.
    pub(super) fn template(&self) -> PathBuf {
        self.places.units.join(self.names.template())
    }

    /// The link that makes the manager start the gateway.
    pub(super) fn link(&self, profile: &ProfileName) -> PathBuf {
        self.places.wants.join(self.names.unit(profile))
    }

    /// The profiles whose gateways are installed, sorted.
    pub(super) fn installed(&self) -> io::Result<Vec<ProfileName>> {
        let entries = match fs::read_dir(&self.places.wants) {
            Ok(entries) => entries,
            // A file in the place of the directory has no links, either.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(self.names.profile(&entry?.file_name().to_string_lossy()));
        }
        names.sort();
        Ok(names)
    }

    /// The mark of the existing template: the outer `None` if the file is absent, the inner if Hermes did not
    /// write it.
    pub(super) fn mark(&self) -> io::Result<Option<Option<Mark>>> {
        let bytes = fsutil::read_if_there(&self.template())?;
        Ok(bytes.map(|bytes| Mark::read(&String::from_utf8_lossy(&bytes))))
    }

    /// Installs a gateway, or brings the template up to date if it is installed. The caller holds the
    /// profile's lock. Idempotent.
    pub(super) fn install(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let (profile, own) = (gateway.name(), gateway.stop_timeout());
        if self.has_link(profile) && self.serves(own)? && self.has_limits(gateway)? {
            return Ok(());
        }
        self.refuse_temporary_home()?;
        // Held until the link exists: until then, removing the last gateway would remove the template.
        let _lock = self.lock_services()?;
        let is_first = self.mark()?.is_none();
        let installed = self.install_locked(gateway);
        if installed.is_err() && !self.has_link(profile) {
            let _ = self.remove_limits(profile);
        }
        if installed.is_err() && is_first && self.installed().is_ok_and(|all| all.is_empty()) {
            let _ = self.remove_template();
        }
        installed
    }

    /// Brings the template up to date, and links the instance unless it is linked. The caller holds the services' lock.
    fn install_locked(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let (profile, own) = (gateway.name(), gateway.stop_timeout());
        // One command renders the template once; for its other gateways it only checks the mark.
        if !self.serves(own)? || !self.settled.load(Ordering::Relaxed) {
            self.settle_template(profile, own)?;
            self.settled.store(true, Ordering::Relaxed);
        }
        self.settle_limits(gateway)?;
        if self.has_link(profile) {
            return Ok(());
        }
        let (link, target) = (self.link(profile), Path::new("..").join(self.names.template()));
        let linked = as_root(|| {
            writers::create_directory(&self.places.wants)?;
            // Another file at this path, even a link, is not replaced.
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

    /// Takes the lock of the template, which all units share.
    fn lock_services(&self) -> Result<Lock, DriverError> {
        Ok(Lock::acquire(&self.store.root().services_lock(), self.setup.timeouts.lock)?)
    }

    /// Refuses to replace a template that a newer version wrote.
    fn refuse_newer(&self, path: &Path) -> Result<(), DriverError> {
        let Some(Some(mark)) = self.mark()? else { return Ok(()) };
        formats::refuse_newer(path, mark.generation, GENERATION).map_err(|error| {
            let back = "to go back to this one, `hermes gateway uninstall --all`, then `hermes gateway install --all`";
            DriverError::new(error).with_hint(format!("{}; {back}", formats::HINT))
        })
    }

    fn has_link(&self, profile: &ProfileName) -> bool {
        let target = Path::new("..").join(self.names.template());
        fs::read_link(self.link(profile)).is_ok_and(|current| current == target)
    }

    /// Whether the existing template has this generation, is long enough for this stop budget, and lets gateways use
    /// open homes if this command does. A template of another home, or one that Hermes did not write, is an error.
    pub(super) fn serves(&self, stop: StopTimeout) -> Result<bool, DriverError> {
        let mark = self.mark()?;
        let path = self.template();
        let home = self.store.root().path();
        match mark {
            None => Ok(false),
            Some(None) => {
                let reason = format!("`{}` was not written by hermes", path.display());
                let hint = "move the file away, if nothing else needs it";
                Err(DriverError::new(reason).with_hint(hint))
            }
            Some(Some(mark)) if mark.home != home => {
                let (path, theirs, ours) = (path.display(), mark.home.display(), home.display());
                let reason = format!("`{path}` runs the gateways of `{theirs}`, not of `{ours}`");
                let hint = format!("HERMES_HOME={theirs} selects that home");
                Err(DriverError::new(reason).with_hint(hint))
            }
            Some(Some(mark)) => Ok(mark.generation == GENERATION
                && mark.kill_after >= stop.kill_after().as_secs()
                && mark.open_homes >= self.store.allows_open_homes()),
        }
    }

    /// Writes the template if its text differs, and makes the manager reload it.
    fn settle_template(&self, profile: &ProfileName, own: StopTimeout) -> Result<(), DriverError> {
        let version = self.version()?;
        let profiles = self.store.list().map(|listing| listing.profiles).unwrap_or_default();
        let profiles = profiles.into_iter().map(Gateway::new);
        let longest = profiles.map(|gateway| gateway.stop_timeout()).max();
        // Commands without the variable don't take back what one with it allowed: that would park the gateways.
        let open_homes = self.store.allows_open_homes()
            || matches!(self.mark()?, Some(Some(Mark { open_homes: true, .. })));
        let text = Template {
            program: &self.setup.program,
            root: self.store.root(),
            user: (self.scope == Scope::System).then_some(self.setup.account.name.as_str()),
            stop_timeout: longest.unwrap_or(own).max(own),
            grows: version >= GROWING_DELAY,
            open_homes,
        }
        .render()
        .map_err(DriverError::new)?;
        let path = self.template();
        self.refuse_newer(&path)?;
        let current = fsutil::read_if_there(&path)?;
        if current.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        as_root(|| {
            writers::create_directory(&self.places.units)?;
            fsutil::write_durably(&path, text.as_bytes(), 0o644)
        })?;
        self.reload()?;
        let properties = self.properties(profile)?;
        if properties.load == "loaded" && Path::new(&properties.fragment) == path {
            return Ok(());
        }
        let path = path.display();
        let reason = match properties.fragment.as_str() {
            "" => format!("systemd did not load `{path}`: its state is {}", properties.load),
            other => format!("systemd loads the unit from `{other}`, not from `{path}`"),
        };
        let hint = "`systemd-analyze verify` checks unit files; `systemctl show -p UnitPath` prints the \
                    directories of the manager";
        Err(DriverError::new(reason).with_hint(hint))
    }

    /// Stops a gateway and removes its link; after the last one, also the template. The caller holds the
    /// profile's lock. Idempotent.
    pub(super) fn uninstall(&self, gateway: &Gateway) -> Result<(), DriverError> {
        let profile = gateway.name();
        self.bring_down(gateway)?;
        let _lock = self.lock_services()?;
        as_root(|| {
            if fsutil::remove_file_if_there(&self.link(profile))? {
                fsutil::sync_directory(&self.places.wants)?;
            }
            Ok(())
        })?;
        // The manager may have started the gateway before its link was removed.
        self.bring_down(gateway)?;
        self.remove_limits(profile)?;
        match self.installed()?.is_empty() {
            true => self.remove_template(),
            false => Ok(()),
        }
    }

    /// Removes the template, which serves no gateway. The caller holds the services' lock. Idempotent.
    fn remove_template(&self) -> Result<(), DriverError> {
        let (path, mut removed) = (self.template(), false);
        as_root(|| {
            removed = fsutil::remove_file_if_there(&path)?;
            Ok(())
        })?;
        if removed {
            self.settled.store(false, Ordering::Relaxed);
            self.reload()?;
        }
        Ok(())
    }

    fn refuse_temporary_home(&self) -> Result<(), DriverError> {
        let home = self.store.root().path();
        let Some(temporary) = TEMPORARY.iter().find(|directory| home.starts_with(directory)) else {
            return Ok(());
        };
        let reason = format!(
            "the home `{}` is below `{temporary}`, which the unit can't see (PrivateTmp=yes)",
            home.display()
        );
        Err(DriverError::new(reason).with_hint("`hermes up` runs gateways of such a home"))
    }
}
