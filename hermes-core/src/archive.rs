//! Archives of profiles: one tar, compressed, with one directory at its top.
//!
//! [`pack`] writes one from a home, [`Archive`] reads one that anybody may have made. Neither knows
//! what a profile is; [`Store::export`](crate::Store::export) and
//! [`Store::import`](crate::Store::import) do.
//!
//! Both go through a tree by directory descriptors, one name at a time, and follow no link. So
//! what is read lies in the home, and what is written lies in the directory that was given,
//! whatever an archive says and whoever changes the tree meanwhile.
//!
//! | file | what it does |
//! |---|---|
//! | `omit` | what an archive doesn't carry: secrets, tracker of a running process |
//! | `path` | which names and links may be in an archive, going out and coming in |
//! | `pack` | home to archive |
//! | `members` | archive to members, each checked, within [`Limits`] |
//! | `unpack` | members to directory |
//! | `error` | [`ArchiveError`], [`Fault`] |

mod error;
mod members;
mod omit;
mod pack;
mod path;
mod unpack;

use std::path::Path;

pub use error::{ArchiveError, Fault};
pub use omit::{LeftOut, Whose, Why};
pub use pack::{Packed, pack};
pub use unpack::Archive;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `tar.zst`.
    Zstd,
    /// `tar.gz`, which is what the Python agent writes and reads.
    Gzip,
}

impl Format {
    /// The endings of a file's name, and what each stands for.
    const ENDINGS: [(&str, Self); 4] = [
        (".tar.zst", Self::Zstd),
        (".tzst", Self::Zstd),
        (".tar.gz", Self::Gzip),
        (".tgz", Self::Gzip),
    ];

    /// What the ending of a file's name stands for, if anything.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        let meant =
            |(ending, _): &&(&str, Self)| name.ends_with(ending) && name.len() > ending.len();
        Self::ENDINGS.iter().find(meant).map(|(_, format)| *format)
    }

    /// What the first bytes of a file stand for, if anything. Its name may say what it likes.
    fn of_magic(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// How much an archive may ask for before it is refused.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many bytes it may be, unpacked, with tar's own.
    pub bytes: u64,
    /// How many members it may have.
    pub members: u64,
    /// How many times its own size it may become; `None` to trust it.
    pub ratio: Option<u64>,
    /// Up to so many bytes nobody asks for the ratio: a small file of zeros is no bomb.
    pub unsuspicious: u64,
}

impl Limits {
    /// What to allow if the user has said how many bytes to expect.
    pub fn up_to(bytes: u64) -> Self {
        Self { bytes, ratio: None, ..Self::default() }
    }
}

const MIB: u64 = 1024 * 1024;

impl Default for Limits {
    /// 10 GiB, a million members, and a ratio that text and databases don't reach.
    fn default() -> Self {
        Self {
            bytes: 10 * 1024 * MIB,
            members: 1_000_000,
            ratio: Some(1000),
            unsuspicious: 256 * MIB,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_name_says_the_format() {
        let of = |name: &str| Format::of_name(Path::new(name));
        for name in ["a.tar.zst", "/x/a.tzst", "a.b.tar.zst"] {
            assert_eq!(of(name), Some(Format::Zstd), "{name}");
        }
        for name in ["a.tar.gz", "a.tgz"] {
            assert_eq!(of(name), Some(Format::Gzip), "{name}");
        }
        for name in ["a", "a.zip", "a.tar", "a.gz", "a.zst", ".tar.gz", "a.tar.gz.", "a.TGZ", "/"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
