//! The address that the dashboard listens on, and its public origin.

use axum::http::Uri;
use hermes_core::home::env;

use crate::error::DashboardError;

/// The default address.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 9119;

/// The address that the dashboard listens on, and its public origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The origin of a reverse proxy.
    pub(crate) origin: Option<String>,
}

impl Place {
    /// These values, else those of `HERMES_DASHBOARD_HOST`, `HERMES_DASHBOARD_PORT` and
    /// `HERMES_DASHBOARD_ORIGIN`, else 127.0.0.1, 9119 and no origin. Port 0 is any free port.
    pub fn new(
        host: Option<String>,
        port: Option<u16>,
        origin: Option<String>,
    ) -> Result<Self, DashboardError> {
        let port = match (port, hermes::text(env::DASHBOARD_PORT)) {
            (Some(port), _) => port,
            (None, Some(value)) => value.parse().map_err(|_| DashboardError::Port { value })?,
            (None, None) => PORT,
        };
        let host = host.or_else(|| hermes::text(env::DASHBOARD_HOST));
        let origin = origin.or_else(|| hermes::text(env::DASHBOARD_ORIGIN));
        let origin = origin.map(normalized).transpose()?;
        Ok(Self { host: host.unwrap_or_else(|| HOST.to_owned()), port, origin })
    }
}

/// The origin in the form that browsers send.
fn normalized(text: String) -> Result<String, DashboardError> {
    let uri = text.parse::<Uri>().ok();
    let parts = uri.as_ref().and_then(|uri| {
        let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        let scheme = uri.scheme_str().filter(|scheme| bare && ["http", "https"].contains(scheme));
        Some((scheme?, uri.authority()?))
    });
    match parts {
        Some((scheme, authority)) => Ok(format!("{scheme}://{authority}").to_ascii_lowercase()),
        None => Err(DashboardError::Origin { value: text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_an_authority() {
        let origin = |text: &str| normalized(text.to_owned()).ok();
        assert_eq!(origin("https://Hermes.example/").as_deref(), Some("https://hermes.example"));
        assert_eq!(origin("http://box:8080").as_deref(), Some("http://box:8080"));
        for wrong in ["", "hermes.example", "https://", "ftp://a", "https://a/b", "https://a/?b"] {
            let error = normalized(wrong.to_owned()).unwrap_err();
            assert!(error.is_permanent(), "{error}");
        }
    }
}
