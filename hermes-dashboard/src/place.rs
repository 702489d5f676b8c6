//! The address that the dashboard listens on, and its origins behind reverse proxies.

use hermes_core::home::env;

use crate::error::DashboardError;
use crate::origin::Origin;

/// The default address.
const HOST: &str = "127.0.0.1";
const PORT: u16 = 9119;

/// The address that the dashboard listens on, and its origins behind reverse proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) origins: Vec<Origin>,
}

impl Place {
    /// These values, else those of `HERMES_DASHBOARD_HOST`, `HERMES_DASHBOARD_PORT` and
    /// `HERMES_DASHBOARD_ORIGIN`, else 127.0.0.1, 9119 and no origin. Port 0 is any free port.
    pub fn new(
        host: Option<String>,
        port: Option<u16>,
        origins: &[String],
    ) -> Result<Self, DashboardError> {
        let port = match (port, hermes::text(env::DASHBOARD_PORT)) {
            (Some(port), _) => port,
            (None, Some(value)) => value.parse().map_err(|_| DashboardError::Port { value })?,
            (None, None) => PORT,
        };
        let host = host.or_else(|| hermes::text(env::DASHBOARD_HOST));
        let origins = match (origins, hermes::text(env::DASHBOARD_ORIGIN)) {
            ([], Some(list)) => Origin::parse_list(&list)?,
            (origins, _) => {
                origins.iter().map(|origin| Origin::parse(origin)).collect::<Result<_, _>>()?
            }
        };
        Ok(Self { host: host.unwrap_or_else(|| HOST.to_owned()), port, origins })
    }

    /// The paths that proxies put before those of the dashboard.
    pub(crate) fn bases(&self) -> Vec<String> {
        self.origins.iter().filter_map(Origin::base).map(str::to_owned).collect()
    }
}
