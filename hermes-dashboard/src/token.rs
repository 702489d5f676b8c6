//! The token: the secret in every request, except those for the page. The first start creates it, in a file
//! that only its owner can read.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use fs_err as fs;
use hermes_core::{fsutil, writers};
use rustix::fs::OFlags;

use crate::error::{DashboardError, UnusableToken};

/// The random bytes of a new token.
const BYTES: usize = 32;
/// The minimum length; shorter tokens could be guessed.
const MIN_LENGTH: usize = 32;
const MODE: u32 = 0o600;

/// The token in the file at `path`, and whether this call created it. A token that other users may read, or
/// that is too short, is an error.
pub(crate) fn read_or_make(path: &Path) -> Result<(String, bool), DashboardError> {
    let failed = |source| DashboardError::MakeToken { path: path.to_owned(), source };
    if let Some(home) = path.parent() {
        writers::create_directory(home).map_err(failed)?;
    }
    let new_token = random().map_err(failed)?;
    let made =
        fsutil::create_durably(path, format!("{new_token}\n").as_bytes(), MODE).map_err(failed)?;
    if made {
        return Ok((new_token, true));
    }
    let unusable = |source| DashboardError::Token { path: path.to_owned(), source };
    Ok((read(path).map_err(unusable)?, false))
}

/// A new token.
pub(crate) fn random() -> io::Result<String> {
    let mut bytes = [0_u8; BYTES];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn read(path: &Path) -> Result<String, UnusableToken> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(no_link).open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    if !metadata.is_file() {
        return Err(UnusableToken::NotAFile);
    }
    if mode & 0o077 != 0 {
        return Err(UnusableToken::OpenToOthers { mode });
    }
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != me {
        return Err(UnusableToken::Foreign { owner, me });
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text)?;
    let token = text.trim_ascii();
    if token.len() < MIN_LENGTH || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UnusableToken::Weak { shortest: MIN_LENGTH });
    }
    Ok(token.to_owned())
}

/// Compares two texts in constant time.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let differ = |all: u8, (a, b): (u8, u8)| std::hint::black_box(all | (a ^ b));
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, differ) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_token_is_created_once_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home/dashboard.token");
        let (token, new) = read_or_make(&path).unwrap();
        assert!(new && token.len() == 2 * BYTES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&path).unwrap(), (token.clone(), false));
        fs::remove_file(&path).unwrap();
        assert_ne!(read_or_make(&path).unwrap().0, token);
    }

    #[test]
    fn unsafe_tokens_are_permanent_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dashboard.token");
        let good = "0".repeat(MIN_LENGTH);
        for (text, mode, fits) in [
            (good.as_str(), 0o600, true),
            (good.as_str(), 0o400, true),
            (good.as_str(), 0o640, false),
            (good.as_str(), 0o604, false),
            ("", 0o600, false),
            (&good[1..], 0o600, false),
            (&format!("{good} {good}"), 0o600, false),
        ] {
            fs::write(&path, format!("{text}\n")).unwrap();
            fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            match read_or_make(&path) {
                Ok(read) => assert!(fits && read == (good.clone(), false), "{text:?} {mode:o}"),
                Err(error) => assert!(!fits && error.is_permanent(), "{text:?} {mode:o}: {error}"),
            }
            fs::remove_file(&path).unwrap();
        }
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, &good).unwrap();
        fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(read_or_make(&path).unwrap_err().is_permanent());
    }

    #[test]
    fn comparison_is_exact() {
        assert!(is_same("abc", "abc"));
        for other in ["abd", "ab", "abcd", "", "xbc"] {
            assert!(!is_same("abc", other), "{other}");
        }
    }
}
