//! The token: what whoever uses the dashboard has to know. Made once, and for its owner's eyes alone.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use fs_err as fs;
use hermes_core::fsutil;
use rustix::fs::OFlags;

use crate::error::{CliError, exit};

/// How many bytes of chance one has.
const BYTES: usize = 32;
/// Shorter ones could be guessed.
const SHORTEST: usize = 32;
const MODE: u32 = 0o600;

/// The token in the file at `path`, and whether it was made just now. One that others may read, or could
/// guess, is refused: that does not come right by itself.
pub(super) fn read_or_make(path: &Path) -> Result<(String, bool), CliError> {
    let failed = |error: io::Error| {
        let message = format!("failed to make the dashboard's token in `{}`", path.display());
        CliError::new(message).because(error).with_code(exit::FAILURE)
    };
    if let Some(home) = path.parent() {
        fs::create_dir_all(home).map_err(failed)?;
    }
    let fresh = fresh().map_err(failed)?;
    let made =
        fsutil::create_durably(path, format!("{fresh}\n").as_bytes(), MODE).map_err(failed)?;
    if made {
        return Ok((fresh, true));
    }
    let token = read(path).map_err(|why| {
        CliError::new(format!("the dashboard's token in `{}` is of no use", path.display()))
            .because(why)
            .with_hint("remove the file, and the next start makes another")
            .with_code(exit::CONFIG)
    })?;
    Ok((token, false))
}

fn fresh() -> io::Result<String> {
    let mut bytes = [0_u8; BYTES];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn read(path: &Path) -> Result<String, String> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(no_link).open(path);
    let file = file.map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let mode = metadata.mode() & 0o777;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if mode & 0o077 != 0 {
        return Err(format!("others may use it: its mode is {mode:04o} and not {MODE:04o}"));
    }
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me {
        return Err(format!("it belongs to uid {} and not to {me}", metadata.uid()));
    }
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let token = text.trim_ascii();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("it is not {SHORTEST} letters and digits or more"));
    }
    Ok(token.to_owned())
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let differ = |all: u8, (a, b): (u8, u8)| std::hint::black_box(all | (a ^ b));
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, differ) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
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
    fn what_others_may_read_or_guess_is_refused_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dashboard.token");
        let good = "0".repeat(SHORTEST);
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
            let read = read_or_make(&path).map_err(|error| error.code());
            let expected = if fits { Ok((good.clone(), false)) } else { Err(exit::CONFIG) };
            assert_eq!(read, expected, "{text:?} {mode:o}");
            fs::remove_file(&path).unwrap();
        }
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, &good).unwrap();
        fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert_eq!(read_or_make(&path).unwrap_err().code(), exit::CONFIG);
    }

    #[test]
    fn only_the_same_is_the_same() {
        assert!(is_same("abc", "abc"));
        for other in ["abd", "ab", "abcd", "", "xbc"] {
            assert!(!is_same("abc", other), "{other}");
        }
    }
}
