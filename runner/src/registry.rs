//! This runner as others see it.

use std::sync::Arc;

use daemon::causes;
use shared::{RunnerId, RunnerState};
use store::{Registration, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::{Settings, capacity::Offer, lease};

/// This start of this process, as it is registered.
#[derive(Clone)]
pub(crate) struct Registry {
    store: Store,
    registration: Arc<Registration>,
}

impl Registry {
    pub(crate) async fn enter(
        settings: &Settings,
        offer: Offer,
        store: Store,
    ) -> Result<Self, StoreError> {
        let host = nix::unistd::gethostname().unwrap_or_default();
        let registration = Registration {
            id: RunnerId(ulid::Ulid::generate().to_string()),
            name: format!("{}-{}", host.to_string_lossy(), std::process::id()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_users: offer.max_users,
            measured: offer.measured,
            labels: settings.runner_labels.clone(),
        };
        store.register(&registration).await?;
        Ok(Self { store, registration: Arc::new(registration) })
    }

    pub(crate) fn id(&self) -> &RunnerId {
        &self.registration.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.registration.name
    }

    /// Most users of one run.
    pub(crate) fn max_users(&self) -> u32 {
        self.registration.max_users
    }

    /// Says that this runner lives, and from `draining` on that it takes no work, until it is `over`.
    /// Begins `draining` where somebody asks for that.
    pub(crate) async fn beat_until(self, over: CancellationToken, draining: CancellationToken) {
        let every = lease::renew_interval(&self.store.lease());
        loop {
            let takes_work = !draining.is_cancelled();
            let state = if takes_work { RunnerState::Active } else { RunnerState::Draining };
            if self.say(state).await && takes_work {
                tracing::info!("asked to drain: the run under way may end, however long it takes");
                draining.cancel();
            }
            tokio::select! {
                () = over.cancelled() => return,
                () = draining.cancelled(), if takes_work => {}
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Says goodbye.
    pub(crate) async fn leave(&self) {
        self.say(RunnerState::Gone).await;
    }

    /// Whether it was asked to drain.
    async fn say(&self, state: RunnerState) -> bool {
        let said = match self.store.beat(self.id(), state).await {
            Err(StoreError::UnknownRunner(_)) => {
                self.store.register(&self.registration).await.map(|()| false)
            }
            said => said,
        };
        said.unwrap_or_else(|error| {
            tracing::warn!(error = %causes(&error), "cannot tell that this runner is {state:?}");
            false
        })
    }
}
