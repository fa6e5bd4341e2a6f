use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;

use super::backlog::Backlog;
use super::*;
use crate::config::{Config, Prefix, SyncMode, UpstreamUrl};
use crate::forward::Forwarder;
use crate::job::{Body, JobId, JobRequest};
use crate::store::embedded::{EmbeddedOptions, EmbeddedStore};
use crate::store::{NewJob, StoreSettings, Submissions};

/// Hands on every line of the log.
#[derive(Clone)]
struct Lines(tokio::sync::mpsc::UnboundedSender<String>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ended = self.0.send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A worker for one job at a time, and a store with a folder of its own.
struct Bench {
    worker: Arc<Worker>,
    store: Arc<EmbeddedStore>,
    /// Takes connections, and never answers.
    upstream: TcpListener,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(pace: Pace) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = UpstreamUrl::new(&format!("http://{}", upstream.local_addr().unwrap())).unwrap();
        let config = Config { concurrency: 1, ..Config::for_upstream(url) };
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions {
            data_dir: folder.path().to_owned(),
            sync: SyncMode::OperatingSystem,
            settings: StoreSettings::from(&config),
            instance: "one".to_owned(),
        };
        let clock = Clock::new();
        let store = Arc::new(EmbeddedStore::open(options, clock).unwrap());
        let forwarder = Forwarder::new(&config.upstreams).unwrap();
        let context = Arc::new(AttemptContext { config: Arc::new(config), forwarder, cache: None, former: Vec::new() });
        let worker = Worker::new(context, Arc::clone(&store) as _, clock, Tasks::default(), StopSignals::default());
        Self { worker: Arc::new(Worker { pace, ..worker }), store, upstream, _folder: folder }
    }

    async fn submit(&self) {
        let target = format!("http://{}/x", self.upstream.local_addr().unwrap()).parse().unwrap();
        let upstream = Prefix::root().as_str().to_owned();
        let request = JobRequest { id: JobId::new(), upstream, target, ..JobRequest::sample() };
        let queue = self.worker.context.get().config.queue.clone();
        let job = NewJob { queue, request, body: Body::Inline(Bytes::new()), delay: None, claim: None };
        self.store.submit(job).await.unwrap();
    }
}

#[tokio::test]
async fn jobs_that_wait_while_all_workers_are_busy_are_a_warning() {
    let (lines, mut logged) = tokio::sync::mpsc::unbounded_channel();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Lines(lines)).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let pace = Pace { busy_for: Duration::from_millis(10), say_every: Duration::from_millis(20) };
    let bench = Bench::new(pace).await;
    let upkeep = Tasks::default();
    Arc::clone(&bench.worker).start(&upkeep);

    bench.submit().await;
    let _connection = bench.upstream.accept().await.unwrap();
    let queue = bench.worker.context.get().config.queue.clone();
    Backlog::new(pace).look(&*bench.store, &queue, 1).await;
    while let Ok(line) = logged.try_recv() {
        assert!(!line.contains("jobs wait"), "nothing waits: {line}");
    }

    bench.submit().await;
    bench.submit().await;
    for _ in 0..2 {
        let line = loop {
            let line = logged.recv().await.unwrap();
            // A look may have come between both submissions.
            if line.contains("jobs wait") && !line.contains("waiting=1") {
                break line;
            }
        };
        assert!(line.contains("WARN") && line.contains("waiting=2") && line.contains("concurrency=1"), "{line}");
    }
    bench.worker.stop.draining.cancel();
    bench.worker.stop.abort.cancel();
    bench.worker.tasks.all_ended().await;
    bench.worker.stop.finished.cancel();
    upkeep.all_ended().await;
}
