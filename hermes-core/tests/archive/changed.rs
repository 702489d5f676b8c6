//! Fuzz tests of archives: whatever the bytes, an import terminates, leaves nothing of a refused archive,
//! and changes nothing outside.

use std::fs;

use hermes_core::Intent;
use hermes_core::archive::{Archive, Limits};
use proptest::prelude::*;

use crate::kit::{Tar, TestEnv, entries, gz, name, zst};

/// An archive with files, directories, links of both kinds, long names and notes.
fn seed() -> Vec<u8> {
    Tar::new()
        .dir("a")
        .file("a/SOUL.md", b"soul")
        .file("a/config.yaml", b"gateway: {port: 9000}\n")
        .file("a/deep/er/file", &[7; 700])
        .hardlink("a/again", "a/SOUL.md")
        .symlink("a/link", "SOUL.md")
        .long_name(b'L', b"a/long/er\0")
        .file("a/long", b"x")
        .pax(b'x', "path", "a/noted")
        .file("a/note", b"x")
        .end()
}

/// Paths that lead out of the archive, each with its offset in a header.
const LURES: [(usize, &str); 8] = [
    (NAME, "a/../../out"),
    (NAME, "../out"),
    (NAME, "/tmp/out"),
    (NAME, "a/deep/../../../../out"),
    (NAME, "a/link/out"),
    (LINK, "../../out"),
    (LINK, "/etc/passwd"),
    (LINK, "a/../../../root/out"),
];
/// The offsets of a member's path and of a link's target in a header.
const NAME: usize = 0;
const LINK: usize = 157;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_lead_out_or_leave_anything(
        headers in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..512, any::<u8>()), 0..4),
        lure in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(LURES.to_vec()))),
        sums in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
        packed in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
        zstd in any::<bool>(),
    ) {
        let mut tar = seed();
        let blocks = tar.len() / 512;
        for (block, at, byte) in &headers {
            let block = block.index(blocks) * 512;
            // With a valid checksum, the change reaches the checks of names, sizes, types and links.
            tar[block + at] = *byte;
            if sums {
                restore_sum(&mut tar[block..block + 512]);
            }
        }
        if let Some((block, (field, path))) = lure {
            let header = &mut tar[block.index(blocks) * 512..][..512];
            header[field..field + 100].fill(0);
            header[field..field + path.len()].copy_from_slice(path.as_bytes());
            restore_sum(header);
        }
        if let Some(cut) = cut {
            tar.truncate(cut.index(tar.len()));
        }
        let mut archive = if zstd { zst(&tar) } else { gz(&tar) };
        for (at, bits) in packed {
            let at = at.index(archive.len());
            archive[at] ^= bits;
        }
        let env = TestEnv::new();
        let before = entries(env.dir.path());
        let limits = Limits::up_to(1 << 20);
        let imported = Archive::open(&archive[..], limits)
            .map_err(|error| error.to_string())
            .and_then(|archive| {
                env.store.import(archive, &name("new"), Intent::Stopped).map_err(|e| e.to_string())
            });
        let left: Vec<_> = match fs::exists(env.root().join("profiles")).unwrap() {
            true => env.profiles().into_iter().filter(|name| name != ".locks").collect(),
            false => Vec::new(),
        };
        prop_assert_eq!(left.len(), usize::from(imported.is_ok()), "{:?}: {:?}", imported, left);
        prop_assert_eq!(entries(env.dir.path()), before, "outside of the root home");
        let root: Vec<_> = entries(&env.root()).into_iter().filter(|it| it != "profiles").collect();
        prop_assert_eq!(root, Vec::<String>::new());
        if let Err(text) = imported {
            prop_assert!(text.len() < 2000 && !text.contains(char::is_control), "{text}");
        }
    }
}

/// Writes a valid checksum into the header, so that the import reads the rest of it.
fn restore_sum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
