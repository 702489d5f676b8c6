//! Malicious and damaged archives: each is refused with one clear error and leaves nothing behind.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use hermes_core::archive::{Archive, Limits};
use hermes_core::error_chain::in_one_line;
use hermes_core::{Intent, ProfileName, RootHome, Store};
use tar::Header;

use crate::kit::{Tar, entries, gz, zst};

fn import(store: &Store, input: impl Read, limits: Limits) -> Result<(), String> {
    let name: ProfileName = "new".parse().unwrap();
    let archive = Archive::open(input, limits).map_err(|error| in_one_line(&error))?;
    let imported = store.import(archive, &name, Intent::Stopped);
    imported.map(drop).map_err(|error| in_one_line(&error))
}

/// Checks that an import fails with `expected` in the error, leaves nothing behind and changes nothing
/// outside.
#[track_caller]
fn refused_within(limits: Limits, input: impl Read, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("profiles")).unwrap();
    fs::write(dir.path().join("canary"), "alive").unwrap();
    fs::write(root.join("canary"), "alive").unwrap();
    let store = Store::new(RootHome::new(&root));
    let error = import(&store, input, limits).expect_err("it is to be refused");
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
    assert_eq!(entries(dir.path()), ["canary", "root"]);
    assert_eq!(entries(&root), ["canary", "profiles"]);
    let left: Vec<_> =
        entries(&root.join("profiles")).into_iter().filter(|name| name != ".locks").collect();
    assert_eq!(left, [""; 0]);
    for canary in [dir.path().join("canary"), root.join("canary")] {
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
        assert_eq!(fs::metadata(canary).unwrap().nlink(), 1);
    }
}

#[track_caller]
fn refused(archive: &[u8], expected: &str) {
    refused_within(Limits::default(), archive, expected);
}

/// The home that an archive becomes.
#[track_caller]
fn accepted(archive: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(RootHome::new(dir.path()));
    import(&store, archive, Limits::default()).unwrap();
    dir
}

#[test]
fn paths_that_lead_out_are_refused() {
    let climbs = "has `..` in its path";
    for path in ["a/../canary", "../canary", "a/b/../../../../canary", "a/.."] {
        let expected = format!("`{path}` in the archive {climbs}");
        refused(&Tar::new().file(path, b"x").gz(), &expected);
        refused(&Tar::new().dir(path).gz(), &expected);
        refused(&Tar::default().file(path, b"x").gz(), &expected);
        // The same path in the two formats for long names.
        let note = path.as_bytes();
        refused(&Tar::new().long_name(b'L', note).file("a/f", b"x").gz(), &expected);
        refused(&Tar::new().pax(b'x', "path", path).file("a/f", b"x").gz(), &expected);
    }
    refused(
        &Tar::new().file("/tmp/canary", b"x").gz(),
        "`/tmp/canary` in the archive has an absolute path",
    );
    let prefixed = Tar::new().raw(b'0', b"canary", b"x", |header| {
        let mut ustar = Header::new_ustar();
        ustar.set_size(1);
        ustar.as_old_mut().name[..6].copy_from_slice(b"canary");
        ustar.as_ustar_mut().unwrap().prefix[..4].copy_from_slice(b"a/..");
        *header = ustar;
    });
    refused(&prefixed.gz(), climbs);
}

#[test]
fn the_top_is_a_single_directory() {
    let outside = "`b/f` in the archive is outside of the archive's top directory";
    refused(&Tar::new().file("b/f", b"x").gz(), outside);
    refused(&Tar::new().pax(b'x', "path", "b/f").file("a/f", b"x").gz(), outside);
    refused(&Tar::new().file("canary", b"x").gz(), "`canary` in the archive is outside");
    let no_directory = "is the top of the archive, but not a directory";
    refused(&Tar::default().file("a", b"x").gz(), no_directory);
    refused(&Tar::default().symlink("a", "b").gz(), no_directory);
    refused(&Tar::default().dir("./").file("./SOUL.md", b"x").gz(), no_directory);
    refused(&Tar::default().dir("./").gz(), "the archive is empty");
    refused(&Tar::default().gz(), "the archive is empty");
}

#[test]
fn links_that_lead_out_are_refused() {
    let outside = "is a link that leads out of the archive";
    for target in ["/etc/passwd", "..", "../canary", "x/../../canary", "a/..", "/", "./../x"] {
        refused(&Tar::new().symlink("a/l", target).gz(), outside);
    }
    refused(&Tar::new().symlink("a/b/c/l", "../../../x").gz(), outside);
    // `a/here/..` would be one level above `a`.
    refused(&Tar::new().symlink("a/here", ".").symlink("a/l", "here/..").gz(), outside);
    let long = format!("../{}", "x/".repeat(100));
    refused(&Tar::new().long_name(b'K', long.as_bytes()).symlink("a/l", "x").gz(), outside);
    refused(&Tar::new().pax(b'x', "linkpath", "/etc").symlink("a/l", "x").gz(), outside);
    for target in ["/etc/passwd", "../canary", "b/SOUL.md", "a/../canary"] {
        refused(&Tar::new().hardlink("a/l", target).gz(), outside);
    }
    let nothing = "is a hard link to a file that is not before it in the archive";
    for target in ["a", "a/later", "a/d", "a/SOUL.md/x"] {
        refused(&Tar::new().dir("a/d").hardlink("a/l", target).file("a/later", b"").gz(), nothing);
    }
    refused(&Tar::new().symlink("a/s", "SOUL.md").hardlink("a/l", "a/s").gz(), nothing);
    refused(
        &Tar::new().dir("a/d").symlink("a/s", "d").file("a/d/f", b"").hardlink("a/l", "a/s/f").gz(),
        nothing,
    );
}

#[test]
fn nothing_is_written_through_a_link_or_over_anything() {
    let below = "`a/l/f` in the archive is below a member that is not a directory";
    refused(&Tar::new().dir("a/d").symlink("a/l", "d").file("a/l/f", b"x").gz(), below);
    refused(&Tar::new().dir("a/d").symlink("a/l", "d").dir("a/l/f").gz(), below);
    refused(&Tar::new().file("a/l", b"").file("a/l/f", b"x").gz(), below);
    let twice = "is a duplicate";
    refused(&Tar::new().file("a/SOUL.md", b"x").gz(), twice);
    refused(&Tar::new().symlink("a/l", "SOUL.md").file("a/l", b"x").gz(), twice);
    refused(&Tar::new().file("a/f", b"").symlink("a/f", "x").gz(), twice);
    refused(&Tar::new().file("a/f", b"").hardlink("a/f", "a/SOUL.md").gz(), twice);
    refused(&Tar::new().dir("a/d").symlink("a/l", "d").dir("a/l").gz(), "is below a member");
    refused(&Tar::new().file("a/f", b"").dir("a/f").gz(), "is below a member");
}

#[test]
fn special_files_are_refused() {
    for kind in *b"346" {
        refused(
            &Tar::new().special(kind).gz(),
            "`a/special` in the archive is a device, a pipe or a socket",
        );
    }
    for kind in *b"SDMVNAIz" {
        refused(&Tar::new().special(kind).gz(), "has an unsupported type");
    }
    let sparse = Tar::new().pax(b'x', "GNU.sparse.major", "1").file("a/f", b"x");
    refused(&sparse.gz(), "has an unsupported type");
    refused(&Tar::new().pax(b'g', "path", "a/x").gz(), "has an unsupported type");
}

#[test]
fn odd_names_are_refused() {
    let odd = "has a name that is not UTF-8 or has control characters";
    for name in [&b"a/\xff"[..], b"a/x\ny", b"a/\x1b[2J", b"a/\x7f", "a/\u{9b}2J".as_bytes()] {
        refused(&Tar::new().raw(b'0', name, b"", |_| {}).gz(), odd);
        refused(&Tar::new().long_name(b'L', name).file("a/f", b"").gz(), odd);
    }
    refused(&Tar::new().long_name(b'L', b"a/x\0/../y").file("a/f", b"").gz(), odd);
    refused(&Tar::new().long_name(b'L', b"a/x\0y").file("a/f", b"").gz(), odd);
    refused(&Tar::new().symlink("a/l", "x\u{7}").gz(), odd);
    let long = format!("a/{}", "n".repeat(256));
    refused(&Tar::new().long_name(b'L', long.as_bytes()).file("a/f", b"").gz(), "too long");
    let endless = "n".repeat(70_000);
    for kind in *b"LK" {
        refused(&Tar::new().long_name(kind, endless.as_bytes()).file("a/f", b"").gz(), "too long");
    }
    refused(&Tar::new().pax(b'x', "comment", &endless).file("a/f", b"").gz(), "too long");
    let deep = format!("a/{}f", "d/".repeat(100));
    refused(
        &Tar::new().long_name(b'L', deep.as_bytes()).file("a/f", b"").gz(),
        "is nested too deeply",
    );
    refused(&Tar::new().symlink("a/l", "").gz(), "empty or too long");
}

#[test]
fn sizes_and_numbers_have_limits() {
    let claims = |size| Tar::new().raw(b'0', b"a/big", b"", |header| header.set_size(size)).gz();
    let big = "`a/big` in the archive makes it exceed the limit of 10737418240 bytes";
    refused(&claims(u64::MAX), big);
    refused(&claims(1 << 40), big);
    refused(&claims(1000), "its end is missing");
    refused(&Tar::new().raw(b'5', b"a/d", b"xx", |_| {}).gz(), "has an invalid size");
    refused(&Tar::new().pax(b'x', "size", "9").file("a/f", b"x").gz(), "has an invalid size");
    refused(&Tar::new().pax(b'x', "size", "-1").file("a/f", b"x").gz(), "has an invalid size");
    let odd =
        Tar::new().raw(b'0', b"a/f", b"", |header| header.as_old_mut().size = *b"zzzzzzzzzzzz");
    refused(&odd.gz(), "has an invalid size");

    let limits = Limits { bytes: 10_000, ..Limits::default() };
    let many = (0..20).fold(Tar::new(), |tar, n| tar.file(&format!("a/{n}"), &[7; 600]));
    refused_within(limits, &*many.gz(), "exceed the limit of 10000 bytes");
    let limits = Limits { members: 5, ..Limits::default() };
    let many = (0..5).fold(Tar::new(), |tar, n| tar.file(&format!("a/{n}"), b""));
    refused_within(
        limits,
        &*many.gz(),
        "`a/3` in the archive makes it exceed the limit of 5 files",
    );
    let notes = (0..9).fold(Tar::new(), |tar, _| tar.pax(b'g', "comment", "x"));
    refused_within(limits, &*notes.gz(), "exceed the limit of 5 files");
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    // The header of a huge file of zeros, and more zeros than the limits allow to read.
    let header = Tar::new().raw(b'0', b"a/bomb", b"", |header| header.set_size(9 << 30)).0;
    let zeros = io::Read::chain(&*header, io::repeat(0).take(2 << 30));
    let bomb = zstd::stream::read::Encoder::new(zeros, 1).unwrap();
    let counted = std::cell::Cell::new(0);
    struct Counted<'a, R>(R, &'a std::cell::Cell<usize>);
    impl<R: Read> Read for Counted<'_, R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1.set(self.1.get() + read);
            Ok(read)
        }
    }
    let expected = "`a/bomb` in the archive makes it exceed 1000 times its compressed size";
    let limits = Limits { unsuspicious: 1 << 20, ..Limits::default() };
    refused_within(limits, Counted(bomb, &counted), expected);
    assert!(counted.get() < 100_000, "it was read to {}", counted.get());

    // The same after the end of the tar.
    let zeros = io::Read::chain(io::Cursor::new(Tar::new().end()), io::repeat(0).take(1 << 20));
    let limits = Limits { bytes: 100_000, ..Limits::default() };
    let endless = zstd::stream::read::Encoder::new(io::BufReader::new(zeros), 1).unwrap();
    refused_within(limits, endless, "exceed the limit of 100000 bytes");
}

#[test]
fn damaged_archives_are_refused() {
    let whole = Tar::new().file("a/f", &[b'x'; 5000]).end();
    for packed in [gz(&whole), zst(&whole)] {
        accepted(&packed);
        for length in [5, packed.len() / 2, packed.len() - 1] {
            refused(&packed[..length], "the archive is damaged or incomplete");
        }
        refused(&packed[..3], "");
        refused(
            &[&*packed, b"garbage that follows"].concat(),
            "the archive is damaged or incomplete",
        );
    }
    let mut flipped = gz(&whole);
    let middle = flipped.len() - 6;
    flipped[middle] ^= 1;
    refused(&flipped, "the archive is damaged or incomplete");
    // Valid compression of a truncated tar: in a file, in a header, before its end.
    for length in [whole.len() - 1024, whole.len() - 1024 - 3000, 700, 1024] {
        refused(&gz(&whole[..length]), "the archive is damaged or incomplete");
    }
    refused(&gz(&[&*whole, &[0; 512], b"garbage"].concat()), "data follows the end of the archive");
    refused(&gz(&[&*whole, &*Tar::new().file("../x", b"").end()].concat()), "data follows the end");
    let mut wrong = whole.clone();
    wrong[3] ^= 1;
    refused(&gz(&wrong), "a tar header has a wrong checksum");
    refused(&gz(b"PK\x03\x04 is what a zip begins with"), "its end is missing");
    for other in [&b""[..], b"PK\x03\x04 a zip", b"x", &whole] {
        refused(other, "not a tar.zst or tar.gz archive");
    }
}

#[test]
fn well_known_names_need_the_right_type() {
    let tar = || Tar::default().dir("a/");
    let soul = "`SOUL.md` in the archive is not a file";
    refused(&tar().dir("a/SOUL.md").gz(), soul);
    refused(&tar().symlink("a/SOUL.md", "nowhere").gz(), soul);
    let config = "`config.yaml` in the archive is not a file";
    refused(&tar().symlink("a/config.yaml", "config.yaml").gz(), config);
    refused(&tar().file("a/logs", b"").gz(), "`logs` in the archive is not a directory");
    let dotenv = "`.env` in the archive is not a file";
    refused(&tar().dir("a/.env/").gz(), dotenv);
    refused(&tar().symlink("a/.env", "later.env").gz(), dotenv);
}

#[test]
fn modes_are_tamed_and_traces_dropped() {
    let with = |mode| {
        move |header: &mut Header| {
            header.set_mode(mode);
            header.set_uid(12345);
            header.set_gid(12345);
        }
    };
    let tar = Tar::new()
        .raw(b'0', b"a/suid", b"x", with(0o6777))
        .raw(b'0', b"a/shut", b"x", with(0))
        .raw(b'0', b"a/.env", b"S=1", with(0o666))
        .raw(b'0', b"a/home/.ssh/id", b"key", with(0o666))
        .raw(b'5', b"a/d", b"", with(0o7777))
        .raw(b'5', b"a/e", b"", with(0o055))
        .file("a/gateway.pid", b"1")
        .file("a/gateway.intent", b"running")
        .dir("a/gateway_state.json")
        .file("a/gateway_state.json/x", b"running")
        .file("a/e/f", b"")
        .hardlink("a/again", "a/suid")
        .symlink("a/l", "e/f");
    let dir = accepted(&tar.gz());
    let home = dir.path().join("profiles/new");
    let mode = |path: &str| fs::metadata(home.join(path)).unwrap().permissions().mode() & 0o7777;
    let modes = ["suid", "shut", ".env", "home/.ssh/id", "d", "e", "."].map(mode);
    assert_eq!(modes, [0o755, 0o600, 0o600, 0o600, 0o755, 0o755, 0o755]);
    let me = fs::metadata(&home).unwrap().uid();
    assert_eq!(fs::metadata(home.join("suid")).unwrap().uid(), me, "the importing user owns it");
    assert_eq!(fs::metadata(home.join("again")).unwrap().nlink(), 2);
    assert_eq!(fs::metadata(home.join("suid")).unwrap().mtime(), 1);
    assert_eq!(fs::read_to_string(home.join("gateway.intent")).unwrap(), "stopped\n");
    assert_eq!(fs::read_to_string(home.join(".env")).unwrap(), "S=1", "the archive's file is kept");
    let all = entries(&home);
    assert!(
        !all.iter().any(|name| name == "gateway.pid" || name == "gateway_state.json"),
        "{all:?}"
    );
}

#[test]
fn a_secret_is_closed_however_it_arrives() {
    let open = |kind: u8, path: &'static str, mode| {
        move |tar: Tar| tar.raw(kind, path.as_bytes(), b"", move |header| header.set_mode(mode))
    };
    let file = open(b'0', "a/plain", 0o644);
    let ways: [(&str, Tar); 8] = [
        ("mode bits", open(b'0', "a/.env", 0o6777)(Tar::new())),
        ("no mode bits", open(b'0', "a/.env", 0)(Tar::new())),
        ("a hard link", file(Tar::new()).hardlink("a/.env", "a/plain")),
        (
            "a hard link's link",
            file(Tar::new()).hardlink("a/b", "a/plain").hardlink("a/.env", "a/b"),
        ),
        ("a link", file(Tar::new()).symlink("a/.env", "plain")),
        ("a link to a later member", file(Tar::new().symlink("a/.env", "./plain"))),
        ("a link's link", file(Tar::new().symlink("a/.env", "d/l").symlink("a/d/l", "../plain"))),
        (
            "a link to a hard link",
            file(Tar::new()).hardlink("a/other", "a/plain").symlink("a/.env", "other"),
        ),
    ];
    for (how, tar) in ways {
        let dir = accepted(&tar.gz());
        let path = dir.path().join("profiles/new/.env");
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{how}: mode {mode:o}");
    }
    // Other secrets, and directories of them.
    let tar = open(b'5', "a/keys", 0o755)(Tar::new())
        .symlink("a/home/.ssh", "../keys")
        .symlink("a/loop.env", "loop.env")
        .symlink("a/auth.json.corrupt", "token");
    let dir = accepted(&open(b'0', "a/token", 0o644)(open(b'5', "a/.aws", 0o755)(tar)).gz());
    let home = dir.path().join("profiles/new");
    let mode = |path: &str| fs::metadata(home.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["keys", ".aws", "token", "SOUL.md"].map(mode), [0o700, 0o700, 0o600, 0o644]);
}

#[test]
fn archives_of_other_programs_are_read() {
    let long = format!("a/{}/{}", "d".repeat(120), "f".repeat(200));
    let tar = Tar::default()
        .pax(b'g', "comment", "a commit")
        .dir("./")
        .pax(b'x', "mtime", "1.5")
        .dir("./a/")
        .dir("a")
        .pax(b'x', "size", "4")
        .file("a//SOUL.md", b"soul")
        .raw(b'\0', b"a/old", b"old", |_| {})
        .pax(b'x', "path", &long)
        .file("a/short", b"long")
        .long_name(b'L', format!("{long}2\0").as_bytes())
        .pax(b'x', "mtime", "1.5")
        .file("a/short", b"long, too");
    let dir = accepted(&tar.gz());
    let read = |path: &str| fs::read_to_string(dir.path().join("profiles/new").join(path)).unwrap();
    assert_eq!((read("SOUL.md"), read("old")), ("soul".to_owned(), "old".to_owned()));
    assert_eq!(
        (read(&long[2..]), read(&format!("{}2", &long[2..]))),
        ("long".to_owned(), "long, too".to_owned())
    );
}
