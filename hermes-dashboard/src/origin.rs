//! The origins that browsers use if a reverse proxy is in front of the dashboard.

use axum::http::Uri;
use axum::http::uri::Authority;

use crate::error::DashboardError;

/// The address of the page behind a reverse proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// What browsers send as `Origin`: a scheme and an authority without the scheme's default port.
    text: String,
    /// The host, in lower case.
    host: String,
    /// The path that the proxy puts before those of the dashboard; empty, or with a slash at its start alone.
    base: String,
}

impl Origin {
    /// The origins in a list that is separated by commas or spaces.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, DashboardError> {
        let values = text.split([',', ' ', '\n']).filter(|value| !value.is_empty());
        values.map(Self::parse).collect()
    }

    /// The origin and the base path of a URL like `https://hermes.example:8443/hermes`.
    pub(crate) fn parse(text: &str) -> Result<Self, DashboardError> {
        let invalid = || DashboardError::Origin { value: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        let (Some(scheme), Some(authority)) = (scheme, uri.authority()) else {
            return Err(invalid());
        };
        let base = uri.path().trim_end_matches('/');
        let is_plain = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            !["", ".", ".."].contains(&part) && part.bytes().all(is_plain)
        };
        let is_path = base.is_empty() || base.split('/').skip(1).all(is_plain);
        if !is_path || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(invalid());
        }
        let default = if scheme == "http" { 80 } else { 443 };
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().filter(|port| *port != default);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self { text: format!("{scheme}://{host}{port}"), host, base: base.to_owned() })
    }

    /// Whether `text` is what a browser sends as the `Origin` of this page.
    pub(crate) fn is_in_header(&self, text: &str) -> bool {
        self.text == text
    }

    /// Whether the host of `authority` is the one of this origin, with any port: a proxy may leave the port out.
    pub(crate) fn has_host_of(&self, authority: &Authority) -> bool {
        authority.host().eq_ignore_ascii_case(&self.host)
    }

    /// The path that a proxy puts before those of the dashboard, if any.
    pub(crate) fn base(&self) -> Option<&str> {
        Some(self.base.as_str()).filter(|base| !base.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_an_authority_and_may_have_a_base_path() {
        for (text, origin, base) in [
            ("https://Hermes.example/", "https://hermes.example", None),
            ("http://box:8080", "http://box:8080", None),
            ("https://box:443", "https://box", None),
            ("http://box:443", "http://box:443", None),
            ("https://[::1]:8443/hermes/", "https://[::1]:8443", Some("/hermes")),
            ("https://box/a/b-c", "https://box", Some("/a/b-c")),
        ] {
            let parsed = Origin::parse(text).unwrap();
            assert!(parsed.is_in_header(origin), "{text}: {parsed:?}");
            assert_eq!(parsed.base(), base, "{text}");
        }
        for wrong in [
            "",
            "hermes.example",
            "https://",
            "ftp://a",
            "https://a/?b",
            "https://a/../b",
            "https://a//b",
            "https://a/{b}",
            "https://a/%62",
            "https://you@a",
        ] {
            let error = Origin::parse(wrong).unwrap_err();
            assert!(error.is_permanent(), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_list_is_separated_by_commas_or_spaces() {
        let all = Origin::parse_list("https://a.example, http://b:81/x").unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].base(), Some("/x"));
        assert_eq!(Origin::parse_list(" ").unwrap(), []);
        assert!(Origin::parse_list("https://a.example,b").is_err());
    }
}
