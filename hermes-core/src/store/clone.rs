//! What a new profile takes over from another one: configuration and character, but no conversations and no state.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use fs_err as fs;

use crate::fsutil;

/// What is copied, as the Python agent's own `profile create --clone` does: the configuration, the secrets, the character,
/// the skills, and what it was told to remember. Conversations, logs and state stay behind.
const COPIED: [&str; 6] =
    ["config.yaml", ".env", "SOUL.md", "skills", "memories/MEMORY.md", "memories/USER.md"];

/// Copies [`COPIED`] of the home at `from` into the new one at `to`. A link to a file becomes a file of its own. Only the
/// owner can read the copied `.env`.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for path in COPIED {
        let (from, to) = (from.join(path), to.join(path));
        if fsutil::exists(&from)? {
            if let Some(directory) = to.parent() {
                fs::create_dir_all(directory)?;
            }
            copy_tree(&fsutil::resolve(&from)?, &to)?;
        }
    }
    let dotenv = to.join(".env");
    match fsutil::exists(&dotenv)? {
        true => fs::set_permissions(dotenv, Permissions::from_mode(0o600)),
        false => Ok(()),
    }
}

/// Copies a file or a directory with its mode. Links below a directory stay links; sockets, FIFOs and devices are left out.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let file_type = metadata.file_type();
    if file_type.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if file_type.is_file() {
        return fs::copy(from, to).map(drop);
    }
    if file_type.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        // Last: one without the right to write would take nothing.
        fs::set_permissions(to, metadata.permissions())?;
    }
    Ok(())
}
