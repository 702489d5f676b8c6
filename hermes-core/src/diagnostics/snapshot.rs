//! The facts for the checks, read once: the profiles, and the services of their gateways.

use std::collections::BTreeMap;

use crate::driver::DriverError;
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;
use crate::home::RootHome;
use crate::intent::{Intent, IntentError};
use crate::name::ProfileName;
use crate::parallel;
use crate::reconcile::Action;
use crate::status::Status;
use crate::store::{Listing, Skipped, Store};

use super::Remedy;

/// A home and its gateways, at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The root home.
    pub root: RootHome,
    /// The gateways of the profiles, `default` first, then by name. The configuration of each is read at
    /// most once.
    pub gateways: Vec<Gateway>,
    /// The intent of each.
    pub intents: BTreeMap<ProfileName, Result<Intent, IntentError>>,
    /// Directories that look like profiles but are not.
    pub skipped: Vec<Skipped>,
    /// Why the profiles can't be listed; `None` if they can.
    pub unlisted: Option<String>,
    /// The gateways' services, or why they can't be read.
    pub services: Result<Services, String>,
    /// Why this process supervises nothing, if another machine or container runs the gateways.
    pub client: Option<String>,
    options: String,
}

/// The services of the gateways.
#[derive(Debug)]
pub struct Services {
    /// The status of each profile's gateway, or why it can't be read.
    pub statuses: BTreeMap<ProfileName, Result<Status, DriverError>>,
    /// The plan of a boot; `None` if the backend installs services, which need no boot.
    pub plan: Option<Vec<Action>>,
}

impl Snapshot {
    /// The profiles of `store` now. Their services are not read:
    /// [`Supervisor::snapshot`](crate::Supervisor::snapshot) does that. `options` belong to every suggested
    /// command line, each after a space. Changes nothing, does not wait.
    pub fn of_profiles(store: &Store, options: &str) -> Self {
        let (Listing { profiles, skipped }, unlisted) = match store.list() {
            Ok(listing) => (listing, None),
            Err(error) => (Listing::default(), Some(in_one_line(&error))),
        };
        let gateways: Vec<_> = profiles.into_iter().map(Gateway::new).collect();
        let intent = |gateway: &Gateway| (gateway.name().clone(), Intent::read(gateway.home()));
        Self {
            root: store.root().clone(),
            intents: parallel::compute(gateways.iter().collect(), intent).into_iter().collect(),
            gateways,
            skipped,
            unlisted,
            services: Err("the services were not read".to_owned()),
            client: None,
            options: options.to_owned(),
        }
    }

    /// The gateway of the profile `name`, if it exists.
    pub fn gateway(&self, name: &ProfileName) -> Option<&Gateway> {
        self.gateways.iter().find(|gateway| gateway.name() == name)
    }

    /// Whether the profile `name` is absent; one that can't be read is not.
    pub fn is_gone(&self, name: &ProfileName) -> bool {
        let is_hidden = || self.skipped.iter().any(|skipped| skipped.path.ends_with(name.as_str()));
        self.gateway(name).is_none() && self.unlisted.is_none() && !is_hidden()
    }

    /// Whether the profile `name` exists and the operator wants its gateway up; see [`Intent::is_wanted`].
    pub fn is_to_run(&self, name: &ProfileName) -> bool {
        let intent = self.intents.get(name);
        intent.is_some_and(|intent| Intent::is_wanted(intent.as_ref().ok().copied()))
    }

    /// The status of `name`, if the profile exists and its status can be read.
    pub fn status(&self, name: &ProfileName) -> Option<&Status> {
        self.services.as_ref().ok()?.statuses.get(name)?.as_ref().ok()
    }

    /// A command line of `hermes` with the options of this one.
    pub fn command_line(&self, command: &str) -> String {
        format!("hermes {command}{}", self.options)
    }

    /// The remedy that is a command of `hermes`.
    pub fn run(&self, command: &str) -> Remedy {
        Remedy::Run(self.command_line(command))
    }

    /// The command that ends every process of the gateway of `name`, supervised or not, and starts it if it is
    /// wanted.
    pub fn bring_to_intent(&self, name: &ProfileName) -> Remedy {
        let verb = if self.is_to_run(name) { "restart" } else { "stop" };
        self.run(&format!("gateway {verb} {name}"))
    }
}

impl Services {
    /// The plan of a boot; empty if the backend needs none.
    pub fn actions(&self) -> &[Action] {
        self.plan.as_deref().unwrap_or_default()
    }

    /// Whether a boot would remove the service of `name`, even to create it again.
    pub fn is_to_be_removed(&self, name: &ProfileName) -> bool {
        let removes =
            |action: &Action| matches!(action, Action::Remove { profile, .. } if profile == name);
        self.actions().iter().any(removes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_that_cant_be_read_is_not_stopped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("profiles")).unwrap();
        let store = Store::new(RootHome::new(dir.path()));
        let [runs, stopped, unreadable, absent] =
            ["runs", "stopped", "unreadable", "absent"].map(|name| name.parse().unwrap());
        for (name, intent) in
            [(&runs, Intent::Running), (&stopped, Intent::Stopped), (&unreadable, Intent::Stopped)]
        {
            store.create(name, None, intent).unwrap();
        }
        std::fs::write(store.root().profile(&unreadable).intent(), "runing\n").unwrap();
        let snapshot = Snapshot::of_profiles(&store, "");
        let is_to_run = |name| snapshot.is_to_run(name);
        assert_eq!(
            [&runs, &stopped, &unreadable, &absent].map(is_to_run),
            [true, false, true, false]
        );
        // A stop would record that it is down on purpose.
        let remedy = snapshot.bring_to_intent(&unreadable);
        assert_eq!(remedy, Remedy::Run("hermes gateway restart unreadable".to_owned()));
    }
}
