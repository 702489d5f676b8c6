//! State that all requests share.

use std::io;
use std::sync::Arc;

use axum::http::StatusCode;
use hermes::Hermes;
use hermes_core::events::Journal;

use crate::answer::Refusal;
use crate::deaths::Deaths;
use crate::limits::Limits;
use crate::sign_in::SignIn;
use crate::state_hub::StateHub;
use crate::threads::Threads;
use crate::wake_up::WakeUp;

/// State that all requests share.
pub(crate) struct Shared {
    hermes: Hermes,
    pub(crate) limits: Limits,
    pub(crate) state_hub: StateHub,
    pub(crate) threads: Threads,
    pub(crate) deaths: Deaths,
    pub(crate) sign_in: SignIn,
    /// Readable once the server shuts down; wakes threads that block.
    pub(crate) shutdown: WakeUp,
}

impl Shared {
    pub(crate) fn new(hermes: Hermes, token: String) -> io::Result<Self> {
        let sign_in = SignIn::new(token, hermes.root().dashboard_sign_in());
        let deaths = Deaths::new(Journal::new(hermes.root()));
        Ok(Self {
            hermes,
            deaths,
            sign_in,
            limits: Limits::default(),
            state_hub: StateHub::new()?,
            threads: Threads::new(),
            shutdown: WakeUp::new()?,
        })
    }

    /// The home and backend, detected anew: a supervision tree may have started or ended.
    pub(crate) fn hermes(&self) -> Result<Hermes, hermes::Error> {
        self.hermes.again()
    }

    /// Runs `work` on a thread that may block. `work` completes even if the client disconnects.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Hermes) -> Result<T, hermes::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let worker = self.threads.worker().await.map_err(|source| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "failed to start a thread for the request",
            )
            .because(source)
            .with_hint("end processes, or raise their limit: `ulimit -u`, a pids limit")
        })?;
        let this = self.clone();
        match worker.run(move || work(&this.hermes()?)).await {
            Ok(done) => Ok(done?),
            Err(error) => {
                Err(Refusal::new(StatusCode::CONFLICT, "the request failed").because(error))
            }
        }
    }
}
