//! Replaces the text of a `config.yaml` or `.env` wherever it lies: behind a link, or on a mount of its own.
//!
//! The file is the operator's, who may link to it in a repository of dotfiles, or mount it as one file into a
//! container. So a link stays, and a file that can't be replaced is overwritten, after a copy was made.

use std::io::{self, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::Access;
use tempfile::NamedTempFile;

use crate::fsutil;

/// Replaces the file at `path` by `bytes`, durably, and keeps its mode and owner; creates it with `mode` if it is absent. A
/// link is followed to its file, which is replaced in its own directory. A file that can't be replaced, like a
/// mount point, is overwritten; the error of a failure then names a copy of its former text. Idempotent.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let target = target(path)?;
    let replaced = match fs::metadata(&target) {
        Ok(old) => fsutil::replace_durably(&target, bytes, &old),
        Err(_) => fsutil::write_durably(&target, bytes, mode),
    };
    match replaced {
        Err(error) if may_be_overwritten(&error) && target.exists() => {
            overwrite(path, &target, bytes, &error)
        }
        written => written,
    }
}

/// Fails if [`write`] could not replace the file at `path`, as far as its permissions show.
pub(crate) fn check_writable(path: &Path) -> io::Result<()> {
    let target = target(path)?;
    let directory = target.parent().unwrap_or(&target);
    let replaceable = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK);
    let Err(error) = replaceable else { return Ok(()) };
    rustix::fs::access(&target, Access::WRITE_OK).map_err(|_| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("`{}` can't be written: {error}", target.display()))
    })
}

/// The file that `path` leads to.
fn target(path: &Path) -> io::Result<PathBuf> {
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(path.to_owned());
    }
    fsutil::resolve(path).map_err(|error| {
        let to = fs::read_link(path).unwrap_or_default();
        let why = match error.kind() {
            io::ErrorKind::PermissionDenied => "which can't be followed",
            _ => "which leads to no file",
        };
        let what = format!("it is a link to `{}`, {why}: {error}", to.display());
        io::Error::new(error.kind(), what)
    })
}

/// Whether a file could not be replaced because it is a mount point, or because of its directory or owner.
fn may_be_overwritten(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

/// Overwrites `target`, which could not be replaced because of `why`.
fn overwrite(path: &Path, target: &Path, bytes: &[u8], why: &io::Error) -> io::Result<()> {
    let refused = |step: &str, error: &io::Error| {
        io::Error::new(error.kind(), format!("{why}; {step}: {error}"))
    };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(target)
        .map_err(|error| refused("nor can it be overwritten", &error))?;
    let former = fsutil::read(target)?;
    let copy = copy([target, path], &former)
        .map_err(|error| refused("no copy for overwriting it can be made", &error))?;
    fill(&mut file, bytes).map_err(|error| {
        // The former text has its space already.
        if fill(&mut file, &former).is_ok() {
            return refused("failed to overwrite it", &error);
        }
        let kept = copy.into_temp_path().keep().unwrap_or_default();
        let step = format!("failed to overwrite it; `{}` has its former text", kept.display());
        refused(&step, &error)
    })
}

/// A copy of `former` beside the first of `files` whose directory can be written.
fn copy(files: [&Path; 2], former: &[u8]) -> io::Result<NamedTempFile> {
    // Only a failure leaves it behind. `boot` removes temporary files, but no copy.
    let name = files[1].file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{}.before-", name.trim_start_matches('.'));
    let beside = |file: &Path| {
        let directory = file.parent().unwrap_or(file);
        let permissions = std::fs::Permissions::from_mode(0o600);
        let mut copy = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(permissions)
            .tempfile_in(directory)?;
        copy.write_all(former)?;
        copy.as_file().sync_all()?;
        fsutil::sync_directory(directory)?;
        Ok(copy)
    };
    beside(files[0]).or_else(|_| beside(files[1]))
}

fn fill(file: &mut fs::File, bytes: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}
