//! The one place where tasks are spawned. Each belongs to a group, so that shutdown can wait for all of them. Work that
//! blocks leaves the runtime's threads here, too; its end needs no group as a rule: the runtime waits for it before it ends, a core for a second.

mod cores;

use std::sync::Arc;

use hyper::rt::Executor;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use self::cores::Core;
pub(crate) use self::cores::{Cores, PerCore, processors};

/// Threads for blocking work of a runtime: files, one chunk of one body at a time, and name resolution, which may take seconds and must
/// not delay the files.
pub(crate) const BLOCKING_THREADS: usize = 128;

/// Does work that blocks on a thread that may. The work goes on when the handle is dropped.
pub(crate) fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Does work that blocks where there is a runtime left to do it; for what is dropped at its end. Nobody waits for the work.
pub(crate) fn try_blocking(work: impl FnOnce() + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn_blocking(work);
    }
}

/// A group of tasks that end together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    /// Where there are some.
    cores: Arc<[Core]>,
}

impl Tasks {
    /// A group whose connections and attempts these cores run.
    pub(crate) fn on(cores: &Cores) -> Self {
        Self { tracker: TaskTracker::new(), cores: cores.all() }
    }

    /// Runs a task on a core, where it stays; where there is none, here.
    pub(crate) fn spawn_on_core(&self, task: impl Future<Output = ()> + Send + 'static) {
        cores::spawn(&self.cores, &self.tracker, task);
    }

    /// Runs a task here.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Runs a task whose result somebody waits for. It goes on when the handle is dropped.
    pub(crate) fn spawn_for<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tracker.spawn(task)
    }

    /// Does work that blocks, as a part of the group, on a thread that may. The work goes on when the handle is dropped.
    pub(crate) fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.tracker.spawn_blocking(work)
    }

    /// Runs a task where there is a runtime left to run it; for what is dropped at its end.
    pub(crate) fn try_spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = Handle::try_current() {
            self.tracker.spawn_on(task, &runtime);
        }
    }

    /// Waits until every task has ended, including those that are spawned meanwhile.
    pub(crate) async fn all_ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Lets the HTTP library spawn its tasks here.
impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
