//! What the checks look at, gathered once: the profiles with their configuration, and the tree.

use std::sync::Arc;

use hermes_core::config::{self, ConfigError, Loaded};
use hermes_core::error_chain::in_one_line;
use hermes_core::process_lock::Holder;
use hermes_core::reconcile::Action;
use hermes_core::store::{Listing, Profile, Skipped};
use hermes_core::{Driver, Intent, Kind, ProfileName, ServiceManager, Status, Supervisor};
use hermes_s6::S6Driver;

use super::report::Remedy;
use crate::app::App;
use crate::error::CliError;

/// Everything that is looked at.
pub(super) struct Snapshot<'a> {
    pub(super) app: &'a App,
    /// The backend in charge.
    pub(super) kind: Kind,
    /// The sequences over it, if it can be used.
    pub(super) supervisor: Option<Supervisor>,
    pub(super) profiles: Vec<ProfileSnapshot>,
    pub(super) skipped: Vec<Skipped>,
    /// Why the profiles can't be listed.
    pub(super) unlisted: Option<String>,
    /// The s6 backend, whether a tree is there or not; `None` where another backend is in charge.
    pub(super) s6: Option<Result<S6Driver, CliError>>,
    /// The backend of a host, which gateways are installed in; `None` where there is another.
    pub(super) host: Option<Supervisor>,
    /// The tree, where there is one and it is this home's; else why there is nothing to look at.
    pub(super) tree: Result<TreeSnapshot, String>,
}

/// One profile.
pub(super) struct ProfileSnapshot {
    pub(super) profile: Profile,
    pub(super) config: Result<Loaded, ConfigError>,
    pub(super) intent: Option<Intent>,
    /// What its supervisor says, where there is a tree; else why that can't be told.
    pub(super) status: Result<Status, String>,
}

/// A live tree of this home's.
pub(super) struct TreeSnapshot {
    pub(super) manager: S6Driver,
    pub(super) svscan: Holder,
    /// What boot would do.
    pub(super) plan: Vec<Action>,
}

impl<'a> Snapshot<'a> {
    /// Looks at everything once.
    pub(super) fn gather(app: &'a App) -> Self {
        let kind = app.hermes.kind().unwrap_or(Kind::NONE);
        let s6 = (kind == hermes_s6::KIND)
            .then(|| S6Driver::connect(app.hermes.environment()).map_err(CliError::from));
        let supervisor = app.supervisor().ok();
        let tree = match &s6 {
            None => Err(format!("the backend is {kind}, and not s6")),
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(driver)) => examine_tree(driver, app),
        };
        let (Listing { profiles, skipped }, unlisted) = match app.store().list() {
            Ok(listing) => (listing, None),
            Err(error) => (Listing::default(), Some(CliError::of(error).in_one_line())),
        };
        let host = supervisor.clone().filter(Supervisor::supports_installation);
        let names: Vec<_> = profiles.iter().map(|profile| profile.name.clone()).collect();
        let reason = |error| CliError::from(error).in_one_line();
        let statuses = match (&supervisor, &tree) {
            (_, Err(why)) if host.is_none() => vec![Err(why.clone()); names.len()],
            (Some(supervisor), _) => match supervisor.statuses(&names) {
                Ok(statuses) => statuses.into_iter().map(|status| status.map_err(reason)).collect(),
                Err(error) => vec![Err(reason(error)); names.len()],
            },
            (None, _) => vec![Err("no backend can be used".to_owned()); names.len()],
        };
        let snapshot = |(profile, status): (Profile, _)| ProfileSnapshot {
            config: config::load(&profile.home.config()),
            intent: Intent::read(&profile.home).ok(),
            status,
            profile,
        };
        let profiles = profiles.into_iter().zip(statuses).map(snapshot).collect();
        Self { app, kind, profiles, skipped, unlisted, s6, supervisor, host, tree }
    }

    /// What is known of the gateway of `name`, if there is such a profile and it can be told.
    pub(super) fn status(&self, name: &ProfileName) -> Option<&Status> {
        let snapshot = self.profiles.iter().find(|snapshot| snapshot.profile.name == *name);
        snapshot?.status.as_ref().ok()
    }

    /// The status of `name` now, if it can be read.
    pub(super) fn observe(&self, name: &ProfileName) -> Option<Status> {
        self.supervisor.as_ref()?.status(name).ok()
    }

    /// A command of ours that mends.
    pub(super) fn run(&self, command: &str) -> Remedy {
        Remedy::Run(self.app.line(command))
    }
}

fn examine_tree(driver: &S6Driver, app: &App) -> Result<TreeSnapshot, String> {
    let svscan = driver.tree().require_svscan().map_err(|error| error.to_string())?;
    driver.tree().require_same_home(svscan).map_err(|error| error.to_string())?;
    let supervisor = Supervisor::new(Arc::new(driver.clone()), app.store().clone());
    let plan = supervisor.plan_boot().map_err(|error| in_one_line(&error))?;
    Ok(TreeSnapshot { manager: driver.clone(), svscan, plan })
}
