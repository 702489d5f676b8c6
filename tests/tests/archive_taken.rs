//! What an export takes of a home and what it names instead, and the mode of a `.env` however it arrives.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hermes_tests::{TestEnv, alone, chmod};

#[test]
fn an_export_takes_what_is_listed_and_names_the_rest() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "coder"]).ok();
    let home = env.profile("coder");
    let unlisted =
        ["auth.d", "gateway.json", "google_chat_user_token.json", "honcho.json", "platforms"];
    for path in ["auth.d/x", "platforms/whatsapp/session/creds.json"].iter().chain(&unlisted[1..4])
    {
        env.make_directory(home.join(path).parent().unwrap());
        env.write(&home.join(path), "sk-secret");
    }
    env.write(&home.join("auth.json.corrupt"), "sk-secret");
    env.write(&home.join("notes"), "mine");
    let names = |file: &str| {
        let output = env.shell(&format!("tar -tf {file}")).ok().stdout;
        output.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let outcome = alone(&env, ["profile", "export", "coder", "-o", "c.tgz", "--json"]).ok();
    assert_eq!(names("c.tgz"), ["coder/", "coder/SOUL.md", "coder/config.yaml", "coder/logs/"]);
    let left = outcome.json()["left_out"].as_array().unwrap().clone();
    for path in unlisted.iter().chain(&[".env", "auth.json.corrupt", "notes", "gateway.intent"]) {
        assert!(outcome.stderr.contains(&format!("`{path}`")), "{path}: {outcome}");
        assert!(left.iter().any(|it| it["path"] == *path), "{path}: {outcome}");
    }

    let export = |include: &[&str]| {
        let args = ["profile", "export", "coder", "-o", "c.tgz", "--force"];
        let include = include.iter().flat_map(|path| ["--include", path]);
        alone(&env, args.into_iter().chain(include)).run()
    };
    assert_eq!(export(&["notes", ".env"]).code(), Some(0));
    let taken = names("c.tgz");
    assert!(["coder/notes", "coder/.env"].iter().all(|it| taken.contains(&(*it).to_owned())));
    assert!(!taken.iter().any(|it| it.contains("auth")), "{taken:?}");
    // A directory that is named does not name the secrets in it.
    assert_eq!(export(&["platforms", "auth.d"]).code(), Some(0));
    assert!(names("c.tgz").contains(&"coder/auth.d/x".to_owned()));
    assert!(!names("c.tgz").iter().any(|it| it.contains("creds")));
    for path in ["../default", "/etc/passwd", "a/../../b", ""] {
        assert_eq!(export(&[path]).code(), Some(2), "{path}");
    }
    let outcome = export(&["absent"]);
    assert_eq!(outcome.code(), Some(1));
    insta::assert_snapshot!(outcome.stderr, @r"
    error: failed to export profile `coder`
      can't include `absent`: No such file or directory (os error 2)
    ");
    let outcome = export(&["gateway.intent"]);
    assert!(outcome.stderr.contains("is a trace of a running process"), "{outcome}");
}

#[test]
fn an_export_warns_of_secrets_in_the_configuration() {
    let env = TestEnv::new();
    alone(&env, ["profile", "create", "coder"]).ok();
    let config = env.profile("coder").join("config.yaml");
    let export = || alone(&env, ["profile", "export", "coder", "-o", "c.tgz", "--force"]).ok();
    assert!(!export().stderr.contains("looks like a secret"));
    let text = "model:\n  max_tokens: 9\n  apiKey: sk-canary\ndiscord: {bot_token: canary}\n";
    env.write(&config, text);
    let outcome = export();
    for key in ["`model.apiKey` in line 3", "`discord.bot_token` in line 4"] {
        assert!(outcome.stderr.contains(&format!("{key}, which looks like a secret")), "{outcome}");
    }
    assert!(
        !outcome.stderr.contains("canary") && !outcome.stderr.contains("max_tokens"),
        "{outcome}"
    );
    env.write(&config, "token: [canary\n");
    let outcome = export();
    assert!(outcome.stderr.contains("can't be searched for secrets"), "{outcome}");
    assert!(!outcome.stderr.contains("canary"), "{outcome}");
}

#[test]
fn a_new_or_imported_dotenv_is_its_owners_alone() {
    let env = TestEnv::new();
    let mode = |name: &str| {
        let metadata = fs::metadata(env.profile(name).join(".env")).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    for umask in ["000", "002", "077"] {
        let run = |line: &str| {
            let script = format!("umask {umask}; exec hermes {line}");
            env.shell(&script).env_remove("HERMES_SCANDIR").ok();
        };
        run("profile create coder");
        assert_eq!(mode("coder"), 0o600, "{umask}");
        run("profile port coder 9999");
        chmod(&env.profile("coder").join(".env"), 0o644);
        run("profile export coder --include .env -o c.tgz --force");
        run("profile import c.tgz --name two");
        assert_eq!(mode("two"), 0o600, "{umask}");
        run("profile port two 9998");
        run("profile rename two three");
        assert_eq!(mode("three"), 0o600, "{umask}");
        run("profile delete three -y");
        run("profile delete coder -y");
    }
    // A link to a file that others may read, whose text a change of the port replaces.
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), Default::default()));
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(0);
    tar.append_data(&mut header, "a/config.yaml", std::io::empty()).unwrap();
    header.set_entry_type(tar::EntryType::Symlink);
    tar.append_link(&mut header, "a/.env", "config.yaml").unwrap();
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    fs::write(env.path().join("link.tgz"), bytes).unwrap();
    alone(&env, ["profile", "import", "link.tgz", "--name", "linked"]).ok();
    alone(&env, ["profile", "port", "linked", "9997"]).ok();
    assert_eq!(mode("linked"), 0o600);
}
