//! The path of the running program, for more processes of it.

use std::path::{Path, PathBuf};
use std::{env, io};

/// What the kernel adds to the path of a program that no longer has a name.
const DELETED: &str = " (deleted)";

/// The path of the running program. If another file has taken its name, as an upgrade does, that file is the program
/// from now on.
///
/// Source: `/proc/pid/exe` in [proc_pid_exe(5)](https://man7.org/linux/man-pages/man5/proc_pid_exe.5.html).
///
/// # Errors
///
/// If the path is unknown, or if nothing has its name any more.
pub fn path() -> io::Result<PathBuf> {
    standing_at(env::current_exe()?)
}

fn standing_at(named: PathBuf) -> io::Result<PathBuf> {
    let Some(former) = named.to_str().and_then(|name| name.strip_suffix(DELETED)) else {
        return Ok(named);
    };
    if named.exists() {
        return Ok(named);
    }
    let former = Path::new(former);
    let removed = || {
        let why = format!("the program `{}` was removed while it runs", former.display());
        io::Error::new(io::ErrorKind::NotFound, why)
    };
    if former.exists() { Ok(former.to_owned()) } else { Err(removed()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_the_file_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("hermes");
        let deleted = dir.path().join("hermes (deleted)");
        let error = standing_at(deleted.clone()).unwrap_err().to_string();
        assert!(error.contains("hermes` was removed"), "{error}");
        fs::write(&program, "").unwrap();
        assert_eq!(standing_at(program.clone()).unwrap(), program);
        assert_eq!(standing_at(deleted.clone()).unwrap(), program);
        fs::write(&deleted, "").unwrap();
        assert_eq!(standing_at(deleted.clone()).unwrap(), deleted, "it really has that name");
    }
}
