//! The addresses of host names.
//!
//! getaddrinfo(3) asks the modules of nsswitch.conf(5), which a program that is linked statically must not load (see
//! [`passwd`](crate::passwd)). Such a program reads hosts(5) here, and has the machine's getent(1) asked for other names.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::OnceLock;

/// The machine's own table of names.
const FILE: &str = "/etc/hosts";

/// Asks the machine's name services for the addresses of a name; `None` if no program here can.
pub type Ask = fn(&str) -> io::Result<Option<Vec<IpAddr>>>;

static ASK: OnceLock<Ask> = OnceLock::new();

/// Lets `ask` look up the names that are not in `/etc/hosts`, in this process. Without it the C library looks up all names.
pub fn set_ask(ask: Ask) {
    // The first one stays.
    let _ = ASK.set(ask);
}

/// All addresses of `host` with `port`. Blocks while a name is looked up. An unknown name is an error.
pub fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    find(Path::new(FILE), ASK.get().copied(), host, port)
}

/// Whether `host` is an address of the loopback interface, or its usual name. Looks nothing up.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn find(file: &Path, ask: Option<Ask>, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    // The C library needs no module for a numeric address with a zone.
    if let Some(ask) = ask.filter(|_| !host.contains('%')) {
        let mut found = listed(&fs_err::read_to_string(file).unwrap_or_default(), host);
        if found.is_empty() {
            found = ask(host)?.unwrap_or_default();
        }
        if !found.is_empty() {
            return Ok(found.into_iter().map(|address| (address, port).into()).collect());
        }
    }
    // Its own code reads files and asks DNS, also if it is linked statically.
    #[expect(clippy::disallowed_methods, reason = "the place that all lookups go through")]
    (host, port).to_socket_addrs().map(Iterator::collect)
}

/// The addresses of `host` in the text of hosts(5), IPv6 first, as getaddrinfo(3) sorts them (RFC 6724).
fn listed(text: &str, host: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    let mut found: Vec<IpAddr> = text.lines().filter_map(address).collect();
    found.sort_by_key(IpAddr::is_ipv4);
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "127.0.0.1 localhost agent # old\n::1 ip6-localhost Agent\n10.0.0.300 agent\n\
        # 10.0.0.1 agent\n10.0.0.2 other #agent\n127.0.0.1\tagent\n10.0.0.9";

    fn found(file: &Path, ask: Option<Ask>, host: &str) -> Vec<String> {
        let found = find(file, ask, host, 80).unwrap();
        found.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn files_come_before_other_name_services() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts");
        fs_err::write(&file, TEXT).unwrap();
        let ask: Ask = |name| match name {
            "dns" => Ok(Some(vec!["10.1.1.1".parse().unwrap(), "fd00::1".parse().unwrap()])),
            "slow" => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(None),
        };
        let ask = Some(ask);
        assert_eq!(found(&file, ask, "AGENT"), ["[::1]:80", "127.0.0.1:80"]);
        assert_eq!(found(&file, ask, "other"), ["10.0.0.2:80"]);
        assert_eq!(found(&file, ask, "dns"), ["10.1.1.1:80", "[fd00::1]:80"]);
        assert_eq!(found(&dir.path().join("none"), ask, "dns"), ["10.1.1.1:80", "[fd00::1]:80"]);
        assert_eq!(found(&file, ask, "10.2.3.4"), ["10.2.3.4:80"]);
        assert_eq!(found(&file, ask, "::2"), ["[::2]:80"]);
        let slow = find(&file, ask, "slow", 80).unwrap_err();
        assert_eq!(slow.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_c_library_looks_up_what_nobody_else_does() {
        let nobody: Ask = |_| Ok(None);
        for ask in [None, Some(nobody)] {
            let found = found(Path::new("/no/such/file"), ask, "localhost");
            assert!(found.contains(&"127.0.0.1:80".to_owned()), "{found:?}");
        }
    }
}
