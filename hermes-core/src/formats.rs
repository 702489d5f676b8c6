//! Numbers of formats: what a newer version of Hermes wrote is neither read nor replaced, and the error says so.
//!
//! | what | its number |
//! |---|---|
//! | a slot of s6, systemd's template | `data/generation` in the slot, `Generation=` in the template |
//! | the journal of an adoption | `format` in the file; without one it is the first |
//! | the journal of a rename | a line `format N` at its beginning; without one it is the first |
//!
//! Events need none: a line that is not known is left out.

use std::path::Path;

/// The error for the file at `path`, if its format is newer than `ours`. What the file contains must not be decided on then.
pub fn refuse_newer(path: &Path, theirs: u32, ours: u32) -> Result<(), String> {
    if theirs <= ours {
        return Ok(());
    }
    Err(format!(
        "`{}` was written by a newer version of Hermes (format {theirs}; this version knows up to {ours})",
        path.display()
    ))
}

/// What to do after such an error.
pub const HINT: &str = "use the newer version, which may still be installed";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_named() {
        let path = Path::new("/x/generation");
        refuse_newer(path, 2, 3).unwrap();
        refuse_newer(path, 3, 3).unwrap();
        insta::assert_snapshot!(
            refuse_newer(path, 4, 3).unwrap_err(),
            @"`/x/generation` was written by a newer version of Hermes (format 4; this version knows up to 3)"
        );
    }
}
