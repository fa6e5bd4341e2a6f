//! Workers on a store in memory, with an upstream that answers as each test says.

mod attempts;
mod backlog;
mod deadline;
mod lanes;
mod leases;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::cache::ResponseCache;
use crate::clock::{ChosenTime, Timestamp};
use crate::config::{Config, Prefix, Upstream, UpstreamUrl};
use crate::forward::Forwarder;
use crate::job::{Body, Job, JobId, JobRequest, QueueName, State};
use crate::store::memory::MemoryStore;
use crate::store::{JobAccess, JobLookup, NewJob, StoreSettings, Submissions};

/// Longer than anything takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Workers, their store and their upstream.
struct Bench {
    worker: Arc<Worker>,
    store: Arc<MemoryStore>,
    upstream: TcpListener,
    time: &'static ChosenTime,
    renewals: Tasks,
}

impl Bench {
    /// Starts one worker.
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts the workers of a configuration, which `change` makes of one with one worker.
    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_prepared(change, |_| {}).await
    }

    /// The same, after `prepare` has changed the workers themselves.
    async fn start_prepared(change: impl FnOnce(&mut Config), prepare: impl FnOnce(&mut Worker)) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = UpstreamUrl::new(&format!("http://{}", upstream.local_addr().unwrap())).unwrap();
        let mut config = Config { concurrency: 1, ..Config::for_upstream(url) };
        change(&mut config);
        let time = ChosenTime::at(Timestamp::from_millis(1_767_225_600_000));
        let store = Arc::new(MemoryStore::new(StoreSettings::from(&config), time.clock()));
        let forwarder = Forwarder::new(&config.upstreams).unwrap();
        let cache = ResponseCache::open(&config.cache, None, time.clock(), Arc::default());
        let gates =
            Arc::new(Gates::new(&config, Arc::clone(&store) as _, time.clock(), Tasks::default(), Arc::default()));
        let context =
            Arc::new(AttemptContext { config: Arc::new(config), forwarder, cache, traces: None, former: Vec::new() });
        let (tasks, stop) = (Tasks::default(), StopSignals::default());
        let mut worker = Worker::new(context, Arc::clone(&store) as _, time.clock(), gates, tasks, stop);
        prepare(&mut worker);
        let bench = Self { worker: Arc::new(worker), store, upstream, time, renewals: Tasks::default() };
        Arc::clone(&bench.worker).start(&bench.renewals);
        bench
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.worker.context.get().config)
    }

    /// A job for the upstream, which a worker has not seen.
    fn job(&self) -> NewJob {
        let target = format!("http://{}/x", self.upstream.local_addr().unwrap()).parse().unwrap();
        let upstream = Prefix::root().as_str().to_owned();
        let request = JobRequest { id: JobId::new(), upstream, target, ..JobRequest::sample() };
        let config = self.config();
        let queue = config.queue_of(&config.upstreams[0]);
        let body = Body::Inline(Bytes::new());
        NewJob { queue, request, id_is_proposed: false, body, delay: None, claim: None, max_queued: None, call: None }
    }

    async fn submit(&self, job: NewJob) -> JobId {
        let id = job.request.id;
        self.store.submit(job).await.unwrap();
        id
    }

    /// Submits an ordinary job.
    async fn submitted(&self) -> JobId {
        self.submit(self.job()).await
    }

    /// The next request that reaches the upstream.
    async fn request(&self) -> Exchange {
        let (stream, _) = soon(self.upstream.accept()).await.unwrap();
        Exchange::begin(stream).await
    }

    /// The job once it is in this state.
    async fn job_in(&self, state: State, id: JobId) -> Job {
        soon(async {
            loop {
                let change = self.store.watch(id).await.unwrap();
                match self.store.get(id).await.unwrap() {
                    Some(job) if job.state == state => return job,
                    _ => change.await,
                }
            }
        })
        .await
    }

    /// Stops the workers, who have nothing to do any more.
    async fn stop(self) {
        self.worker.stop.draining.cancel();
        soon(self.worker.tasks.all_ended()).await;
        self.stop_renewals().await;
    }

    /// No lease is renewed any more.
    async fn stop_renewals(&self) {
        self.worker.stop.finished.cancel();
        soon(self.renewals.all_ended()).await;
    }
}

/// A request that has reached the upstream, and waits for its answer.
struct Exchange {
    stream: TcpStream,
    head: String,
}

impl Exchange {
    /// Reads a request without a body.
    async fn begin(mut stream: TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.unwrap());
        }
        Self { stream, head: String::from_utf8(head).unwrap() }
    }

    /// Answers, and closes the connection: each request comes on a new one.
    async fn answer(mut self, status: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }

    /// Waits until proxq breaks the exchange off.
    async fn broken_off(mut self) {
        let read = soon(self.stream.read_u8()).await;
        assert!(read.is_err(), "the connection ends");
    }
}

/// The only upstream.
fn upstream(config: &mut Config) -> &mut Upstream {
    &mut config.upstreams[0]
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens")
}
