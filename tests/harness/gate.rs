//! A gate that holds an upstream's answers until the test lets them through.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Closed at first. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    passes: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { passes: Arc::new(Semaphore::new(0)) }
    }

    /// Lets this many through, one each.
    pub fn let_through(&self, count: usize) {
        self.passes.add_permits(count);
    }

    /// Lets everyone through from now on.
    pub fn open(&self) {
        self.passes.close();
    }

    /// Returns when there is a way through.
    pub(crate) async fn pass(&self) {
        if let Ok(permit) = self.passes.acquire().await {
            permit.forget();
        }
    }
}
