//! The names and links that an archive may contain.
//!
//! Exports and imports check with the same functions: an export omits entries that an import would refuse.

use super::error::Fault;

/// The maximum length of a path, in bytes (Linux's `PATH_MAX`).
pub(super) const MAX_PATH: usize = 4096;
/// The maximum length of a name in a path, in bytes (Linux's `NAME_MAX`).
const MAX_NAME: usize = 255;
/// The maximum depth of directories: an export holds a descriptor open for each level.
pub(super) const MAX_DEPTH: usize = 100;

/// The names in the path of a member, top directory first; empty for `.`.
pub(super) fn names(path: &[u8]) -> Result<Vec<String>, Fault> {
    if path.len() > MAX_PATH {
        return Err(Fault::LongName);
    }
    if path.first() == Some(&b'/') {
        return Err(Fault::Absolute);
    }
    let mut names = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Fault::Climbs),
            name => names.push(name_of(name)?.to_owned()),
        }
    }
    if names.len() > MAX_DEPTH {
        return Err(Fault::Deep);
    }
    Ok(names)
}

/// Checks a single name.
pub(super) fn name_of(bytes: &[u8]) -> Result<&str, Fault> {
    let name = str::from_utf8(bytes).map_err(|_| Fault::OddName)?;
    if name.len() > MAX_NAME {
        return Err(Fault::LongName);
    }
    if name.chars().any(char::is_control) {
        return Err(Fault::OddName);
    }
    Ok(name)
}

/// Checks the target of a symbolic link that is in a directory `depth` levels below the home.
///
/// `..` is allowed only at the beginning, and only up to the home: there it starts from a real
/// directory, so the levels can be counted. After a name they can't, because that name may be a link:
/// if `a` links to `.`, `a/..` is outside.
pub(super) fn link(target: &[u8], depth: usize) -> Result<&str, Fault> {
    if target.first() == Some(&b'/') {
        return Err(Fault::LinkOutside);
    }
    if target.is_empty() || target.len() > MAX_PATH {
        return Err(Fault::LongName);
    }
    let (mut climbed, mut named) = (0, false);
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if named || climbed == depth => return Err(Fault::LinkOutside),
            b".." => climbed += 1,
            name => {
                name_of(name)?;
                named = true;
            }
        }
    }
    str::from_utf8(target).map_err(|_| Fault::OddName)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_or_refused() {
        let read = |path: &str| names(path.as_bytes()).map_err(|fault| fault.to_string());
        assert_eq!(read("a/b/c").unwrap(), ["a", "b", "c"]);
        assert_eq!(read("./a//b/./").unwrap(), ["a", "b"]);
        assert_eq!(read("a/.../..b").unwrap(), ["a", "...", "..b"]);
        assert_eq!(read("./").unwrap(), [""; 0]);
        for bad in ["/a", "//a", "..", "a/../b", "a/..", "a\nb", "a\0b", "a/\u{1b}[2J"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(names(b"a/\xff").is_err());
        assert!(read(&"n".repeat(255)).is_ok() && read(&"n".repeat(256)).is_err());
        assert!(
            read(&"d/".repeat(MAX_DEPTH)).is_ok() && read(&"d/".repeat(MAX_DEPTH + 1)).is_err()
        );
    }

    #[test]
    fn links_that_may_lead_out_are_refused() {
        let valid = |target: &str, depth| link(target.as_bytes(), depth).is_ok();
        for (target, depth) in
            [("a", 0), ("a/b", 0), ("./a", 0), ("..", 1), ("../a/b", 1), ("../..", 2), ("a//b/", 0)]
        {
            assert!(valid(target, depth), "{target} at {depth}");
        }
        for (target, depth) in
            [("/a", 9), ("", 0), ("..", 0), ("../..", 1), ("a/..", 5), ("../a/../b", 5), ("a\n", 0)]
        {
            assert!(!valid(target, depth), "{target:?} at {depth}");
        }
    }
}
