//! The secrets that the instances of one deployment share. The store keeps them and may be unavailable at the start.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::failure::chain;
use crate::sealing::KeyId;
use crate::store::{Deployment, StoreControl, StoreError, StorePauses};

/// The longest pause between two questions to a store that does not answer: submissions are refused meanwhile.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a request waits at most for the store's answer: it may turn out to need no store.
const QUICKLY: Duration = Duration::from_millis(100);

/// The deployment's secrets, once they are known.
#[derive(Debug)]
pub(crate) struct KnownDeployment {
    known: OnceLock<Deployment>,
    /// The name for requests that need no store, so that loops are found without one, too.
    meanwhile: Deployment,
}

impl KnownDeployment {
    /// Not known yet.
    pub(crate) fn unknown() -> Self {
        Self { known: OnceLock::new(), meanwhile: Deployment::made_now() }
    }

    /// The deployment's name in `Via`; this instance's name until the deployment's is known.
    pub(crate) fn via_name(&self) -> &str {
        &self.known.get().unwrap_or(&self.meanwhile).via_name
    }

    /// The key for hashes of credentials; `None` until it is known.
    pub(crate) fn credential_key(&self) -> Option<&[u8; 32]> {
        self.known.get().map(|deployment| &deployment.credential_key)
    }

    /// The key that is missing where nothing can be recognized that was hashed before this process began: whose a job is, and
    /// which idempotency keys are taken.
    pub(crate) fn missing_key(&self) -> Option<KeyId> {
        self.known.get().and_then(|deployment| deployment.missing_key)
    }

    /// Asks the store once.
    ///
    /// # Errors
    /// Where it does not say.
    pub(crate) async fn ask(&self, store: &dyn StoreControl) -> Result<(), StoreError> {
        let deployment = store.deployment().await?;
        let missing = deployment.missing_key;
        if let (Ok(()), Some(key)) = (self.known.set(deployment), missing) {
            tracing::error!(
                %key,
                "the deployment's secrets are sealed with a key that is not configured here: nobody's jobs and no idempotency \
                 key can be recognized, so requests that depend on it are refused"
            );
        }
        Ok(())
    }

    /// Asks the store once if the secrets are unknown, so that submissions are accepted as soon as it answers.
    pub(crate) async fn ask_quickly(&self, store: &dyn StoreControl) {
        if self.known.get().is_none() {
            let _not_yet = tokio::time::timeout(QUICKLY, self.ask(store)).await;
        }
    }

    /// Asks the store until it says, or `stop`.
    pub(crate) async fn ask_until_known(self: Arc<Self>, store: Arc<dyn StoreControl>, stop: CancellationToken) {
        let mut pauses = StorePauses::new();
        while let Err(error) = self.ask(&*store).await {
            tracing::debug!(error = chain(&error), "ask the store for the deployment's secrets");
            let pause = pauses.next().min(PAUSE_MAX);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
        tracing::info!("the store answers; jobs are taken in from now on");
    }
}
