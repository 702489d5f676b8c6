//! A gateway in the API: the JSON of `hermes gateway status --json`, and the times of its deaths. They are the service
//! manager's if it keeps them, else those in the journal of events.

use hermes::view::{ErrorView, StatusView};
use hermes_core::manager::ManagerError;
use hermes_core::{ProfileName, ServiceManager, Status, Supervisor};
use jiff::Timestamp;
use serde::Serialize;

use crate::deaths::{Deaths, Recent};

/// A gateway, or the error of reading its status.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum GatewayView {
    Readable(Box<Readable>),
    Unreadable(ErrorView),
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Readable {
    #[serde(flatten)]
    view: StatusView,
    /// The times of its deaths in the last hour.
    died: Vec<Timestamp>,
}

impl GatewayView {
    /// The current view of the gateway; `None` if there is no such profile.
    pub(crate) fn of(services: &Supervisor, deaths: &Deaths, name: &ProfileName) -> Option<Self> {
        Self::new(services, &deaths.read(), name, services.status(name))
    }

    fn new(
        services: &Supervisor,
        recent: &Recent,
        name: &ProfileName,
        status: Result<Status, ManagerError>,
    ) -> Option<Self> {
        let died = || match services.recent_deaths(name) {
            Ok(died) if !died.is_empty() => died,
            _ => recent.of(name).to_vec(),
        };
        match status {
            Ok(status) => Some(Self::Readable(Box::new(Readable {
                view: StatusView::from(status),
                died: died(),
            }))),
            Err(ManagerError::NoSuchProfile { .. }) => None,
            Err(error) => {
                let error = ErrorView::from(hermes::Error::from(error));
                Some(Self::Unreadable(ErrorView { profile: Some(name.clone()), ..error }))
            }
        }
    }

    /// Whether both views are equal, apart from the uptime.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Readable(one), Self::Readable(two)) => {
                one.view.status == two.view.status && one.died == two.died
            }
            (Self::Unreadable(one), Self::Unreadable(two)) => one == two,
            _ => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn seen(status: Status) -> Self {
        Self::Readable(Box::new(Readable { view: StatusView::from(status), died: Vec::new() }))
    }

    /// The same with what the gateway uses.
    pub(crate) fn measured(mut self, services: &Supervisor) -> Self {
        StatusView::measure(services, self.view_mut().into_iter());
        self
    }

    fn view_mut(&mut self) -> Option<&mut StatusView> {
        match self {
            Self::Readable(readable) => Some(&mut readable.view),
            Self::Unreadable(_) => None,
        }
    }

    /// The status, unless reading it failed.
    pub(crate) fn view(&self) -> Option<&StatusView> {
        match self {
            Self::Readable(readable) => Some(&readable.view),
            Self::Unreadable(_) => None,
        }
    }
}

/// The gateways of all profiles, `default` first.
pub(crate) fn all(
    services: &Supervisor,
    deaths: &Deaths,
) -> Result<Vec<(ProfileName, GatewayView)>, hermes::Error> {
    let names = services.store().possible_names()?;
    let statuses = services.statuses(&names)?;
    let recent = deaths.read();
    let gateway_view = |(name, status): (ProfileName, _)| {
        Some((name.clone(), GatewayView::new(services, &recent, &name, status)?))
    };
    Ok(names.into_iter().zip(statuses).filter_map(gateway_view).collect())
}

/// As [`all`], with what each gateway uses.
pub(crate) fn all_measured(
    services: &Supervisor,
    deaths: &Deaths,
) -> Result<Vec<(ProfileName, GatewayView)>, hermes::Error> {
    let mut all = all(services, deaths)?;
    StatusView::measure(
        services,
        all.iter_mut().filter_map(|(_, gateway_view)| gateway_view.view_mut()),
    );
    Ok(all)
}
