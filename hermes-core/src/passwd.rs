//! Accounts in passwd(5), and this user's home directory.
//!
//! getpwuid(3) asks the modules of nsswitch.conf(5). A program that is linked statically must not load them: they belong to
//! the machine's C library, whose version may differ from the program's own, and then crash it. So the file is read here;
//! `hermes_host::Account` asks getent(1) for accounts that are not in it.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file with the machine's own accounts.
pub const FILE: &str = "/etc/passwd";

/// An account of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The user name.
    pub name: String,
    /// The user ID.
    pub uid: u32,
    /// The home directory.
    pub home: PathBuf,
}

impl Entry {
    /// Parses `name:password:uid:gid:comment:home:shell`; `None` for other lines, which the C library skips, too.
    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<_> = line.split(|byte| *byte == b':').collect();
        let [name, _, uid, _, _, home, ..] = fields.as_slice() else { return None };
        let is_name = !name.is_empty() && !matches!(name[0], b'#' | b'+' | b'-');
        let digits = uid.iter().all(u8::is_ascii_digit);
        let uid = str::from_utf8(uid).ok().filter(|_| is_name && digits)?.parse().ok()?;
        let name = str::from_utf8(name).ok()?.to_owned();
        Some(Self { name, uid, home: OsStr::from_bytes(home).into() })
    }
}

/// The first account with this user ID in the text of a passwd file, or in what `getent passwd` prints.
pub fn find(text: &[u8], uid: u32) -> Option<Entry> {
    text.split(|byte| *byte == b'\n').filter_map(Entry::parse).find(|entry| entry.uid == uid)
}

/// The first account with this user ID in `file`; `None` also if there is no such file.
pub fn read(file: &Path, uid: u32) -> io::Result<Option<Entry>> {
    match fs_err::read(file) {
        Ok(text) => Ok(find(&text, uid)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// This user's home directory: `HOME`, else the account's in [`FILE`].
pub fn home_dir() -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        #[expect(clippy::disallowed_methods, reason = "macOS has its accounts elsewhere")]
        return env::home_dir();
    }
    let home = env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let uid = rustix::process::getuid().as_raw();
    home.or_else(|| Some(read(FILE.as_ref(), uid).ok()??.home))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"# accounts\n\
        root:x:0:0:root:/root:/bin/sh\n\
        \n\
        short:x:7\n\
        signed:x:+7:7::/signed:/bin/sh\n\
        letters:x:seven:7::/letters:/bin/sh\n\
        large:x:4294967303:7::/large:/bin/sh\n\
        :x:7:7::/unnamed:/bin/sh\n\
        +nis:x:7:7::/nis:/bin/sh\n\
        \xff:x:7:7::/bytes:/bin/sh\n\
        hermes:x:7:7:A: /srv/\xff\n\
        second:x:7:7::/second:/bin/sh";

    #[test]
    fn the_first_valid_line_with_the_uid_counts() {
        let entry = find(TEXT, 7).unwrap();
        assert_eq!((entry.name.as_str(), entry.uid), ("hermes", 7));
        assert_eq!(entry.home.as_os_str().as_bytes(), b" /srv/\xff");
        assert_eq!(find(TEXT, 0).unwrap().home, Path::new("/root"));
        assert_eq!(find(TEXT, 8), None);
    }

    #[test]
    fn a_missing_file_has_no_accounts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(&dir.path().join("passwd"), 7).unwrap(), None);
        assert!(read(dir.path(), 7).is_err(), "a directory is not a file without accounts");
    }
}
