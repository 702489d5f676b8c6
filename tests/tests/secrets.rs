//! A canary in every `.env` of a live tree: after any operation it is only in its own gateway's processes and in
//! its own file.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use hermes_s6::protocol::events::Process;
use hermes_tests::{
    Outcome, TestEnv, Up, chmod, eventually, hermes_program, pid, processes_naming, require_root,
};
use rustix::process::Signal;
use serde_json::Value;

const PROFILES: [&str; 3] = ["one", "two", "dying"];

/// The secret of a profile. All have the same prefix.
fn canary(profile: &str) -> String {
    format!("canary-of-{profile}")
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// A tree with a gateway of each kind: the built-in one, a program with a child, one that dies.
fn tree() -> Up {
    let up = Up::start();
    let env = &up.env;
    env.profile_serving("inner");
    for name in PROFILES {
        let command = match name {
            "dying" => "echo dies; exit 78",
            _ => "echo begun; sleep 600 & sleep 601 & wait",
        };
        env.profile_running(name, command);
    }
    for name in PROFILES.into_iter().chain(["inner"]) {
        let dotenv = env.profile(name).join(".env");
        let canary = canary(name);
        // A warning about an invalid line must not show it.
        let text = format!("API_KEY={canary}\n{canary} {canary}\nHERMES_UP={canary}\n");
        env.write(&dotenv, &text);
        chmod(&dotenv, 0o600);
    }
    up
}

/// The processes of the tree with `needle` in this file in /proc.
fn processes_with(env: &TestEnv, file: &str, needle: &str) -> BTreeSet<u64> {
    let all = processes_naming(env.path().to_str().expect("UTF-8")).into_iter();
    let has = |pid: &u64| {
        fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| contains(&bytes, needle))
    };
    all.filter(has).collect()
}

/// A gateway's process and its descendants.
fn family(status: &Value) -> BTreeSet<u64> {
    let parent = |pid: u64| -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let gateway = pid(status);
    let numbers = fs::read_dir("/proc").expect("/proc is there");
    let pids = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid == gateway || parent(*pid) == Some(gateway)).collect()
}

/// The files below `directory` that contain a canary.
fn files_with_one(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("one")) {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            found.extend(files_with_one(&entry.path()));
        } else if kind.is_file()
            && fs::read(entry.path()).is_ok_and(|bytes| contains(&bytes, "canary-of-"))
        {
            found.insert(entry.path());
        }
    }
    found
}

#[test]
fn a_secret_stays_in_its_gateway_and_file() {
    let up = tree();
    let env = &up.env;
    let said = |outcome: Outcome| {
        let all = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!all.contains("canary-of-"), "{outcome}");
        outcome
    };
    said(env.hermes(["gateway", "start", "one", "two", "inner"]).ok());
    said(env.hermes(["gateway", "start", "dying"]).fails_with(1));
    for line in [
        "gateway restart two",
        "gateway register --refresh one",
        "gateway status --all --json",
        "gateway list",
        "gateway logs --all",
        "profile show one --json",
        "doctor --json",
        "doctor",
        "boot --json",
        "profile export one -o one.tar.gz",
        "profile rename two three",
    ] {
        said(env.hermes(line.split(' ')).run());
    }
    // A death, a restart, and the death of a logger: each starts a process with some environment.
    let before = pid(&up.status("one"));
    let family_before = eventually("the gateway has started its own", || {
        Some(family(&up.status("one"))).filter(|family| family.len() == 3)
    });
    for pid in family_before {
        // One may have ended together with another.
        let process = Process::open(u32::try_from(pid).expect("a pid")).expect("a pidfd");
        process.into_iter().for_each(|one| one.signal(Signal::KILL).expect("permission to signal"));
    }
    eventually("it is up again", || {
        let status = up.status("one");
        (status["state"] == "up" && pid(&status) != before).then_some(())
    });
    for (name, key) in [("one", "one"), ("three", "two")] {
        eventually("the gateway has started its own, and they alone have it", || {
            let family = family(&up.status(name));
            let have = processes_with(env, "environ", &canary(key));
            (family.len() == 3 && have == family).then_some(())
        });
    }
    for name in ["inner", "dying"] {
        assert_eq!(processes_with(env, "environ", &canary(name)), BTreeSet::new(), "{name}");
    }
    assert_eq!(processes_with(env, "cmdline", "canary-of-"), BTreeSet::new());
    let owner = fs::metadata(env.home()).unwrap().uid();
    let files = files_with_one(env.path());
    let expected = ["one", "three", "dying", "inner"].map(|name| env.profile(name).join(".env"));
    assert_eq!(files, expected.into());
    for path in files {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o600, owner), "{}", path.display());
    }
    // Compression would hide the canary from the search of all files.
    let archive = env.path().join("one.tar.gz");
    let mut unpacked = Vec::new();
    GzDecoder::new(fs::File::open(&archive).unwrap()).read_to_end(&mut unpacked).unwrap();
    assert!(contains(&unpacked, "SOUL.md") && !contains(&unpacked, "canary-of-"));
    let mode = fs::metadata(&archive).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600, "a conversation is its owner's alone");
}

#[test]
fn another_user_reads_no_secret_and_changes_nothing() {
    require_root!();
    let up = tree();
    let env = &up.env;
    env.hermes(["gateway", "start", "one"]).ok();
    chmod(env.path(), 0o755);
    let other_user = |program: &str| {
        let mut command = Command::new(program);
        command.uid(20_000).gid(20_000).env_clear().env("PATH", "/usr/bin:/bin");
        command
    };
    let gateway = pid(&up.status("one"));
    let dotenv = env.profile("one").join(".env");
    let scandir = env.scandir();
    let logs = env.home().join("logs/gateways/one");
    for path in [
        dotenv.clone(),
        format!("/proc/{gateway}/environ").into(),
        format!("/proc/{}/environ", up.svscan()).into(),
    ] {
        assert!(path.exists());
        let output = other_user("cat").arg(&path).output().expect("cat runs");
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", path.display());
    }
    // Other users may write nothing in home, slots and logs; the modes of sockets and links don't matter.
    for tree in [env.home(), scandir, logs] {
        let open = ["!", "-type", "l", "-writable"];
        let output = other_user("find").arg(&tree).args(open).output().expect("find runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "below {}", tree.display());
    }
    for line in ["profile port one 9000", "gateway stop one", "gateway unregister one"] {
        let mut hermes = other_user(hermes_program().to_str().unwrap());
        hermes.env("HERMES_HOME", env.home()).env("HERMES_SCANDIR", env.scandir());
        let output = hermes.args(line.split(' ')).output().expect("it runs");
        assert!(matches!(output.status.code(), Some(1 | 5)), "{line}: {output:?}");
    }
    assert_eq!(pid(&up.status("one")), gateway);
}
