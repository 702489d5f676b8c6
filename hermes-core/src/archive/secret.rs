//! Secrets by name: of the agent, and of programs that it runs with the profile's `home` as their home directory.
//!
//! [`is_secret`] knows entries, in any directory. [`looks_secret`] guesses from the words in a file's name, for
//! exports: a file that is left out by mistake is reported, one that gets out is not taken back.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

/// Secrets by name, in any directory. Copies count too: names that go on after a `.`, `-`, `_` or `~`.
const NAMES: &[&str] = &[
    // Keys and tokens of the agent.
    "auth.json",
    ".anthropic_oauth.json",
    "dashboard.token",
    "google_client_secret.json",
    "google_oauth_pending.json",
    "google_token.json",
    "mcp-tokens",
    "node_token.json",
    "slack_tokens.json",
    // The keys that callers sign with.
    "webhook_subscriptions.json",
    // Keys, passwords and histories of other programs.
    ".aws",
    ".azure",
    ".bash_history",
    ".credentials.json",
    ".docker",
    ".git-credentials",
    ".gnupg",
    ".htpasswd",
    ".kube",
    ".my.cnf",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pgpass",
    ".psql_history",
    ".pypirc",
    ".python_history",
    ".ssh",
    ".zsh_history",
    "credentials",
    "credentials.json",
    "credentials.toml",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
    "rclone.conf",
];

/// Copies of `.env`, whatever follows.
const PREFIX: &str = ".env";
/// Environment files of other programs, such as `prod.env`.
const SUFFIX: &str = ".env";
/// Names like those above that are not secrets.
const NO_SECRETS: &[&str] =
    &[".env.example", ".env.sample", ".env.template", ".envrc", "id_rsa.pub", "id_ed25519.pub"];

/// Secrets by their path below a profile's home, or below the `home` directory in it.
const PATHS: &[&str] = &[
    ".config/gcloud",
    ".config/gh",
    // The people who may talk to the agent: they must not get access to an imported copy.
    "pairing",
    "platforms/pairing",
    // Sessions and keys give the same access as a password.
    "matrix/store",
    "platforms/matrix/store",
    "platforms/whatsapp/session",
    "whatsapp/session",
    "workspace/meetings/nodes.json",
];

/// Words in the name of a file that holds a secret.
const WORDS: &[&str] = &[
    "apikey",
    "apikeys",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "creds",
    "keyring",
    "oauth",
    "oauth2",
    "passwd",
    "password",
    "passwords",
    "secret",
    "secrets",
    "token",
    "tokens",
];
/// Pairs of such words.
const PAIRS: &[[&str; 2]] =
    &[["api", "key"], ["api", "keys"], ["private", "key"], ["access", "key"]];
/// Extensions of key files.
const KEY_FILES: &[&str] = &["jks", "kdbx", "key", "keystore", "p12", "pem", "pfx", "ppk"];
/// Extensions of programs, whose names tell what they do rather than what they hold.
const PROGRAMS: &[&str] = &[
    "c", "cjs", "cpp", "css", "go", "h", "html", "java", "js", "jsx", "mjs", "py", "pyc", "rb",
    "rs", "sh", "svg", "ts", "tsx",
];

/// Whether `path`, below a home, is a secret.
pub(super) fn is_secret(path: &Path) -> bool {
    let name = name(path);
    if NO_SECRETS.contains(&&*name) {
        return false;
    }
    let is_copy_of = |secret: &&str| {
        let rest = name.strip_prefix(*secret);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '_', '~']))
    };
    let below = path.strip_prefix("home").unwrap_or(path);
    let is_source = has_extension(path, PROGRAMS) || has_extension(path, &["md"]);
    name.starts_with(PREFIX)
        || name.ends_with(SUFFIX)
        || !is_source && NAMES.iter().any(is_copy_of)
        || PATHS.iter().any(|secret| below == Path::new(secret))
}

/// Whether the name of the file at `path`, below a home, is likely that of a secret.
pub(super) fn looks_secret(path: &Path) -> bool {
    if has_extension(path, KEY_FILES) {
        return true;
    }
    let is_page = path.starts_with("skills") && has_extension(path, &["md"]);
    if is_page || has_extension(path, PROGRAMS) || NO_SECRETS.contains(&&*name(path)) {
        return false;
    }
    let name = name(path).to_lowercase();
    let words: Vec<_> = name.split(|c: char| !c.is_alphanumeric()).collect();
    words.iter().any(|word| WORDS.contains(word))
        || words.windows(2).any(|pair| PAIRS.iter().any(|known| known == pair))
}

pub(super) fn name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_wherever_they_lie() {
        for path in [
            ".env",
            "a/b/.env",
            ".env.bak",
            ".env~",
            ".env_old",
            ".env.sh",
            "a/prod.env",
            "auth.json",
            "auth.json.corrupt",
            "x/google_oauth_pending.json",
            "home/.ssh",
            "mcp-tokens",
            "home/.claude/.credentials.json",
            "pairing",
            "platforms/pairing",
            "home/.config/gh",
            ".config/gh",
            "platforms/whatsapp/session",
            "workspace/meetings/auth.json",
        ] {
            assert!(is_secret(Path::new(path)), "{path}");
        }
        for path in [
            "env",
            ".envrc",
            ".env.example",
            "skills/pairing",
            "config.yaml",
            "author.json",
            "workspace/x/Cargo.lock",
            "plugins/x/credentials.py",
            "id_rsa.pub",
        ] {
            assert!(!is_secret(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn names_of_secrets_are_guessed() {
        for path in [
            "creds.json",
            "plugins/x/oauth_state.json",
            "workspace/API-Key.txt",
            "Cookies",
            "workspace/server.pem",
            "a/passwords.md",
            "x/my.secret",
            "cron/.vault-token",
        ] {
            assert!(looks_secret(Path::new(path)), "{path}");
        }
        for path in [
            "sessions/sessions.json",
            "skills/oauth/tokens.md",
            "plugins/oauth.py",
            "SOUL.md",
            "scripts/refresh-token.sh",
            "tokenizer.json",
            "keyboard.json",
            "authors.txt",
        ] {
            assert!(!looks_secret(Path::new(path)), "{path}");
        }
    }
}
