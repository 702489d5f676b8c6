//! The address to ask: a [`ReadyUrl`], or that of the built-in gateway.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{InvalidReadyUrl, ReadyUrl};
use crate::hosts;

/// An `http://` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(ReadyUrl);

impl Target {
    /// Parses an absolute URL, whose placeholders are filled in.
    pub fn parse(url: &str) -> Result<Self, InvalidReadyUrl> {
        url.parse().map(Self)
    }

    /// The health of a gateway that listens on `host`; on the loopback address if that means all addresses.
    pub fn health(host: &str, port: u16) -> Self {
        let host = match host {
            "0.0.0.0" => Ipv4Addr::LOCALHOST.to_string(),
            "::" => "localhost".to_owned(),
            host => host.to_owned(),
        };
        Self(ReadyUrl { host, port, target: "/health".to_owned() })
    }

    /// All addresses of the host. `localhost` means both loopback addresses, whatever the resolver says.
    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let Self(ReadyUrl { host, port, .. }) = self;
        if host.eq_ignore_ascii_case("localhost") {
            let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(both.map(|address| (address, *port).into()).into());
        }
        hosts::addresses(host, *port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.0.port
    }

    /// The bytes of a request.
    pub(super) fn request(&self) -> Vec<u8> {
        let (target, host) = (&self.0.target, self.0.authority());
        format!("GET {target} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
    }
}

impl fmt::Display for Target {
    /// Without the values in its query, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.target.split_once('?').map(|(path, _)| format!("{path}?…"));
        write!(f, "http://{}{}", self.0.authority(), path.as_ref().unwrap_or(&self.0.target))
    }
}
