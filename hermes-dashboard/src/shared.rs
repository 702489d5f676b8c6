//! What all requests share.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use axum::http::StatusCode;
use hermes::Hermes;
use rustix::event::EventfdFlags;

use crate::answer::Refusal;
use crate::limits::Limits;
use crate::state_hub::StateHub;

/// What all requests share.
pub(crate) struct Shared {
    hermes: Hermes,
    pub(crate) limits: Limits,
    pub(crate) state_hub: StateHub,
    /// Becomes readable when the end has begun, for threads that block.
    pub(crate) shutdown: Arc<OwnedFd>,
}

impl Shared {
    pub(crate) fn new(hermes: Hermes) -> io::Result<Self> {
        let shutdown = rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Self {
            hermes,
            limits: Limits::default(),
            state_hub: StateHub::new()?,
            shutdown: Arc::new(shutdown),
        })
    }

    /// Home and backend now: trees come and go.
    pub(crate) fn hermes(&self) -> Result<Hermes, hermes::Error> {
        self.hermes.again()
    }

    /// Does `work`, which may block, on a thread for that. It goes on if the client has gone.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Hermes) -> Result<T, hermes::Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || work(&this.hermes()?)).await {
            Ok(done) => Ok(done?),
            Err(error) => Err(Refusal::new(StatusCode::CONFLICT, "failed to do it").because(error)),
        }
    }
}
