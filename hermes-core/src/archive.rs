//! Archives of profiles: compressed tar files with one top directory.
//!
//! [`pack`] writes an archive of a home, [`Archive`] reads an untrusted one. Neither knows profiles;
//! [`Store::export`](crate::Store::export) and [`Store::import`](crate::Store::import) do.
//!
//! Both walk directories by descriptors, one name at a time, and follow no link. So an export reads only
//! below the home and an import writes only below the given directory, whatever the archive contains and
//! even if other processes change the directories meanwhile.
//!
//! | file | contents |
//! |---|---|
//! | `taken` | the entries of a home that an archive takes, and why it leaves out the others |
//! | `secret` | secrets by name |
//! | `path` | the names and links that an archive may contain |
//! | `pack` | home to archive |
//! | `members` | archive to members, each checked, within [`Limits`] |
//! | `unpack` | members to directory |
//! | `error` | [`ArchiveError`], [`Fault`] |

mod error;
mod members;
mod pack;
mod path;
mod secret;
mod taken;
mod unpack;

use std::path::Path;

pub use error::{ArchiveError, Fault};
pub use pack::{Packed, pack};
pub use taken::{HomeKind, Include, LeftOut, Why};
pub use unpack::Archive;

/// The compression of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `tar.zst`.
    Zstd,
    /// `tar.gz`, the format of the Python agent.
    Gzip,
}

impl Format {
    /// File extensions and their formats.
    const EXTENSIONS: [(&str, Self); 4] = [
        (".tar.zst", Self::Zstd),
        (".tzst", Self::Zstd),
        (".tar.gz", Self::Gzip),
        (".tgz", Self::Gzip),
    ];

    /// The format that the extension of a file name means, if any.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        let matches = |(extension, _): &&(&str, Self)| {
            name.ends_with(extension) && name.len() > extension.len()
        };
        Self::EXTENSIONS.iter().find(matches).map(|(_, format)| *format)
    }

    /// The format that the first bytes of a file mean, if any. An import ignores the name.
    fn of_magic(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// Limits of an archive. An archive above a limit is refused.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum size of the uncompressed tar, in bytes.
    pub bytes: u64,
    /// The maximum number of members.
    pub members: u64,
    /// The maximum ratio of the uncompressed size to the compressed one; `None` for no limit.
    pub ratio: Option<u64>,
    /// The ratio is not checked up to this many bytes: a small file of zeros is harmless.
    pub unsuspicious: u64,
}

impl Limits {
    /// The limits for a user who has set the maximum size: no limit on the ratio.
    pub fn up_to(bytes: u64) -> Self {
        Self { bytes, ratio: None, ..Self::default() }
    }
}

const MIB: u64 = 1024 * 1024;

impl Default for Limits {
    /// 10 GiB, a million members, and a ratio above that of text and databases.
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
    fn the_extension_decides_the_format() {
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
