//! Which names and links may be in an archive, going out and coming in.
//!
//! An export leaves out what an import would refuse, by the same functions.

use super::error::Fault;

/// The longest path of a member, in bytes (Linux's `PATH_MAX`).
pub(super) const MAX_PATH: usize = 4096;
/// The longest name in it, in bytes (Linux's `NAME_MAX`).
const MAX_NAME: usize = 255;
/// How deep directories may be nested: each level is an open descriptor while it is gone through.
pub(super) const MAX_DEPTH: usize = 100;

/// The names in the path of a member, top directory first. None at all for `.` itself.
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

/// One name that a file may have in an archive.
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

/// Checks where a symbolic link points which lies in a directory `depth` levels below the home.
///
/// Climbing is allowed at the beginning only, as far as the home: there it starts from a real
/// directory, so how far it leads can be counted. Behind a name it can't, for that name may be a
/// link itself: with `a -> .` in place, `a/..` is outside.
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
    fn paths_are_taken_apart_or_refused() {
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
    fn links_point_to_where_they_can_be_followed_without_leaving() {
        let fine = |target: &str, depth| link(target.as_bytes(), depth).is_ok();
        for (target, depth) in
            [("a", 0), ("a/b", 0), ("./a", 0), ("..", 1), ("../a/b", 1), ("../..", 2), ("a//b/", 0)]
        {
            assert!(fine(target, depth), "{target} at {depth}");
        }
        for (target, depth) in
            [("/a", 9), ("", 0), ("..", 0), ("../..", 1), ("a/..", 5), ("../a/../b", 5), ("a\n", 0)]
        {
            assert!(!fine(target, depth), "{target:?} at {depth}");
        }
    }
}
