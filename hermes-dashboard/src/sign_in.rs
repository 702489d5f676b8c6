//! Signing in without typing the token: a one-time code, in a file that only this user's browser can read.
//!
//! Whoever opens the page on this machine passes the browser a path and not the code, since other users can read the
//! arguments of processes. The file sends the browser to the page with the code in the fragment of the URL, which no
//! request contains. The page exchanges the code for the token, once.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hermes_core::fsutil;

use crate::token;

/// How long a code is valid.
const VALID: Duration = Duration::from_secs(120);
const MODE: u32 = 0o600;

/// The token, and the code that gets it.
pub(crate) struct SignIn {
    token: String,
    /// The file with the code.
    file: PathBuf,
    code: Mutex<Option<(String, Instant)>>,
}

impl SignIn {
    /// No code yet; one will be written to `file`.
    pub(crate) fn new(token: String, file: PathBuf) -> Self {
        Self { token, file, code: Mutex::new(None) }
    }

    /// Writes the file that opens the page at `url` with a new code. Returns its path.
    pub(crate) fn write_file(&self, url: &str) -> io::Result<PathBuf> {
        let code = token::random()?;
        let html = format!(
            "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
             <meta http-equiv=\"refresh\" content=\"0; url={url}#sign-in={code}\">\n<title>Hermes</title>\n\
             <a href=\"{url}#sign-in={code}\">Open the dashboard</a>\n"
        );
        fsutil::write_durably(&self.file, html.as_bytes(), MODE)?;
        *self.lock() = Some((code, Instant::now() + VALID));
        Ok(self.file.clone())
    }

    /// The token, if `code` is valid. It is not valid again, and its file is removed.
    pub(crate) fn redeem(&self, code: &str) -> Option<&str> {
        let is_valid = |(valid, until): &mut (String, Instant)| {
            token::is_same(code, valid) && Instant::now() < *until
        };
        self.lock().take_if(is_valid)?;
        self.remove_file();
        Some(&self.token)
    }

    /// No code is valid any more. Removes the file of one that was not used.
    pub(crate) fn end(&self) {
        if self.lock().take().is_some() {
            self.remove_file();
        }
    }

    fn remove_file(&self) {
        if let Err(error) = fsutil::remove_file_if_there(&self.file) {
            log::warn!("failed to remove `{}`: {error}", self.file.display());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.code.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fs_err as fs;

    use super::*;

    #[test]
    fn a_code_is_valid_once() {
        let dir = tempfile::tempdir().unwrap();
        let sign_in = SignIn::new("token".to_owned(), dir.path().join("page.html"));
        assert_eq!(sign_in.redeem(""), None);
        let file = sign_in.write_file("http://127.0.0.1:1/").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let html = fs::read_to_string(&file).unwrap();
        let code = html.split("#sign-in=").nth(1).unwrap().split('"').next().unwrap();
        assert!(code.len() == 64 && !html.contains("token"));
        assert_eq!(sign_in.redeem(&code[1..]), None);
        assert_eq!(sign_in.redeem(code), Some("token"));
        assert!(!file.exists());
        assert_eq!(sign_in.redeem(code), None);
        // One that was not used goes with the dashboard.
        sign_in.write_file("http://127.0.0.1:1/").unwrap();
        sign_in.end();
        assert!(!file.exists());
    }

    #[test]
    fn an_old_code_is_not_valid() {
        let dir = tempfile::tempdir().unwrap();
        let sign_in = SignIn::new("token".to_owned(), dir.path().join("page.html"));
        *sign_in.lock() = Some(("code".to_owned(), Instant::now()));
        assert_eq!(sign_in.redeem("code"), None);
    }
}
