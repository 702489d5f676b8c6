//! [`ArchiveError`]: why an archive could not be written or read.

use std::io;

use thiserror::Error;

/// Why an archive could not be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The first bytes are not those of an archive.
    #[error("not a tar.zst or tar.gz archive")]
    Format,
    /// The archive has no member.
    #[error("the archive is empty")]
    Empty,
    /// The end of the archive is missing, or its content does not match a checksum.
    #[error("the archive is damaged or incomplete")]
    Damaged {
        /// The error of the decoder.
        source: io::Error,
    },
    /// The end of the archive is followed by more than zeros.
    #[error("data follows the end of the archive")]
    Trailing,
    /// A member is refused.
    #[error("{} {fault}", member(.entry))]
    Entry {
        /// The member's path, as the archive spells it.
        entry: String,
        /// Why the member is refused.
        fault: Fault,
    },
    /// An entry that was to be included can't be.
    #[error("can't include `{entry}`: {reason}")]
    Include {
        /// The entry, below the home.
        entry: String,
        /// Why, in one line.
        reason: String,
    },
    /// A file of the home can't be read.
    #[error("failed to read `{entry}`")]
    Read {
        /// The file, below the home.
        entry: String,
        /// Why.
        source: io::Error,
    },
    /// The archive, or a file from it, can't be written.
    #[error("failed to write `{entry}`")]
    Write {
        /// The member, or the archive.
        entry: String,
        /// Why.
        source: io::Error,
    },
}

/// A member in a message. The size of the archive may be exceeded before a name is read.
fn member(entry: &str) -> String {
    match entry {
        "" => "the beginning of the archive".to_owned(),
        entry => format!("`{entry}` in the archive"),
    }
}

impl ArchiveError {
    pub(super) fn damaged(reason: &'static str) -> Self {
        Self::Damaged { source: io::Error::new(io::ErrorKind::InvalidData, reason) }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Entry { fault: Fault::Big { .. } | Fault::Bomb { .. }, .. } => {
                Some("if you trust the archive, `--max-size` allows more")
            }
            _ => None,
        }
    }
}

/// Why a member is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The path begins with `/`.
    #[error("has an absolute path")]
    Absolute,
    /// The path contains `..`.
    #[error("has `..` in its path")]
    Climbs,
    /// The member is not below the top directory of the first member.
    #[error("is outside of the archive's top directory")]
    SecondTop,
    /// The top is not a directory.
    #[error("is the top of the archive, but not a directory")]
    TopIsNoDirectory,
    /// The name is not UTF-8, or has control characters.
    #[error("has a name that is not UTF-8 or has control characters")]
    OddName,
    /// The path, or a name in it, is empty or longer than file systems allow.
    #[error("has a name that is empty or too long")]
    LongName,
    /// The path has too many directories.
    #[error("is nested too deeply")]
    Deep,
    /// A link leads out of the archive, or may.
    #[error("is a link that leads out of the archive")]
    LinkOutside,
    /// A hard link's target is not an earlier file.
    #[error("is a hard link to a file that is not before it in the archive")]
    LinkToNothing,
    /// An earlier member on the path is not a directory.
    #[error("is below a member that is not a directory")]
    BelowNoDirectory,
    /// An earlier member has the same path.
    #[error("is a duplicate")]
    Twice,
    /// The member is not a file, a directory or a link.
    #[error("is a device, a pipe or a socket")]
    Special,
    /// The type of the member is not supported.
    #[error("has an unsupported type: a sparse file, or an unknown one")]
    Kind,
    /// The size is invalid.
    #[error("has an invalid size")]
    Size,
    /// The archive has too many bytes.
    #[error("makes it exceed the limit of {limit} bytes")]
    Big {
        /// The limit.
        limit: u64,
    },
    /// The archive has too many members.
    #[error("makes it exceed the limit of {limit} files")]
    Many {
        /// The limit.
        limit: u64,
    },
    /// The archive is compressed suspiciously well.
    #[error("makes it exceed {ratio} times its compressed size")]
    Bomb {
        /// The limit.
        ratio: u64,
    },
}
