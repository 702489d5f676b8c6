//! Threads for work that may block. tokio's pool panics where the system refuses a thread (`ulimit -u`, a pids limit);
//! here that is an error, before the work is begun.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

/// The most threads at a time. Further work waits.
const MOST: u32 = 256;

type Work = Box<dyn FnOnce() + Send>;

/// The threads of a server.
pub(crate) struct Threads {
    permits: Arc<Semaphore>,
}

/// A thread that waits for its work.
pub(crate) struct Worker {
    work: mpsc::Sender<Work>,
}

impl Threads {
    pub(crate) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(MOST as usize)) }
    }

    /// Starts a thread.
    pub(crate) async fn worker(&self) -> io::Result<Worker> {
        let permit = self.permits.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (work, next) = mpsc::channel::<Work>();
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            let _permit = permit;
            if let Ok(work) = next.recv() {
                work();
            }
        })?;
        Ok(Worker { work })
    }

    /// Waits until all threads have ended, at most `timeout`.
    pub(crate) async fn await_end(&self, timeout: Duration) {
        let _ = tokio::time::timeout(timeout, self.permits.acquire_many(MOST)).await;
    }
}

impl Worker {
    /// Runs `work`, which completes even if nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        // Fails only if the thread has ended, which the result shows, too.
        let _ = self.work.send(Box::new(move || drop(done.send(work()))));
        result.await.map_err(|_| io::Error::other("its thread has panicked"))
    }
}
