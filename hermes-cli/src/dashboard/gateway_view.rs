//! What the dashboard tells of a gateway: what `hermes gateway status --json` does, and when it died.

use hermes::view::StatusView;
use hermes_core::manager::ManagerError;
use hermes_core::{ProfileName, ServiceManager, Status, Supervisor};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::args::ProfileSelector;
use crate::commands::status;
use crate::error::CliError;
use crate::output;

/// A gateway, or why nothing can be told of it.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum GatewayView {
    /// What its supervisor says.
    Seen(Box<Seen>),
    /// Why that can't be read.
    Unreadable {
        profile: ProfileName,
        #[serde(flatten)]
        error: Value,
    },
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Seen {
    #[serde(flatten)]
    pub(super) view: StatusView,
    /// When it died in the last hour.
    died: Vec<Timestamp>,
}

impl GatewayView {
    /// What is to be told of a profile now; `None` if there is no such profile.
    pub(super) fn of(services: &Supervisor, name: &ProfileName) -> Option<Self> {
        Self::told(services, name, services.status(name))
    }

    /// The same, given what the supervisor answered.
    fn told(
        services: &Supervisor,
        name: &ProfileName,
        status: Result<Status, ManagerError>,
    ) -> Option<Self> {
        match status {
            Ok(status) => Some(Self::Seen(Box::new(Seen {
                view: StatusView::from(status),
                died: services.recent_deaths(name).unwrap_or_default(),
            }))),
            Err(ManagerError::NoSuchProfile { .. }) => None,
            Err(error) => {
                let error = output::as_json(&CliError::from(error));
                Some(Self::Unreadable { profile: name.clone(), error })
            }
        }
    }

    /// Whether there is nothing new in it. Time passes, which is none.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Seen(one), Self::Seen(two)) => {
                one.view.status == two.view.status && one.died == two.died
            }
            (
                Self::Unreadable { profile, error },
                Self::Unreadable { profile: other, error: too },
            ) => profile == other && error == too,
            _ => false,
        }
    }

    /// What its supervisor says, if that could be read.
    pub(super) fn view(&self) -> Option<&StatusView> {
        match self {
            Self::Seen(seen) => Some(&seen.view),
            Self::Unreadable { .. } => None,
        }
    }
}

/// All profiles, `default` first.
pub(super) fn all(
    app: &App,
    services: &Supervisor,
) -> Result<Vec<(ProfileName, GatewayView)>, CliError> {
    let names = status::names(app, &ProfileSelector { names: Vec::new(), all: true })?;
    let statuses = services.statuses(&names)?;
    let gateway_view = |(name, status): (ProfileName, _)| {
        Some((name.clone(), GatewayView::told(services, &name, status)?))
    };
    Ok(names.into_iter().zip(statuses).filter_map(gateway_view).collect())
}
