//! Round trips: what an export and an import keep, and what they omit.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use hermes_core::archive::{Archive, Format, HomeKind, Limits, Why, pack};
use hermes_core::store::StoreError;
use hermes_core::{Intent, ProfileName};
use proptest::prelude::*;
use rustix::fs::CWD;

use crate::kit::{BOTH, TestEnv, entries, members, name, tree, unpacked, write};

/// Secrets, in the order of an export.
const SECRETS: [&str; 7] = [
    ".env",
    ".env.bak",
    "auth.json",
    "auth.json.corrupt",
    "cron/.env",
    "google_oauth_pending.json",
    "workspace/meetings/auth.json",
];
/// Files that are not on the list, each in another entry of the home.
const UNLISTED: [&str; 6] = [
    "cache/images/a",
    "gateway.json",
    "home/notes",
    "new_in_the_next_version.db",
    "platforms/whatsapp/session/creds.json",
    "state-snapshots/1/config.yaml",
];

#[test]
fn a_profile_survives_but_for_secrets_and_traces() {
    for format in BOTH {
        let env = TestEnv::new();
        let coder = env.create("coder");
        let home = coder.home.path();
        for secret in SECRETS.into_iter().chain(UNLISTED) {
            write(home, secret, "sk-secret");
        }
        for trace in ["gateway.pid", "gateway.lock", "hermes-gateway.lock", "gateway_state.json"] {
            write(home, trace, "trace");
        }
        write(home, "SOUL.md", "a soul");
        write(home, "state.db-wal", "transactions");
        write(home, "workspace/Cargo.lock", "no lock");
        symlink("../workspace/Cargo.lock", home.join("logs/inside")).unwrap();
        symlink("/etc/passwd", home.join("logs/outside")).unwrap();
        rustix::fs::mkfifoat(CWD, home.join("logs/fifo"), rustix::fs::Mode::RWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(home.join("logs/socket")).unwrap();
        let (bytes, packed) = env.export(&coder, format);
        let expected = [
            "coder/",
            "coder/SOUL.md",
            "coder/config.yaml",
            "coder/cron/",
            "coder/logs/",
            "coder/logs/inside",
            "coder/state.db-wal",
            "coder/workspace/",
            "coder/workspace/Cargo.lock",
            "coder/workspace/meetings/",
        ];
        assert_eq!(members(&bytes), expected);
        assert_eq!(packed.files, 4);
        let special = packed.left_out.iter().filter(|left| left.why == Why::Special);
        let special: Vec<_> = special.map(|left| left.path.to_str().unwrap()).collect();
        assert_eq!(special, ["logs/fifo", "logs/socket"]);
        let outside = packed.left_out.iter().find(|left| left.path == Path::new("logs/outside"));
        assert!(matches!(outside.unwrap().why, Why::Refused(_)));

        let left_out = |why| {
            let left = packed.left_out.iter().filter(move |left| left.why == why);
            left.map(|left| left.path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(left_out(Why::Secret), SECRETS);
        assert_eq!(left_out(Why::Unlisted), UNLISTED.map(|path| path.split('/').next().unwrap()));

        let two = env.import(&bytes, "two");
        let home = two.home.path();
        assert_eq!(fs::read_to_string(home.join("SOUL.md")).unwrap(), "a soul");
        assert_eq!(fs::read_to_string(home.join("logs/inside")).unwrap(), "no lock");
        assert_eq!(Intent::read(&two.home).unwrap(), Intent::Stopped, "intent is not carried");
        let dotenv = fs::read_to_string(home.join(".env")).unwrap();
        assert!(dotenv.starts_with("# Secrets"), "as `create` makes it: {dotenv}");
        assert_eq!(env.profiles(), [".locks", "coder", "two"]);
    }
}

#[test]
fn an_archive_appears_whole_and_private() {
    let env = TestEnv::new();
    let coder = env.create("coder");
    // The archive is in the exported home, but not in itself.
    let to = coder.home.path().join("logs/coder.tar.zst");
    let export = |replace| env.store.export(&coder, &[], &to, Format::Zstd, replace);
    export(false).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&to).unwrap();
    assert!(
        !members(&bytes).iter().any(|member| member.contains("export")),
        "the archive contains itself"
    );
    let error = export(false).unwrap_err();
    assert!(matches!(error, StoreError::FileExists { .. }), "{error}");
    assert_eq!(fs::read(&to).unwrap(), bytes);
    fs::write(&to, "older").unwrap();
    export(true).unwrap();
    env.import(&fs::read(&to).unwrap(), "two");

    let gone = env.dir.path().join("nowhere/coder.tar.zst");
    env.store.export(&coder, &[], &gone, Format::Zstd, false).unwrap_err();
    assert_eq!(entries(to.parent().unwrap()), ["coder.tar.zst"]);
}

#[test]
fn default_is_imported_under_another_name() {
    let env = TestEnv::new();
    env.create("other");
    let root = env.root();
    for path in ["SOUL.md", "config.yaml", "skills/a/SKILL.md", "logs/agent.log", "cron/jobs.json"]
    {
        write(&root, path, "its own");
    }
    for path in
        ["active_profile", "logs/gateways/other/current", "logs/container-boot.log", ".bashrc", "x"]
    {
        write(&root, path, "not its own");
    }
    let default = env.store.get(&ProfileName::default_profile()).unwrap();
    let (bytes, packed) = env.export(&default, Format::Gzip);
    let expected = [
        "default/",
        "default/SOUL.md",
        "default/config.yaml",
        "default/cron/",
        "default/cron/jobs.json",
        "default/logs/",
        "default/logs/agent.log",
        "default/skills/",
        "default/skills/a/",
        "default/skills/a/SKILL.md",
    ];
    assert_eq!(members(&bytes), expected);
    let left_out = |why| {
        let left = packed.left_out.iter().filter(move |left| left.why == why);
        left.map(|left| left.path.to_str().unwrap()).collect::<Vec<_>>()
    };
    let expected = ["active_profile", "logs/container-boot.log", "logs/gateways", "profiles"];
    assert_eq!(left_out(Why::NotOwn), expected);
    assert_eq!(left_out(Why::Unlisted), [".bashrc", "x"]);
    let archive = Archive::open(&*bytes, Limits::default()).unwrap();
    assert_eq!(archive.top(), "default");
    let error = env.store.import(archive, &ProfileName::default_profile(), Intent::Stopped);
    assert!(matches!(error, Err(StoreError::OntoDefault)), "{error:?}");
    assert_eq!(fs::read_to_string(root.join("SOUL.md")).unwrap(), "its own");
    let two = env.import(&bytes, "two");
    assert_eq!(fs::read_to_string(two.home.path().join("logs/agent.log")).unwrap(), "its own");
}

#[test]
fn an_include_is_taken_and_must_exist() {
    let env = TestEnv::new();
    let coder = env.create("coder");
    let home = coder.home.path();
    for path in ["home/notes", "home/.ssh/id", "cache/x", "gateway.pid"] {
        write(home, path, "content");
    }
    symlink("home", home.join("link")).unwrap();
    fs::set_permissions(coder.home.dotenv(), fs::Permissions::from_mode(0o644)).unwrap();
    let export = |include: &[&str]| {
        let include: Vec<_> = include.iter().map(|path| path.parse().unwrap()).collect();
        let mut bytes = Vec::new();
        env.store
            .export_to(&coder, &include, &mut bytes, Format::Zstd)
            .map(|packed| (bytes, packed))
    };
    let (bytes, packed) = export(&["home", ".env", "link"]).unwrap();
    let all = members(&bytes);
    for member in ["coder/home/notes", "coder/.env", "coder/link"] {
        assert!(all.iter().any(|path| path == member), "{member}: {all:?}");
    }
    assert!(!all.iter().any(|path| path.contains("/.ssh")), "{all:?}");
    let left: Vec<_> = packed.left_out.iter().map(|left| left.path.to_str().unwrap()).collect();
    assert_eq!(left, ["cache", "gateway.intent", "gateway.pid", "home/.ssh"]);
    let two = env.import(&bytes, "two");
    assert_eq!(fs::metadata(two.home.dotenv()).unwrap().permissions().mode() & 0o777, 0o600);
    for (path, reason) in [
        ("gateway.pid", "is a trace of a running process"),
        ("absent/x", "No such file or directory"),
        ("home/absent", "No such file or directory"),
        ("link/notes", "Not a directory"),
    ] {
        let error = std::error::Error::source(&export(&[path]).unwrap_err()).unwrap().to_string();
        assert!(error.contains(path) && error.contains(reason), "{error}");
    }
}

#[test]
fn a_taken_port_is_replaced() {
    let env = TestEnv::new();
    let coder = env.create("coder");
    let text = "# mine\nmodel: x\ngateway:\n  port: 9000 # here\n";
    fs::write(coder.home.config(), text).unwrap();
    let (bytes, _) = env.export(&coder, Format::Zstd);
    let import = |profile: &str| {
        let archive = Archive::open(&*bytes, Limits::default()).unwrap();
        env.store.import(archive, &name(profile), Intent::Stopped).unwrap()
    };
    let two = import("two");
    assert_eq!(two.taken_port, Some(9000));
    let port = env.store.port(&two.profile).unwrap().unwrap();
    assert_ne!(port, 9000);
    let expected = format!("# mine\nmodel: x\ngateway:\n  port: {port} # here\n");
    assert_eq!(fs::read_to_string(two.profile.home.config()).unwrap(), expected);
    env.store.delete(&name("coder"), false).unwrap();
    let three = import("three");
    assert_eq!(three.taken_port, None, "no other profile has it now");
    assert_eq!(fs::read_to_string(three.profile.home.config()).unwrap(), text);
}

#[test]
fn import_refuses_taken_and_reserved_names() {
    let env = TestEnv::new();
    let coder = env.create("coder");
    write(coder.home.path(), "SOUL.md", "one");
    let (bytes, _) = env.export(&coder, Format::Zstd);
    write(coder.home.path(), "SOUL.md", "two");
    let import = |to| {
        let archive = Archive::open(&*bytes, Limits::default()).unwrap();
        env.store.import(archive, &name(to), Intent::Stopped)
    };
    assert!(matches!(import("coder").unwrap_err(), StoreError::Exists { .. }));
    assert!(matches!(import("tmp").unwrap_err(), StoreError::Reserved { .. }));
    // A directory that is no profile is kept, unless it is empty.
    fs::create_dir_all(env.root().join("profiles/notes/kept")).unwrap();
    fs::create_dir(env.root().join("profiles/empty")).unwrap();
    assert!(matches!(import("notes").unwrap_err(), StoreError::InTheWay { .. }));
    import("empty").unwrap();
    assert_eq!(fs::read_to_string(coder.home.soul()).unwrap(), "two");
    assert_eq!(env.profiles(), [".locks", "coder", "empty", "notes"]);
}

/// An entry of a home.
#[derive(Debug, Clone)]
enum Entry {
    File(Vec<u8>, u32),
    Directory(u32),
    Link(String),
}

fn a_name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-zA-Z0-9 ._é中😀\\\\'\"-]{1,12}",
        // Longer than the field in a tar header.
        1 => "[a-z]{90,240}",
    ]
    // The prefix avoids names that an export omits.
    .prop_map(|name| format!("n{name}"))
}

fn an_entry() -> impl Strategy<Value = Entry> {
    let mode = || prop::sample::select(vec![0o644, 0o600, 0o755, 0o700, 0o640, 0o750]);
    prop_oneof![
        4 => (prop::collection::vec(any::<u8>(), 0..2000), mode()).prop_map(|(b, m)| Entry::File(b, m)),
        1 => prop::sample::select(vec![0o755, 0o700, 0o750]).prop_map(Entry::Directory),
        1 => a_name().prop_map(Entry::Link),
        1 => a_name().prop_map(|name| Entry::Link(format!("./{name}//{name}/"))),
    ]
}

fn a_tree() -> impl Strategy<Value = Vec<(Vec<String>, Entry)>> {
    prop::collection::vec((prop::collection::vec(a_name(), 1..5), an_entry()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_tree_survives_byte_for_byte(entries in a_tree(), mode in prop::sample::select(vec![0o755, 0o700])) {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        for (path, entry) in entries {
            let path = home.join("workspace").join(path.iter().collect::<PathBuf>());
            // A random path may conflict with an earlier one.
            if fs::create_dir_all(path.parent().unwrap()).is_err() || path.symlink_metadata().is_ok() {
                continue;
            }
            match entry {
                Entry::File(bytes, mode) => {
                    fs::write(&path, bytes).unwrap();
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                }
                Entry::Directory(mode) => {
                    fs::create_dir(&path).unwrap();
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                }
                Entry::Link(target) => symlink(target, &path).unwrap(),
            }
        }
        fs::set_permissions(home, fs::Permissions::from_mode(mode)).unwrap();
        let before = tree(home);
        for format in BOTH {
            let mut bytes = Vec::new();
            pack(home, HomeKind::Profile, &[], "any", format, &mut bytes, None).unwrap();
            let after = unpacked(&bytes);
            prop_assert_eq!(&before, &tree(after.path()));
        }
    }
}
