//! Refuses homes that other users may write to before a gateway is stopped whose next process would refuse them.

use super::Supervisor;
use crate::driver::DriverError;
use crate::error_chain::in_one_line;
use crate::gateway::Gateway;
use crate::home::env;
use crate::writers::ALLOWED;

impl Supervisor {
    /// Refuses a home that other users may write to, unless both this command and the gateway's next process may use
    /// it.
    pub(super) fn refuse_open(&self, gateway: &Gateway) -> Result<(), DriverError> {
        self.store.refuse_open(Some(gateway.home()))?;
        if self.driver.allows_open_homes(gateway.name()) {
            return Ok(());
        }
        let strict = self.store.clone().with_open_homes(false);
        strict.refuse_open(Some(gateway.home())).map_err(|error| {
            let variable = format!("{}={ALLOWED}", env::OPEN_HOME);
            let why = format!(
                "the supervision tree runs without {variable}, so the gateway would refuse its home: {}",
                in_one_line(&error)
            );
            let hint = format!(
                "start the tree with {variable}, as in `{variable} hermes up`, or close the directory with `chmod go-w`"
            );
            DriverError::new(why).with_hint(hint)
        })
    }
}
