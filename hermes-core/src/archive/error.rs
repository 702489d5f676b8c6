//! Why an archive was not made, or was refused.

use std::io;

use thiserror::Error;

/// Why an archive was not made, or was refused.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The first bytes are those of something else.
    #[error("it is neither a tar.zst nor a tar.gz archive")]
    Format,
    /// There is no member in it.
    #[error("there is nothing in it")]
    Empty,
    /// Its end is missing, or its contents are not what was written.
    #[error("it is damaged or incomplete")]
    Damaged {
        /// What the reader said.
        source: io::Error,
    },
    /// More than zeros follows its end.
    #[error("something follows its end")]
    Trailing,
    /// A member asks for what no archive gets.
    #[error("`{entry}` in it {fault}")]
    Entry {
        /// The member's path, as the archive spells it.
        entry: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A file of the home can't be read.
    #[error("failed to read `{entry}`")]
    Read {
        /// The file, below the home.
        entry: String,
        /// Why.
        source: io::Error,
    },
    /// The archive, or what is in it, can't be written.
    #[error("failed to write `{entry}`")]
    Write {
        /// The member, or the archive.
        entry: String,
        /// Why.
        source: io::Error,
    },
}

impl ArchiveError {
    pub(super) fn damaged(what: &'static str) -> Self {
        Self::Damaged { source: io::Error::new(io::ErrorKind::InvalidData, what) }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Entry { fault: Fault::Big { .. } | Fault::Bomb { .. }, .. } => {
                Some("if you trust it, `--max-size` allows more")
            }
            _ => None,
        }
    }
}

/// What is wrong with one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Its path begins with `/`.
    #[error("has an absolute path")]
    Absolute,
    /// Its path has `..` in it.
    #[error("climbs out of the archive")]
    Climbs,
    /// It is not below the directory that the first member is in.
    #[error("is outside of the one directory that an archive has at its top")]
    SecondTop,
    /// The top is no directory.
    #[error("is no directory, which the top of an archive must be")]
    TopIsNoDirectory,
    /// Its name is not UTF-8, or has control characters.
    #[error("has a name that is not UTF-8, or has control characters in it")]
    OddName,
    /// It or a name in it is longer than file systems allow.
    #[error("has a name that is empty or too long")]
    LongName,
    /// Too many directories in each other.
    #[error("is too deep")]
    Deep,
    /// A link that leads out, or may.
    #[error("is a link to outside of the archive")]
    LinkOutside,
    /// A hard link to what is no file before it.
    #[error("is a hard link to what is no file in the archive before it")]
    LinkToNothing,
    /// A member before it is no directory, but it lies below it.
    #[error("lies below what is no directory")]
    BelowNoDirectory,
    /// Another member has its name.
    #[error("is there twice")]
    Twice,
    /// Neither file nor directory nor link.
    #[error("is a device, a pipe or a socket")]
    Special,
    /// A kind of member that only some programs know.
    #[error("is of a kind that is not supported: a sparse file, or an unknown one")]
    Kind,
    /// Its size makes no sense.
    #[error("has a size that makes no sense")]
    Size,
    /// More than may be unpacked.
    #[error("would make it more than the {limit} bytes that are allowed")]
    Big {
        /// What is allowed.
        limit: u64,
    },
    /// More members than may be unpacked.
    #[error("is one more than the {limit} files that are allowed")]
    Many {
        /// What is allowed.
        limit: u64,
    },
    /// Suspiciously well compressed.
    #[error("would make it more than {ratio} times as large as it is compressed")]
    Bomb {
        /// What is allowed.
        ratio: u64,
    },
}
