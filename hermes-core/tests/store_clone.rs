//! A profile that is made like another one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use hermes_core::{Intent, ProfileName, RootHome, Store};

fn name(name: &str) -> ProfileName {
    name.parse().expect("a valid name")
}

#[test]
fn a_profile_like_another_has_what_makes_it_and_a_port_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::new(RootHome::new(dir.path()));
    let coder = store.create(&name("coder"), Some(9000), Intent::Running).unwrap();
    let home = coder.home.path();
    let dotfile = dir.path().join("dotfile.yaml");
    let config = "_config_version: 3\ngateway: # ours\n  port: 9000\n  kind: hermes-agent\n";
    fs::write(&dotfile, config).unwrap();
    fs::remove_file(coder.home.config()).unwrap();
    symlink(&dotfile, coder.home.config()).unwrap();
    fs::write(coder.home.dotenv(), "API_SERVER_PORT=9000\nBOT_TOKEN=abc\n").unwrap();
    fs::set_permissions(coder.home.dotenv(), fs::Permissions::from_mode(0o644)).unwrap();
    for (path, text) in [
        ("skills/a/SKILL.md", "a skill"),
        ("memories/MEMORY.md", "a memory"),
        ("sessions/1.json", "a conversation"),
        ("state.db", "a state"),
    ] {
        fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
        fs::write(home.join(path), text).unwrap();
    }
    symlink("a", home.join("skills/link")).unwrap();
    fs::set_permissions(home.join("skills/a"), fs::Permissions::from_mode(0o555)).unwrap();
    let writer = store.create_like(&coder, &name("writer"), Some(9001), Intent::Stopped).unwrap();
    let copy = |path: &str| fs::read_to_string(writer.home.path().join(path)).ok();
    assert_eq!(copy("config.yaml"), Some(config.replace("9000", "9001")));
    assert!(!writer.home.config().is_symlink());
    assert_eq!(fs::read_to_string(&dotfile).unwrap(), config, "the other's stays as it is");
    assert_eq!(copy(".env").as_deref(), Some("BOT_TOKEN=abc\n"));
    assert_eq!(fs::metadata(writer.home.dotenv()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(copy("skills/a/SKILL.md").as_deref(), Some("a skill"));
    assert_eq!(fs::read_link(writer.home.path().join("skills/link")).unwrap(), Path::new("a"));
    assert_eq!(copy("memories/MEMORY.md").as_deref(), Some("a memory"));
    assert_eq!((copy("sessions/1.json"), copy("state.db")), (None, None));
    fs::write(&dotfile, "gateway: [").unwrap();
    store.create_like(&coder, &name("third"), None, Intent::Stopped).unwrap_err();
    assert_eq!(store.find(&name("third")).unwrap(), None, "nothing is left");
}
