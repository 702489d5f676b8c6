//! What the checks look at, gathered once: the profiles with their configuration, and the tree.

use hermes_core::config::{self, ConfigError, Loaded};
use hermes_core::process_lock::Holder;
use hermes_core::store::{Listing, Profile, Skipped};
use hermes_core::{Intent, Kind, ProfileName, ServiceManager, Status};
use hermes_s6::reconcile::Action;
use hermes_s6::{S6Manager, boot};

use super::report::Remedy;
use crate::app::{App, Services};
use crate::error::CliError;

/// Everything that is looked at.
pub(super) struct Snapshot<'a> {
    pub(super) app: &'a App,
    pub(super) profiles: Vec<ProfileSnapshot>,
    pub(super) skipped: Vec<Skipped>,
    /// Why the profiles can't be listed.
    pub(super) unlisted: Option<String>,
    /// The s6 backend, whether a tree is there or not; `None` where another backend is in charge.
    pub(super) s6: Option<Result<S6Manager, CliError>>,
    /// The backend of a host, which gateways are installed in; `None` where there is another.
    pub(super) host: Option<Services>,
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
    pub(super) manager: S6Manager,
    pub(super) svscan: Holder,
    /// What boot would do.
    pub(super) plan: Vec<Action>,
}

impl<'a> Snapshot<'a> {
    /// Looks at everything once.
    pub(super) fn gather(app: &'a App) -> Self {
        let s6 = (app.facts.backend() == Kind::S6).then(|| app.s6());
        let tree = match &s6 {
            None => Err(format!("the backend is {}, and not s6", app.facts.backend())),
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(manager)) => look_at(manager),
        };
        let (Listing { profiles, skipped }, unlisted) = match app.store.list() {
            Ok(listing) => (listing, None),
            Err(error) => (Listing::default(), Some(CliError::of(error).in_one_line())),
        };
        let services = app.registrar().ok();
        let host = services.filter(|services| services.supports_installation());
        let names: Vec<_> = profiles.iter().map(|profile| profile.name.clone()).collect();
        let told = |error| CliError::from(error).in_one_line();
        let mut statuses = host.as_ref().map(|services| match services.statuses(&names) {
            Ok(statuses) => {
                statuses.into_iter().map(|status| status.map_err(told)).collect::<Vec<_>>()
            }
            Err(error) => vec![Err(told(error)); names.len()],
        });
        let mut statuses = statuses.iter_mut().flat_map(|statuses| statuses.drain(..));
        let mut snapshot = |profile: Profile| ProfileSnapshot {
            config: config::load(&profile.home.config()),
            intent: Intent::read(&profile.home).ok(),
            status: match &tree {
                _ if host.is_some() => statuses.next().unwrap_or_else(|| Err(String::new())),
                Ok(tree) => {
                    let status = tree.manager.status(&profile.name);
                    status.map_err(|error| CliError::from(error).in_one_line())
                }
                Err(why) => Err(why.clone()),
            },
            profile,
        };
        Self {
            app,
            profiles: profiles.into_iter().map(&mut snapshot).collect(),
            skipped,
            unlisted,
            s6,
            host,
            tree,
        }
    }

    /// What is known of the gateway of `name`, if there is such a profile and it can be told.
    pub(super) fn status(&self, name: &ProfileName) -> Option<&Status> {
        let snapshot = self.profiles.iter().find(|snapshot| snapshot.profile.name == *name);
        snapshot?.status.as_ref().ok()
    }

    /// A command of ours that mends.
    pub(super) fn run(&self, command: &str) -> Remedy {
        Remedy::Run(self.app.line(command))
    }
}

fn look_at(manager: &S6Manager) -> Result<TreeSnapshot, String> {
    // Not what could not be done for it, but what it is.
    let told = |error| {
        let error = CliError::from(error);
        error.causes().next().unwrap_or_else(|| error.to_string())
    };
    let svscan = manager.tree().require_svscan("look at the tree").map_err(told)?;
    manager.tree().require_same_home("look at the tree", svscan).map_err(told)?;
    let plan = boot::plan(manager).map_err(told)?;
    Ok(TreeSnapshot { manager: manager.clone(), svscan, plan })
}
