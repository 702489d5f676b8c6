//! The file: absent, unreadable, too large.

use std::path::Path;

use fs_err as fs;

use crate::config::{Loaded, MAX_SIZE, draft};

#[test]
fn files() {
    let load =
        |path: &Path| draft(&crate::config::read(path)?, path, Path::new("/nowhere"))?.finish();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    assert_eq!(load(&path).unwrap(), Loaded::default());
    fs::write(&path, "gateway: {port: 5}").unwrap();
    assert_eq!(load(&path).unwrap().gateway.port, Some(5));

    let shown = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = load(&path).unwrap_err();
        (error.to_string().replace(path.to_str().unwrap(), "FILE"), error.hint())
    };
    let (text, hint) = shown("a: ü\nb: x\u{e9}".as_bytes().split_last().unwrap().1);
    assert_eq!(text, "invalid UTF-8 in `FILE` line 2 column 5");
    assert_eq!(hint.unwrap(), "save the file as UTF-8");
    let (text, hint) = shown("ü".repeat(MAX_SIZE).as_bytes());
    assert_eq!(text, "`FILE` is larger than 1024 KiB");
    assert_eq!(hint.unwrap(), "keep data out of `config.yaml`");

    let error = load(dir.path()).unwrap_err().to_string();
    assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
}
