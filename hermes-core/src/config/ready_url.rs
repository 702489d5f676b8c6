//! `gateway.ready_url`: the address that the readiness probe requests.
//!
//! The configuration check and the probe share this parser, so that the probe can request every address that the
//! check accepts.

use std::fmt::{self, Write};
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::fill::{Placeholders, Unfilled};

const SCHEME: &str = "http://";

/// An `http://` address, without user information and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyUrl {
    /// The name or address of the host; an IPv6 address without its brackets.
    pub host: String,
    /// The port, by default 80.
    pub port: u16,
    /// The path with its query, for the first line of a request.
    pub target: String,
}

/// Why an address can't be requested, and what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReadyUrl {
    /// It has another scheme.
    #[error(
        "must start with http://, as in http://127.0.0.1:8642/health: the probe does not speak TLS"
    )]
    Scheme,
    /// Its host is missing, or has invalid characters.
    #[error("must name a host after http://, as in http://127.0.0.1:8642/health")]
    Host,
    /// It has an IPv6 address without brackets, or an invalid one in them.
    #[error("must have an IPv6 address in brackets, as in http://[::1]:8642/health")]
    Ipv6,
    /// Its port is not a port number.
    #[error("must have a port between 1 and 65535 after the host")]
    Port,
    /// Its path has a blank or another character that a request can't contain.
    #[error("must have a path of visible ASCII characters: write a blank as %20")]
    Path,
}

impl FromStr for ReadyUrl {
    type Err = InvalidReadyUrl;

    fn from_str(url: &str) -> Result<Self, InvalidReadyUrl> {
        let rest = url.strip_prefix(SCHEME).ok_or(InvalidReadyUrl::Scheme)?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(InvalidReadyUrl::Ipv6)?;
                let address = host.split_once('%').map_or(host, |(address, _zone)| address);
                address.parse::<Ipv6Addr>().map_err(|_| InvalidReadyUrl::Ipv6)?;
                (host, port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !authority.starts_with('[') && authority.parse::<Ipv6Addr>().is_ok()
            || port.matches(':').count() > 1
        {
            return Err(InvalidReadyUrl::Ipv6);
        }
        if host.is_empty()
            || !is_visible(host)
            || !(authority.starts_with('[') || host.chars().all(is_name))
        {
            return Err(InvalidReadyUrl::Host);
        }
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or(InvalidReadyUrl::Port)?
            }
            None if port.is_empty() => 80,
            _ => return Err(InvalidReadyUrl::Port),
        };
        let target = rest.split_once('#').map_or(rest, |(target, _)| target);
        if !is_visible(target) {
            return Err(InvalidReadyUrl::Path);
        }
        let root = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { host: host.to_owned(), port, target: format!("{root}{target}") })
    }
}

impl ReadyUrl {
    /// The value of the header `Host`.
    pub fn authority(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

/// `template` with its placeholders filled in as parts of an address: an IPv6 address gets brackets unless they
/// are there, and the home's path is encoded.
pub(super) fn fill(placeholders: &Placeholders<'_>, template: &str) -> Result<String, Unfilled> {
    let (host, home) = (bracketed(placeholders.host), Encoded(placeholders.home).to_string());
    let placeholders = Placeholders { host: &host, home: &home, ..*placeholders };
    placeholders.fill("gateway.ready_url", &template.replace("[{host}]", "{host}"))
}

/// A host as it stands in an address.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A path, with its special characters as `%20`.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => f.write_char(byte.into()),
            _ if byte.is_ascii_alphanumeric() => f.write_char(byte.into()),
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{GatewayConfig, parse};

    fn configured(host: &str, url: &str) -> Result<GatewayConfig, String> {
        let text = format!("gateway: {{host: '{host}', port: 7, ready_url: '{url}'}}\n");
        let loaded = parse(&text, Path::new("/x")).map_err(|error| error.to_string())?;
        Ok(loaded.gateway)
    }

    fn filled(host: &str, url: &str) -> ReadyUrl {
        let config = configured(host, url).unwrap();
        let placeholders = Placeholders {
            profile: "coder",
            home: "/h ü?",
            host,
            port: config.port,
            program: None,
        };
        let url = config.filled_ready_url(&placeholders).unwrap().unwrap();
        url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn every_accepted_address_can_be_requested() {
        for (host, url, authority, target) in [
            ("127.0.0.1", "http://{host}:{port}/health", "127.0.0.1:7", "/health"),
            ("::1", "http://{host}:{port}/health", "[::1]:7", "/health"),
            ("::1", "http://[{host}]:{port}", "[::1]:7", "/"),
            ("0.0.0.0", "http://[{host}]:{port}", "0.0.0.0:7", "/"),
            ("fe80::1%eth0", "http://{host}:{port}", "[fe80::1%eth0]:7", "/"),
            ("box", "http://[::1]:8080?a=b#part", "[::1]:8080", "/?a=b"),
            ("box", "http://my_box.local", "my_box.local:80", "/"),
            ("box", "http://{host}/{profile}{home}", "box:80", "/coder/h%20%C3%BC%3F"),
        ] {
            let url = filled(host, url);
            assert_eq!((url.authority().as_str(), url.target.as_str()), (authority, target));
        }
    }

    #[test]
    fn an_address_that_the_probe_cannot_request_is_refused() {
        for (host, url, problem) in [
            ("box", "https://{host}:{port}/health", InvalidReadyUrl::Scheme),
            ("box", "ftp://{host}", InvalidReadyUrl::Scheme),
            ("box", "{host}:{port}", InvalidReadyUrl::Scheme),
            ("box", "http://", InvalidReadyUrl::Host),
            ("box", "http:///health", InvalidReadyUrl::Host),
            ("box", "http://:{port}/", InvalidReadyUrl::Host),
            ("box", "http://user@{host}/", InvalidReadyUrl::Host),
            ("a box", "http://{host}:{port}/", InvalidReadyUrl::Host),
            ("box", "http://{hosts}:{port}/", InvalidReadyUrl::Host),
            ("box", "http://::1:8642/", InvalidReadyUrl::Ipv6),
            ("box", "http://::1", InvalidReadyUrl::Ipv6),
            ("box", "http://[::1:8642/", InvalidReadyUrl::Ipv6),
            ("::1::", "http://{host}:{port}/", InvalidReadyUrl::Ipv6),
            ("box", "http://{host}:", InvalidReadyUrl::Port),
            ("box", "http://{host}:0/", InvalidReadyUrl::Port),
            ("box", "http://{host}:{port}0000/", InvalidReadyUrl::Port),
            ("box", "http://[::1]8642/", InvalidReadyUrl::Port),
            ("box", "http://{host}:{port}/a b", InvalidReadyUrl::Path),
            ("box", "http://{host}:{port}/ü", InvalidReadyUrl::Path),
        ] {
            let error = configured(host, url).expect_err(url);
            assert!(error.ends_with(&format!(": {problem}")), "{url}: {error}");
            assert!(error.starts_with("invalid `gateway.ready_url` in `/x` line 1 column "));
        }
    }
}
