//! Fuzz tests of untrusted files: reading any content terminates, without a panic, with a value or with an
//! error that names the file and fits on a screen.
//!
//! Inputs are random changes of the files in `corpus/`, for a few seconds. libFuzzer works on a stable
//! compiler (`-Cpasses=sancov-module`), but would bring C++, unsafe code and a separate build into each run
//! of the checks; a trial outside of the workspace found nothing more.

mod kit;

use std::fs;
use std::path::Path;

use hermes_core::config::{self, ConfigError};
use hermes_core::{Intent, ProfileName, RootHome, dotenv, settings};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// The longest message about one file.
const SCREENFUL: usize = 2000;

/// One change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Cut(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Flip(prop::sample::Index, u8),
    Repeat(prop::sample::Index, u8, u8),
    Splice(prop::sample::Index, prop::sample::Index),
}

/// Tokens with a meaning in these formats.
const TOKENS: [&str; 34] = [
    "gateway:",
    "port: ",
    "defaults: ",
    "kind: hermes-agent\n",
    "platforms: ",
    "API_SERVER_PORT: ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "\n",
    "\r\n",
    "\n  ",
    "- ",
    "? ",
    ": ",
    "<<: ",
    "&a ",
    "*a",
    "!!binary ",
    "|\n",
    ">+9\n",
    "#",
    "---\n",
    "%",
    "\\u",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "${A:-",
    "export ",
    "1e999",
];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let token = prop::sample::select(TOKENS.to_vec()).prop_map(|token| token.as_bytes().to_vec());
    let bytes = prop::collection::vec(any::<u8>(), 1..8);
    prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, length)| Change::Cut(at, length)),
        4 => (at(), token).prop_map(|(at, token)| Change::Insert(at, token)),
        1 => (at(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (at(), any::<u8>()).prop_map(|(at, bits)| Change::Flip(at, bits)),
        1 => (at(), any::<u8>(), any::<u8>()).prop_map(|(at, n, times)| Change::Repeat(at, n, times)),
        1 => (at(), at()).prop_map(|(at, from)| Change::Splice(at, from)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let place = |at: &prop::sample::Index, length: usize| at.index(length + 1);
    let length = bytes.len();
    match change {
        Change::Cut(at, n) => {
            let at = place(at, length);
            bytes.drain(at..length.min(at + usize::from(*n)));
        }
        Change::Insert(at, new) => {
            let at = place(at, length);
            bytes.splice(at..at, new.iter().copied());
        }
        Change::Flip(_, _) if bytes.is_empty() => {}
        Change::Flip(at, bits) => bytes[at.index(length)] ^= bits,
        Change::Repeat(at, n, times) => {
            let at = place(at, length);
            let part = bytes[at..length.min(at + usize::from(*n))].repeat(usize::from(*times));
            bytes.splice(at..at, part);
        }
        Change::Splice(at, from) => {
            let tail = bytes[place(from, length)..].to_vec();
            bytes.truncate(place(at, length));
            bytes.extend(tail);
        }
    }
}

/// A changed file of the corpus `name`.
fn hostile(name: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let files = kit::entries(&directory);
    let corpus: Vec<_> =
        files.iter().map(|file| fs::read(directory.join(file)).expect("it can be read")).collect();
    assert!(corpus.len() >= 4, "a corpus");
    let changes = prop::collection::vec(change(), 0..12);
    (prop::sample::select(corpus), changes).prop_map(|(mut bytes, changes)| {
        changes.iter().for_each(|change| apply(&mut bytes, change));
        bytes
    })
}

/// Checks that an error is readable and names the file at `path`.
fn check_message(
    error: &(dyn std::error::Error + 'static),
    path: &Path,
) -> Result<(), TestCaseError> {
    let text = hermes_core::error_chain::in_one_line(error);
    prop_assert!(text.contains(path.to_str().expect("UTF-8")), "{text}");
    prop_assert!(text.len() < SCREENFUL, "{} bytes", text.len());
    prop_assert!(!text.contains('\n'), "{text}");
    Ok(())
}

/// A profile's home with these bytes in one of its files.
fn home_with(file: &str, bytes: &[u8]) -> (tempfile::TempDir, hermes_core::ProfileHome) {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join(file), bytes).expect("it is written");
    let home = RootHome::new(dir.path()).profile(&ProfileName::default_profile());
    (dir, home)
}

#[test]
fn deep_documents_are_refused() {
    let parse =
        |text: &str| config::parse(text, Path::new("/x")).map_err(|error| error.to_string());
    // Without the limit, the library would take minutes for each, although `a` is skipped.
    for bracket in ["{a: ", "[", "- {? [", "a: {"] {
        let text = format!("a:\n  {}", bracket.repeat(config::MAX_SIZE / bracket.len() - 8));
        assert!(parse(&text).unwrap_err().contains("nested too deeply"), "{bracket}");
    }
    // Closed brackets are not deep, in quotes or outside.
    let shallow = "{a: [']']}, ".repeat(10_000);
    let (open, close) = ("[".repeat(400), "]".repeat(400));
    parse(&format!("a: [{shallow}]\nb: {open}1{close}")).unwrap();
    assert_eq!(
        parse(&format!("a: 1\nb: {}", "[".repeat(600))).unwrap_err(),
        "invalid YAML in `/x` line 2 column 504: nested too deeply, or a recursive alias"
    );
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn a_configuration(bytes in hostile("config")) {
        let (_dir, home) = home_with("config.yaml", &bytes);
        let path = home.config();
        match settings::load(&home) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    prop_assert!(warning.to_string().len() < SCREENFUL);
                }
                // A readable file can get a port.
                let text = String::from_utf8(bytes).unwrap();
                if let Ok(new) = config::with_port(&text, 1, &path) {
                    prop_assert_eq!(config::parse(&new, &path).unwrap().gateway.port, Some(1));
                }
            }
            Err(error) => {
                let is_unread = matches!(error, ConfigError::Read { .. });
                prop_assert!(!is_unread);
                check_message(&error, &path)?;
            }
        }
    }

    #[test]
    fn an_intent(bytes in hostile("intent")) {
        let (_dir, home) = home_with("gateway.intent", &bytes);
        match Intent::read(&home) {
            Ok(intent) => prop_assert!(bytes.trim_ascii() == intent.to_string().as_bytes()),
            Err(error) => {
                prop_assert!(error.is_corruption() && error.hint().is_some());
                check_message(&error, &home.intent())?;
            }
        }
    }

    #[test]
    fn the_state_file_of_an_agent(bytes in hostile("state")) {
        let (_dir, home) = home_with("gateway_state.json", &bytes);
        if let Err(error) = Intent::read(&home) {
            prop_assert!(error.is_corruption() && error.hint().is_some());
            check_message(&error, &home.agent_state())?;
        }
    }

    #[test]
    fn secrets(bytes in hostile("config")) {
        let (_dir, home) = home_with(".env", &bytes);
        match dotenv::load(&home.dotenv()) {
            Ok(file) => {
                let variables = file.variables(&["gateway"], |_| None);
                if let Err(error) = &variables {
                    check_message(error, &home.dotenv())?;
                }
                let variables = variables.unwrap_or_default();
                for warning in &variables.warnings {
                    prop_assert!(warning.to_string().contains(".env"), "{warning}");
                }
                for (name, value) in &variables.set {
                    let fit = !name.contains(['=', '\0']) && !value.contains('\0');
                    prop_assert!(fit && !name.is_empty() && name != "gateway", "{name:?}");
                }
            }
            Err(error) => check_message(&error, &home.dotenv())?,
        }
    }

    #[test]
    fn a_name(bytes in hostile("names")) {
        let text = String::from_utf8_lossy(&bytes);
        match text.parse::<ProfileName>() {
            Ok(name) => {
                let home = RootHome::new("/r").profile(&name);
                prop_assert!(home.path().starts_with("/r"));
                prop_assert!(name.is_default() || home.path().parent() == Some(Path::new("/r/profiles")));
            }
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.len() < SCREENFUL && !text.contains(char::is_control), "{text}");
            }
        }
    }
}
