//! `hermes profile export` and `import` as a user meets them, against a live tree.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use hermes_tests::{
    Outcome, Svscan, TestEnv, alone, chmod, eventually, free_port, hermes_program,
    is_one_clear_error, names, short,
};
use serde_json::json;

/// An archive like that of the Python agent's export, of a profile whose gateway was killed.
fn python_archive(env: &TestEnv, path: &str) {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), Default::default()));
    let mut add = |path: &str, mode, contents: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_uid(1000);
        header.set_mtime(1_700_000_000);
        header.set_size(contents.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        tar.append_data(&mut header, path, contents.as_bytes()).expect("a member");
    };
    add("alpha/", 0o700, "");
    for directory in ["cron", "home", "logs", "memories", "sessions", "skills", "workspace"] {
        add(&format!("alpha/{directory}/"), 0o755, "");
    }
    add("alpha/SOUL.md", 0o644, "I am alpha.\n");
    add("alpha/memories/MEMORY.md", 0o644, "much\n");
    add("alpha/state.db", 0o644, "SQLite");
    add("alpha/state.db-wal", 0o644, "its last transactions");
    add("alpha/gateway.pid", 0o755, r#"{"pid":1,"kind":"hermes-gateway"}"#);
    add("alpha/gateway.lock", 0o644, r#"{"pid":1,"kind":"hermes-gateway"}"#);
    add("alpha/processes.json", 0o644, "[]");
    add("alpha/gateway_state.json", 0o600, r#"{"gateway_state":"running"}"#);
    let bytes = tar.into_inner().expect("a tar").finish().expect("an archive");
    write(env, path, &bytes);
}

fn write(env: &TestEnv, path: &str, bytes: &[u8]) {
    let path = env.path().join(path);
    fs::write(&path, bytes).expect("a file");
    env.give(&path);
}

/// Runs a command with bytes on its standard input.
fn with_input(env: &TestEnv, args: &[&str], input: &[u8]) -> std::process::Output {
    let mut command = env.command(hermes_program());
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("hermes runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    child.wait_with_output().expect("its output")
}

#[track_caller]
fn is_usage_error(outcome: &Outcome) {
    is_one_clear_error(outcome);
    assert_eq!(outcome.code(), Some(2), "{outcome}");
}

#[test]
fn a_copy_runs_beside_the_original() {
    let tree = Svscan::start();
    let env = &tree.env;
    let port = env.profile_serving("coder");
    env.write(&env.profile("coder").join("SOUL.md"), "a soul\n");
    env.write(&env.profile("coder").join(".env"), "KEY=sk-secret\n");
    env.hermes(["gateway", "start", "coder"]).ok();
    let outcome = env.hermes(["profile", "export", "coder"]).ok();
    let (first, rest) = outcome.stderr.split_once('\n').unwrap();
    assert!(first.starts_with("exported profile `coder` to `coder.tar.zst`, 2 files, "), "{first}");
    insta::assert_snapshot!(rest, @r"
    left out, secrets: `.env`
    left out, state of the gateway: `gateway.intent`
    warning: its gateway runs, so databases in the archive may be inconsistent; stop it for an exact copy
    ");
    assert_eq!(outcome.stdout, "");
    assert_eq!(tree.status("coder")["state"], "up", "nobody was disturbed");
    let file = env.path().join("coder.tar.zst");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let outcome = env.hermes(["profile", "import", "coder.tar.zst"]).fails_with(1);
    is_one_clear_error(&outcome);
    let import = ["profile", "import", "coder.tar.zst", "--name", "two", "--start", "--json"];
    let outcome = env.hermes(import).ok();
    let made = outcome.json();
    assert_eq!((&made["intent"], &made["state"]), (&json!("running"), &json!("up")), "{outcome}");
    assert_ne!(made["port"], json!(port));
    let told = format!("the archive's port {port} belongs to another profile\n");
    assert!(outcome.stderr.contains(&told), "{outcome}");
    for name in ["coder", "two"] {
        assert_eq!(tree.status(name)["state"], "up");
        assert!(env.slot(name).exists());
    }
    let two = env.profile("two");
    assert_eq!(fs::read_to_string(two.join("SOUL.md")).unwrap(), "a soul\n");
    assert!(!fs::read_to_string(two.join(".env")).unwrap().contains("sk-secret"));

    // Without `--start` it is registered and stays down.
    let outcome = env.hermes(["profile", "import", "coder.tar.zst", "--name", "three"]).ok();
    assert!(outcome.stderr.contains("its gateway is registered"), "{outcome}");
    assert_eq!(tree.status("three")["state"], "down");
    assert_eq!(
        fs::read_to_string(env.profile("three").join("gateway.intent")).unwrap(),
        "stopped\n"
    );
}

#[test]
fn the_python_agents_archives_are_imported() {
    let tree = Svscan::start();
    let env = &tree.env;
    python_archive(env, "alpha.tar.gz");
    let outcome = env.hermes(["profile", "import", "alpha.tar.gz"]).ok();
    let port = env.hermes(["profile", "port", "alpha"]).ok().stdout;
    insta::assert_snapshot!(outcome.stderr.replace(port.trim(), "PORT"), @r"
    imported profile `alpha`
    its gateway is registered; `hermes gateway start alpha` starts it
    ");
    let home = env.profile("alpha");
    let expected = [
        ".env",
        "SOUL.md",
        "config.yaml",
        "cron",
        "gateway.intent",
        "home",
        "logs",
        "memories",
        "sessions",
        "skills",
        "state.db",
        "state.db-wal",
        "workspace",
    ];
    assert_eq!(names(&home), expected);
    assert_eq!(fs::read_to_string(home.join("SOUL.md")).unwrap(), "I am alpha.\n");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&home), mode(&home.join(".env"))), (0o700, 0o600));
    env.hermes(["profile", "port", "alpha", &free_port().to_string()]).ok();
    // The program that last ran it is not on this machine.
    let refused = env.hermes(["gateway", "start", "alpha"]).fails_with(1).stderr;
    assert!(refused.contains("`gateway.program`"), "{refused}");
    let program = env.path().join("agent");
    env.write_program(&program, "#!/bin/sh\nexec sleep 600\n");
    let config = fs::read_to_string(home.join("config.yaml")).expect("the port is there");
    env.write(&home.join("config.yaml"), &format!("{config}  program: {}\n", program.display()));
    env.hermes(["gateway", "start", "alpha"]).ok();
    assert_eq!(tree.status("alpha")["state"], "up");
}

#[test]
fn a_failed_registration_undoes_the_import() {
    let env = TestEnv::new();
    python_archive(&env, "alpha.tar.gz");
    let outcome = env.hermes(["profile", "import", "alpha.tar.gz"]).fails_with(5);
    insta::assert_snapshot!(short(&env, &outcome.stderr), @r"
    error: failed to register the gateway of `alpha`
      no s6-svscan holds the scan directory `W/service`
    hint: `hermes up` runs a supervision tree for this user
    ");
    assert_eq!(names(&env.home().join("profiles")), [""; 0]);
    let tree = Svscan::start_with(env, &[]);
    let env = &tree.env;
    chmod(&env.scandir(), 0o500);
    let outcome = env.hermes(["profile", "import", "alpha.tar.gz", "--start"]).run();
    chmod(&env.scandir(), 0o700);
    assert_eq!(outcome.code(), Some(5), "{outcome}");
    is_one_clear_error(&outcome);
    assert_eq!(names(&env.home().join("profiles")), [""; 0]);
    assert!(!env.slot("alpha").exists());
    // A name that s6 can't carry is refused before anything is written.
    let long = "n".repeat(244);
    let profiles = env.home().join("profiles");
    chmod(&profiles, 0o500);
    let outcome = env.hermes(["profile", "import", "alpha.tar.gz", "--name", &long]).run();
    chmod(&profiles, 0o700);
    is_one_clear_error(&outcome);
    assert!(outcome.stderr.contains("s6 carries at most 243"), "{outcome}");
    assert_eq!(names(&env.home().join("profiles")), [""; 0]);
}

#[test]
fn default_is_exported_and_never_overwritten() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "other"]).ok();
    env.write(&env.home().join("SOUL.md"), "the root\n");
    env.write(&env.home().join("notes.txt"), "somebody's\n");
    let outcome = alone(&env, ["profile", "export", "default", "-o", "d.tgz", "--json"]).ok();
    insta::assert_snapshot!(outcome.stderr, @r"
    exported profile `default` to `d.tgz`, 1 file, 9 bytes
    left out, not part of the profile: `profiles`
    left out, not known to be safe to share: `notes.txt`
    `--include PATH` takes an entry that was left out
    ");
    let told = outcome.json();
    assert_eq!((&told["file"], &told["files"]), (&json!("d.tgz"), &json!(1)));
    assert_eq!(told["left_out"][0]["path"], "notes.txt");
    for args in
        [&["profile", "import", "d.tgz"][..], &["profile", "import", "d.tgz", "--name", "default"]]
    {
        let outcome = alone(&env, args.iter().copied()).fails_with(1);
        insta::allow_duplicates! {
            insta::assert_snapshot!(outcome.stderr, @r"
            error: the profile `default` is the root home itself and can't be replaced by an import
            hint: `--name NAME` gives it another name
            ");
        }
    }
    let outcome = alone(&env, ["profile", "import", "d.tgz", "--name", "root2"]).ok();
    assert!(outcome.stderr.contains("`hermes up` runs a supervision tree"), "{outcome}");
    assert_eq!(fs::read_to_string(env.profile("root2").join("SOUL.md")).unwrap(), "the root\n");
    assert!(!env.profile("root2").join("profiles").exists());
    let wanted = ["profile", "import", "d.tgz", "--name", "wanted", "--start"];
    alone(&env, wanted).ok();
    let intent = env.profile("wanted").join("gateway.intent");
    assert_eq!(fs::read_to_string(intent).unwrap(), "running\n", "for when there is a tree");
}

#[test]
fn invalid_archives_change_nothing() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "coder"]).ok();
    alone(&env, ["profile", "export", "coder", "-o", "c.tar.gz"]).ok();
    let before = fs::read(env.path().join("c.tar.gz")).unwrap();
    for name in ["c", "c.zip", "c.tar", "c.gz"] {
        is_usage_error(&alone(&env, ["profile", "export", "coder", "-o", name]).run());
        assert!(!env.path().join(name).exists());
    }
    is_one_clear_error(&alone(&env, ["profile", "export", "nope"]).fails_with(4));
    let outcome = alone(&env, ["profile", "export", "coder", "-o", "c.tar.gz"]).fails_with(1);
    is_one_clear_error(&outcome);
    assert!(outcome.stderr.contains("`--force`"), "{outcome}");
    assert_eq!(fs::read(env.path().join("c.tar.gz")).unwrap(), before);
    alone(&env, ["profile", "export", "coder", "-o", "c.tar.gz", "--force"]).ok();

    fs::create_dir(env.path().join("dir")).unwrap();
    for file in ["absent.tar.gz", "dir", "/dev/null", "/dev/zero"] {
        let outcome = alone(&env, ["profile", "import", file, "--name", "x"]).fails_with(1);
        is_one_clear_error(&outcome);
        assert!(outcome.stderr.lines().next().unwrap().contains(file), "{outcome}");
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, env.path().join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    env.give(&env.path().join("fifo"));
    is_one_clear_error(&alone(&env, ["profile", "import", "fifo", "--name", "x"]).fails_with(1));
    write(&env, "x.zip", b"PK\x03\x04");
    let outcome = alone(&env, ["profile", "import", "x.zip"]).fails_with(1);
    insta::assert_snapshot!(outcome.stderr, @r"
    error: failed to import `x.zip`
      not a tar.zst or tar.gz archive
    ");
    let outcome = alone(&env, ["profile", "import", "c.tar.gz", "--name", "x", "--max-size", "2K"]);
    let outcome = outcome.fails_with(1);
    insta::assert_snapshot!(outcome.stderr, @r"
    error: failed to import profile `x`
      `coder/config.yaml` in the archive makes it exceed the limit of 2048 bytes
    hint: if you trust the archive, `--max-size` allows more
    ");
    for size in ["2X", "-1", "", "99999999999T"] {
        let size = format!("--max-size={size}");
        assert_eq!(alone(&env, ["profile", "import", "c.tar.gz", &size]).run().code(), Some(2));
    }
    assert_eq!(names(&env.home().join("profiles")), ["coder"]);
    alone(&env, ["profile", "import", "c.tar.gz", "--name", "x", "--max-size", "1M"]).ok();
}

#[test]
fn archives_go_through_pipes() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "coder"]).ok();
    let script = "hermes profile export coder -o - | hermes profile import - --name two";
    let outcome = env.shell(script).env_remove("HERMES_SCANDIR").ok();
    assert!(outcome.stderr.contains("imported profile `two`, port "), "{outcome}");
    is_usage_error_with_json(&env);
    let outcome = env.shell("hermes profile export coder -o - | true").ok();
    assert!(!outcome.stderr.contains("error"), "{outcome}");
    let output = with_input(&env, &["profile", "import", "-"], b"\x1f\x8b but no archive");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(names(&env.home().join("profiles")), ["coder", "two"]);
}

#[track_caller]
fn is_usage_error_with_json(env: &TestEnv) {
    let outcome = alone(env, ["profile", "export", "coder", "-o", "-", "--json"]).fails_with(2);
    assert!(outcome.stderr.contains("--json prints to stdout too"), "{outcome}");
}

#[test]
fn a_full_disk_or_a_kill_leaves_no_half() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "coder"]).ok();
    let mut seed = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        // Data that does not compress well.
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    })
    .take(600_000)
    .collect();
    write(&env, "home/profiles/coder/logs/noise", &noise);
    alone(&env, ["profile", "export", "coder", "-o", "good.tgz"]).ok();
    // No file may grow beyond 64 KiB, so it fails in the middle.
    let full = |line: &str| {
        let script = format!("trap '' XFSZ; ulimit -f 128; exec hermes {line}");
        env.shell(&script).env_remove("HERMES_SCANDIR").fails_with(1)
    };
    env.shell("hermes --version").ok();
    let home = names(env.path());
    for line in ["profile export coder", "profile import good.tgz --name two"] {
        let outcome = full(line);
        is_one_clear_error(&outcome);
        assert!(outcome.stderr.contains("File too large"), "{outcome}");
        assert_eq!(names(env.path()), home);
        assert_eq!(names(&env.home().join("profiles")), ["coder"]);
    }
    let good = fs::read(env.path().join("good.tgz")).unwrap();
    full("profile export coder -o good.tgz --force");
    assert_eq!(fs::read(env.path().join("good.tgz")).unwrap(), good, "the old one stays");

    // The import is killed after half of the input.
    let mut command = env.command(hermes_program());
    command.args(["profile", "import", "-", "--name", "two"]).env_remove("HERMES_SCANDIR");
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&good[..good.len() / 2]).unwrap();
    eventually("it unpacks", || {
        names(&env.home().join("profiles")).iter().any(|name| name.starts_with('.')).then_some(())
    });
    assert!(alone(&env, ["profile", "show", "two"]).run().code() == Some(4), "not to be seen");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(pipe);
    let tree = Svscan::start_with(env, &[]);
    tree.env.hermes(["boot"]).ok();
    assert_eq!(names(&tree.env.home().join("profiles")), ["coder"], "a boot clears it away");
}
