use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The background tasks of one part of the house: started here, asked to stop together, waited for.
#[derive(Clone, Default)]
pub struct Tasks {
    stopping: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Fires when the part is asked to stop; tasks select on it between two pieces of work.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tracker.spawn(work)
    }

    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tracker.spawn_blocking(work)
    }

    /// Asks every task to stop without waiting.
    pub fn ask_to_stop(&self) {
        self.stopping.cancel();
        self.tracker.close();
    }

    /// Asks every task to stop and waits for them; `false` if some were still running after `patience`.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.ask_to_stop();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}
