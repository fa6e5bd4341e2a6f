//! The one place where tasks are spawned: each is known to a tracker, so that shutdown can wait for all of them.

use hyper::rt::Executor;
use tokio_util::task::TaskTracker;

/// A group of tasks that end together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Runs a task where there is a runtime left to run it; for what is dropped at its end.
    pub(crate) fn try_spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tracker.spawn_on(task, &runtime);
        }
    }

    /// Waits until every task has ended, those included that are spawned meanwhile.
    pub(crate) async fn all_ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
