//! Cores: threads that serve connections and make attempts, each with a runtime of its own. In: tasks, each for the core that
//! has the fewest. A task stays on its core, and so does what it spawns.
//!
//! Where a client's connection, the connection to its upstream and their timers are on one thread, a request wakes no other
//! thread on its way. To wake one costs as much as all that a proxy does with a request. A runtime that moves tasks between
//! its threads cannot avoid that.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{BLOCKING_THREADS, blocking, try_blocking};

/// For how long a core that ends waits for work that blocks: longer than it takes to write a piece of a file as a rule. A name
/// server that does not answer must not keep a server from ending.
const BLOCKING_LIMIT: Duration = Duration::from_secs(1);
/// The fewest threads for work that blocks that a core may have, however many cores share [`BLOCKING_THREADS`].
const BLOCKING_THREADS_MIN: usize = 32;

/// How many processors the process may use: as many cores a server has as a rule.
pub(crate) fn processors() -> usize {
    static PROCESSORS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    *PROCESSORS
}

thread_local! {
    /// Which core this thread is, from 1. Other threads are none of them: 0.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The cores of a server. When they are dropped, their threads end, and the tasks on them.
#[derive(Debug)]
pub(crate) struct Cores {
    all: Arc<[Core]>,
    threads: Vec<JoinHandle<()>>,
    stop: Option<DropGuard>,
}

/// A core, as whoever has a task for it sees it.
#[derive(Debug)]
pub(super) struct Core {
    runtime: Handle,
    /// How many tasks it has been given that have not ended.
    tasks: Arc<AtomicUsize>,
}

impl Cores {
    /// Starts as many threads as the present runtime has.
    ///
    /// # Errors
    /// Where the operating system gives none.
    pub(crate) fn start() -> io::Result<Self> {
        let count = Handle::current().metrics().num_workers();
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard(); // also where a later one cannot be started
        let blocking_threads = BLOCKING_THREADS.div_ceil(count).max(BLOCKING_THREADS_MIN);
        let started = (1..=count).map(|number| Core::start(number, blocking_threads, stop.clone()));
        let (all, threads): (Vec<_>, Vec<_>) = started.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        Ok(Self { all: all.into(), threads, stop: Some(guard) })
    }

    pub(super) fn all(&self) -> Arc<[Core]> {
        Arc::clone(&self.all)
    }

    /// Ends the threads, and waits for their end.
    pub(crate) async fn end(mut self) {
        let _ended = blocking(self.stop_and_join()).await;
    }

    /// Stops the threads. Gives what waits for their end, and blocks.
    fn stop_and_join(&mut self) -> impl FnOnce() + Send + 'static {
        self.stop = None;
        let threads = std::mem::take(&mut self.threads);
        // None of them panics: tasks that do are caught.
        move || threads.into_iter().for_each(|thread| drop(thread.join()))
    }
}

/// Where nobody waits for their end, the runtime does on which the server was started.
impl Drop for Cores {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            try_blocking(self.stop_and_join());
        }
    }
}

impl Core {
    /// Starts a thread, which lives until `stop`.
    fn start(number: usize, blocking_threads: usize, stop: CancellationToken) -> io::Result<(Self, JoinHandle<()>)> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(blocking_threads).build()?;
        let handle = runtime.handle().clone();
        let mut runtime = Unstarted(Some(runtime));
        let thread = thread::Builder::new().name(format!("core {number}")).spawn(move || {
            NUMBER.set(number);
            let runtime = runtime.0.take().expect("it is taken once");
            runtime.block_on(stop.cancelled());
            runtime.shutdown_timeout(BLOCKING_LIMIT);
        })?;
        Ok((Self { runtime: handle, tasks: Arc::default() }, thread))
    }
}

/// A runtime that may be dropped on a thread of another runtime, where its thread cannot be started.
struct Unstarted(Option<Runtime>);

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Has the core with the fewest tasks run one.
pub(super) fn spawn(cores: &[Core], tracker: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
    let Some(core) = cores.iter().min_by_key(|core| core.tasks.load(Ordering::Relaxed)) else {
        tracker.spawn(task);
        return;
    };
    let counted = Counted::new(&core.tasks);
    // Not an async block: that would take twice the memory of the task.
    tracker.spawn_on(task.map(move |()| drop(counted)), &core.runtime);
}

/// Counts a task until it has ended.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(tasks: &Arc<AtomicUsize>) -> Self {
        tasks.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(tasks))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One value for each core, and one for all threads that are none; each is made when it is first asked for. Where there are
/// more cores than processors, some share theirs with others.
#[derive(Debug)]
pub(crate) struct PerCore<T>(Box<[OnceLock<T>]>);

impl<T> PerCore<T> {
    pub(crate) fn new() -> Self {
        Self((0..=processors()).map(|_| OnceLock::new()).collect())
    }

    /// This thread's value.
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.0[NUMBER.get() % self.0.len()].get_or_init(make)
    }

    /// The values that were made.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceLock::get)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::Tasks;
    use super::*;

    const CORES: usize = 3;

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn tasks_are_shared_out_among_all_cores_and_stay_there() {
        let cores = Cores::start().unwrap();
        let tasks = Tasks::on(&cores);
        let (report, mut reports) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        for _ in 0..2 * CORES {
            let (report, stop, beside) = (report.clone(), stop.clone(), tasks.clone());
            tasks.spawn_on_core(async move {
                let of_child = report.clone();
                report.send(NUMBER.get()).unwrap();
                beside.spawn(async move { of_child.send(NUMBER.get()).unwrap() });
                stop.cancelled().await;
            });
        }
        let mut tasks_of = [0; 1 + CORES];
        for _ in 0..4 * CORES {
            tasks_of[reports.recv().await.unwrap()] += 1;
        }
        assert_eq!(tasks_of, [0, 4, 4, 4]);
        stop.cancel();
        tasks.all_ended().await;
        assert!(cores.all.iter().all(|core| core.tasks.load(Ordering::Relaxed) == 0));
        cores.end().await;
    }

    #[tokio::test]
    async fn the_end_of_the_cores_is_the_end_of_what_runs_on_them() {
        let cores = Cores::start().unwrap();
        let tasks = Tasks::on(&cores);
        let held = Arc::new(());
        let by_task = Arc::clone(&held);
        tasks.spawn_on_core(async move {
            std::future::pending::<()>().await;
            drop(by_task);
        });
        cores.end().await;
        assert_eq!(Arc::strong_count(&held), 1);
        tasks.all_ended().await;
    }

    #[test]
    fn cores_that_are_dropped_end_with_the_runtime_on_which_they_were_started() {
        let (held, runtime) = (Arc::new(()), Builder::new_current_thread().build().unwrap());
        runtime.block_on(async {
            let cores = Cores::start().unwrap();
            let by_task = Arc::clone(&held);
            Tasks::on(&cores).spawn_on_core(async move {
                std::future::pending::<()>().await;
                drop(by_task);
            });
        });
        drop(runtime);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test]
    async fn without_cores_a_task_runs_where_it_is_spawned() {
        let (here, tasks) = (thread::current().id(), Tasks::default());
        let (report, ran_on) = tokio::sync::oneshot::channel();
        tasks.spawn_on_core(async move { report.send(thread::current().id()).unwrap() });
        assert_eq!(ran_on.await.unwrap(), here);
    }

    #[test]
    fn each_core_has_a_value_of_its_own() {
        let values = PerCore::new();
        let value = |number| {
            NUMBER.set(number);
            *values.get_or_init(|| number)
        };
        assert_eq!((value(0), value(1), value(processors()), value(0)), (0, 1, processors(), 0));
        assert_eq!(value(processors() + 2), 1, "shared");
        NUMBER.set(0);
        assert!(values.all().count() >= 2);
    }
}
