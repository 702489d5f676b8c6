//! Events of gateways that run where the journal of events is out of their reach.

use super::Supervisor;
use crate::changes::Changed;
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;
use crate::store::Profile;

impl Supervisor {
    /// Records in the journal of events what it does not have of the gateways that may have `changed`, where they can't do
    /// so themselves. Elsewhere it does nothing. A failure is logged: the journal is a record, and nothing decides by it.
    pub fn record_distant_events(&self, changed: &Changed) {
        if !self.driver.has_distant_events() {
            return;
        }
        let names = match changed.all {
            true => self.store.possible_names().unwrap_or_default(),
            false => changed.profiles.iter().cloned().collect(),
        };
        let names = names.into_iter().filter(|name| self.driver.can_run(name));
        let gateway = |name| {
            let home = self.store.root().profile(&name);
            Gateway::new(Profile { name, home })
        };
        let gateways: Vec<_> = names.map(gateway).collect();
        if let Err(error) = self.driver.record_distant_events(&gateways) {
            log::warn!("the journal of events may lack deaths: {}", in_one_line(&error));
        }
    }
}
