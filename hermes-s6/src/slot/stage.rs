//! Builds a slot in a hidden directory and publishes it with one rename.
//!
//! s6-svscan skips names that begin with a dot, so it never sees an incomplete slot; the rename replaces
//! nothing. `supervise/` and `event/` are created in advance because s6-supervise keeps existing ones
//! (`src/supervision/s6-supervise.c`, `EEXIST`): the directory's owner then controls the service even if
//! the supervisor runs as root.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use hermes_core::ProfileName;
use hermes_core::fsutil;
use rustix::fs::{CWD, Mode};
use tempfile::TempDir;

use crate::protocol::scandir::ScanDir;
use crate::slot::layout::{
    CONTROL_MODE, EVENT, EVENT_MODE, EXTRA_ENV, FILE_MODE, GENERATION, HIDDEN_PREFIX,
    NOTIFICATION_FD, SCRIPT_MODE, SUPERVISE, SUPERVISE_MODE, ServiceDir,
};
use crate::slot::render::Scripts;

/// The contents of a new slot.
#[derive(Debug)]
pub struct SlotSpec<'a> {
    /// The profile of its gateway.
    pub profile: &'a ProfileName,
    /// Its scripts.
    pub scripts: &'a Scripts,
    /// Whether the supervisor starts the gateway at once.
    pub up: bool,
    /// The content of `timeout-kill`, in milliseconds.
    pub kill_after_ms: u128,
    /// The variables that its scripts export.
    pub extra_env: &'a BTreeMap<String, String>,
}

/// A slot that is not published yet. Dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    dir: TempDir,
}

impl Staged {
    /// Builds a slot in a hidden directory of `scandir`.
    pub fn build(scandir: &ScanDir, spec: &SlotSpec<'_>) -> io::Result<Self> {
        let dir = hidden_directory(scandir)?;
        fill(&ServiceDir::new(dir.path()), spec)?;
        // tempfile creates it 0700, but other users' `hermes gateway status` and s6-svstat read it.
        chmod(dir.path(), 0o755)?;
        Ok(Self { dir })
    }

    /// The slot in its hidden directory.
    pub fn service(&self) -> ServiceDir {
        ServiceDir::new(self.dir.path())
    }

    /// Publishes the slot as `slot`; `AlreadyExists` if that exists.
    pub fn publish(self, slot: &ServiceDir) -> io::Result<()> {
        fsutil::rename_exclusively(self.dir.path(), slot.path())?;
        // The directory has moved, so there is nothing to remove on drop.
        let _ = self.dir.keep();
        Ok(())
    }
}

/// Renames what is at `path`, which need not be a directory, to a hidden name, which s6-svscan skips, and
/// returns it.
pub fn hide(scandir: &ScanDir, path: &Path) -> io::Result<ServiceDir> {
    // One rename and no new directory: a full disk must not keep a slot that is to be removed.
    let hidden = tempfile::Builder::new()
        .prefix(HIDDEN_PREFIX)
        .make_in(scandir.path(), |target| fsutil::rename_exclusively(path, target))?;
    Ok(ServiceDir::new(hidden.into_temp_path().keep()?))
}

/// Creates a hidden directory. Its name does not contain the profile's, which may be too long for that.
fn hidden_directory(scandir: &ScanDir) -> io::Result<TempDir> {
    fsutil::hidden_directory(scandir.path(), HIDDEN_PREFIX)
}

fn fill(slot: &ServiceDir, spec: &SlotSpec<'_>) -> io::Result<()> {
    let dir = slot.path();
    let file = |name: &str, text: &str, mode| {
        let path = dir.join(name);
        fs::write(&path, text)?;
        chmod(&path, mode)
    };
    for part in slot.parts() {
        directory(part.path(), 0o755)?;
        directory(&part.event(), EVENT_MODE)?;
        let supervise = part.path().join(SUPERVISE);
        directory(&supervise, SUPERVISE_MODE)?;
        directory(&supervise.join(EVENT), EVENT_MODE)?;
        rustix::fs::mkfifoat(CWD, part.control(), Mode::from_raw_mode(CONTROL_MODE))?;
        chmod(&part.control(), CONTROL_MODE)?;
    }
    directory(&dir.join("data"), 0o755)?;
    file("data/profile", &format!("{}\n", spec.profile), FILE_MODE)?;
    file("data/generation", &format!("{GENERATION}\n"), FILE_MODE)?;
    if !spec.extra_env.is_empty() {
        let variables = spec.extra_env.iter().map(|(name, value)| format!("{name}={value}\0"));
        file(EXTRA_ENV, &variables.collect::<String>(), FILE_MODE)?;
    }
    file("type", "longrun\n", FILE_MODE)?;
    file("notification-fd", &format!("{NOTIFICATION_FD}\n"), FILE_MODE)?;
    file("timeout-kill", &format!("{}\n", spec.kill_after_ms), FILE_MODE)?;
    // 0 means no limit: `finish` waits for the restart delay.
    file("timeout-finish", "0\n", FILE_MODE)?;
    file("run", &spec.scripts.run, SCRIPT_MODE)?;
    file("finish", &spec.scripts.finish, SCRIPT_MODE)?;
    file("log/run", &spec.scripts.log_run, SCRIPT_MODE)?;
    if !spec.up {
        file("down", "", FILE_MODE)?;
    }
    Ok(())
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => created?,
    }
    chmod(path, mode)
}

/// Sets a mode exactly, whatever the umask is.
fn chmod(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    fn staged(scandir: &ScanDir, up: bool) -> Staged {
        let scripts = Scripts { run: "r".into(), finish: "f".into(), log_run: "l".into() };
        let profile = "coder".parse().unwrap();
        let extra_env = BTreeMap::from([("NAME".to_owned(), "a\n'b'".to_owned())]);
        let spec = SlotSpec {
            profile: &profile,
            scripts: &scripts,
            up,
            kill_after_ms: 6000,
            extra_env: &extra_env,
        };
        Staged::build(scandir, &spec).unwrap()
    }

    #[test]
    fn a_slot_has_every_entry_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let scandir = ScanDir::new(dir.path());
        let slot = scandir.slot(&"coder".parse().unwrap());
        staged(&scandir, false).publish(&slot).unwrap();
        let mut found = Vec::new();
        let mut pending = vec![slot.path().to_owned()];
        while let Some(path) = pending.pop() {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let kind = if metadata.is_dir() {
                pending.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
                "/"
            } else if metadata.file_type().is_fifo() {
                "|"
            } else {
                ""
            };
            let name = path.strip_prefix(slot.path()).unwrap().display();
            found.push(format!("{name}{kind} {:04o}", metadata.permissions().mode() & 0o7777));
        }
        assert_eq!(slot.extra_env().unwrap()["NAME"], "a\n'b'");
        found.sort();
        insta::assert_snapshot!(found.join("\n"), @"
        / 0755
        data/ 0755
        data/extra-env 0644
        data/generation 0644
        data/profile 0644
        down 0644
        event/ 3730
        finish 0755
        log/ 0755
        log/event/ 3730
        log/run 0755
        log/supervise/ 0755
        log/supervise/control| 0660
        log/supervise/event/ 3730
        notification-fd 0644
        run 0755
        supervise/ 0755
        supervise/control| 0660
        supervise/event/ 3730
        timeout-finish 0644
        timeout-kill 0644
        type 0644
        ");
    }

    #[test]
    fn what_is_not_published_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let scandir = ScanDir::new(dir.path());
        drop(staged(&scandir, true));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn publishing_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let scandir = ScanDir::new(dir.path());
        let slot = scandir.slot(&"coder".parse().unwrap());
        staged(&scandir, true).publish(&slot).unwrap();
        assert!(!slot.down().exists());
        let error = staged(&scandir, false).publish(&slot).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(!slot.down().exists());
        assert_eq!(scandir.hidden().unwrap().len(), 0);
    }

    #[test]
    fn a_hidden_slot_is_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        let scandir = ScanDir::new(dir.path());
        let slot = scandir.slot(&"coder".parse().unwrap());
        staged(&scandir, true).publish(&slot).unwrap();
        let hidden = hide(&scandir, slot.path()).unwrap();
        assert_eq!(scandir.profiles().unwrap(), []);
        assert_eq!(scandir.hidden().unwrap(), [hidden.path()]);
        assert!(hidden.path().join("run").exists());
    }
}
