//! getent(1): the machine's own name services, for a program that must not load their modules itself.
//!
//! `getent` is linked to the machine's C library and so to the modules that nsswitch.conf(5) names. It prints nothing about
//! an unknown key, and exits with 2.

use std::ffi::OsStr;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hermes_core::passwd::{self, Entry};

use crate::command::Tool;

/// How long the name services may take: a resolver tries three servers for 5 s each, twice, before it gives up.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The program `getent`.
#[derive(Debug)]
pub struct Getent {
    tool: Tool,
    timeout: Duration,
}

impl Getent {
    /// The program in the system's directories or on `path`; `None` if there is none.
    pub fn find(path: &OsStr) -> Option<Self> {
        let tool = Tool::find("getent", path);
        tool.path().is_ok().then_some(Self { tool, timeout: TIMEOUT })
    }

    /// The account with this user ID; `None` if no name service knows it. Blocks until `getent` ends, at most 30 s.
    pub fn account(&self, uid: u32) -> io::Result<Option<Entry>> {
        let answer = self.ask("passwd", &uid.to_string())?;
        Ok(passwd::find(answer.as_bytes(), uid))
    }

    /// All addresses of `host`, each once; none if no name service knows it. Blocks until `getent` ends, at most 30 s.
    pub fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let answer = self.ask("ahosts", host)?;
        let mut found = Vec::new();
        // A line for each type of socket: `::1 STREAM name`.
        for line in answer.lines() {
            let address = line.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
            found.extend(address.filter(|address| !found.contains(address)));
        }
        Ok(found)
    }

    fn ask(&self, database: &str, key: &str) -> io::Result<String> {
        // An option, and not the name of a host. Not every `getent` knows `--`.
        if key.starts_with('-') {
            return Ok(String::new());
        }
        let answer = self.tool.answer(&[database, key], self.timeout).map_err(io::Error::other)?;
        answer.ok_or_else(|| {
            let seconds = self.timeout.as_secs();
            let text = format!("`getent {database} {key}` has not answered within {seconds} s");
            io::Error::new(io::ErrorKind::TimedOut, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use fs_err as fs;

    use super::*;

    /// A `getent` that is this script.
    fn getent(dir: &Path, script: &str, timeout: Duration) -> Getent {
        let program = dir.join("getent");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Getent { tool: Tool::at("getent", &program), timeout }
    }

    #[test]
    fn accounts_and_addresses_are_parsed() {
        let dir = tempfile::tempdir().unwrap();
        let script = "[ $# = 2 ] && case $* in \
            'passwd 7') echo 'ldap:*:7:7::/home/ldap:/bin/sh';; \
            'passwd 8') echo 'number:*:9:8::/home/number:/bin/sh';; \
            'ahosts both') printf '%s\\n' '::1 STREAM both' '::1 DGRAM' '10.0.0.1 STREAM' 'x y';; \
            *) exit 2;; esac";
        let getent = getent(dir.path(), script, TIMEOUT);
        let account = getent.account(7).unwrap().unwrap();
        assert_eq!(
            (account.name.as_str(), account.home.as_path()),
            ("ldap", Path::new("/home/ldap"))
        );
        // A user whose name is the number.
        assert_eq!(getent.account(8).unwrap(), None);
        assert_eq!(getent.account(10).unwrap(), None);
        let addresses = |host| getent.addresses(host).unwrap();
        assert_eq!(addresses("both"), ["::1", "10.0.0.1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        assert!(addresses("none").is_empty());
    }

    #[test]
    fn a_silent_name_service_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let getent = getent(dir.path(), "exec sleep 600", Duration::from_secs(1));
        let error = getent.account(7).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "`getent passwd 7` has not answered within 1 s");
    }

    #[test]
    fn the_machines_own_getent_knows_root() {
        let getent = Getent::find(OsStr::new("")).unwrap();
        assert_eq!(getent.account(0).unwrap().unwrap().name, "root");
        assert_eq!(getent.addresses("127.0.0.1").unwrap(), [IpAddr::from([127, 0, 0, 1])]);
        assert!(getent.addresses("--no-such-option").unwrap().is_empty());
    }
}
