//! Tests of thousands of waiting clients, by long poll or as followers: they cost little while nothing happens, and all are
//! answered when the job ends.
//!
//! `PROXQ_TEST_WAITERS` makes it a larger trial: 10,000 is what is promised. Times are those of a release build
//! (`PROXQ_BIN`); a debug build has a multiple of them.

use std::env;
use std::time::Duration;

use harness::{
    Answer, Gate, Job, Proxq, Redis, Reply, Store, Upstream, Wire, count_for, get, on_every_store, on_the_store, post,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Jobs that are waited for.
const JOBS: usize = 50;
/// What a waiting HTTP/1.1 request may cost: two buffers of 8 KiB are the HTTP library's, most of them never touched.
const BYTES_EACH_MAX: u64 = 16 * 1024;
/// What all of them share: the threads and caches of the store's readers, and what the allocator keeps for each thread.
const BYTES_SHARED: u64 = 10 << 20;
/// How soon after the jobs' end the last waiter has its answer: 1 s, and four for a debug build on a busy machine.
const ALL_TOLD_WITHIN: Duration = Duration::from_secs(5);

/// How a client waits.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// For the job's status, with one long poll.
    LongPoll,
    /// For the job's response, on a hop.
    Hop,
}

impl Waiting {
    /// Where it asks below the job's URL. Neither wait ends during a test.
    const fn target(self) -> &'static str {
        match self {
            Self::LongPoll => "?wait=1h",
            Self::Hop => "/content?hop=1",
        }
    }

    fn is_told_of_the_end(self, reply: &Reply) {
        match self {
            Self::LongPoll => assert_eq!(reply.json()["status"], "completed", "{reply}"),
            Self::Hop => assert_eq!((reply.status, reply.text().as_str()), (200, "done"), "{reply}"),
        }
    }
}

/// How many of these tests there are. They may all run at once, and need their sockets at the same time.
const TESTS: u64 = 7;

/// How many there are: fewer where the machine does not allow this process, and the tests beside this one, as many sockets.
/// All of them together leave most of the ports of the loopback to the other tests.
fn waiters() -> usize {
    let wanted = env::var("PROXQ_TEST_WAITERS").map(|text| text.parse().expect("PROXQ_TEST_WAITERS is a number"));
    let allowed = getrlimit(Resource::Nofile)
        .maximum
        .map_or(usize::MAX, |most| usize::try_from(most / (TESTS + 1)).expect("a count"));
    wanted.unwrap_or_else(|_unset| allowed.min(2_000))
}

/// The sockets of this process count against a limit that is low by default.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the maximum anybody may");
}

/// A server on which no wait ends before its job.
async fn server(store: &Store, upstream: &Upstream) -> Proxq {
    let config = store.config_for(upstream).set("concurrency", JOBS).set("maxWait", "1h");
    Proxq::start(config.upstream("followWait", "280s")).await
}

/// Jobs that end when the gate is opened, all of them under way.
async fn gated_jobs(proxq: &Proxq, upstream: &Upstream) -> (Vec<Job>, Gate) {
    let gate = Gate::new();
    upstream.always(Answer::status(200).body("done").wait(&gate));
    let mut jobs = Vec::with_capacity(JOBS);
    for _ in 0..JOBS {
        jobs.push(proxq.submit(post("/x")).await);
    }
    upstream.arrivals(JOBS).await;
    (jobs, gate)
}

/// Connections whose requests wait for the jobs in turn.
async fn waiting(proxq: &Proxq, jobs: &[Job], waiting: Waiting) -> Vec<Wire> {
    let mut wires = Vec::with_capacity(waiters());
    for job in jobs.iter().cycle().take(waiters()) {
        let mut wire = proxq.wire().await;
        wire.send(format!("GET {}{} HTTP/1.1\r\nHost: h\r\n\r\n", job.location, waiting.target())).await;
        wires.push(wire);
    }
    wires
}

/// Opens the gate. Gives how long it took until everybody was told of the end.
async fn time_until_all_are_answered(wires: &mut Vec<Wire>, waiting: Waiting, gate: Gate) -> Duration {
    let (began, mut told) = (Instant::now(), JoinSet::new());
    for mut wire in wires.drain(..) {
        told.spawn(async move {
            let reply = wire.reply().await;
            (Instant::now(), reply)
        });
    }
    gate.open();
    let told = told.join_all().await;
    for (_, reply) in &told {
        waiting.is_told_of_the_end(reply);
    }
    let last = told.into_iter().map(|(told_at, _)| told_at).max().expect("somebody waited");
    last - began
}

/// Redis commands that came over connections, whoever sent them.
fn commands(redis: &Redis) -> u64 {
    let stats = redis.run(&["INFO", "stats"]).text();
    let line = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.and_then(|count| count.trim().parse().ok()).expect("Redis counts its commands")
}

/// Has many clients wait, and asserts what they cost and how soon all of them are told.
async fn are_cheap_and_answered_at_once(store: Store, kind: Waiting) {
    raise_file_limit();
    let upstream = Upstream::start().await;
    let proxq = server(&store, &upstream).await;
    let (jobs, gate) = gated_jobs(&proxq, &upstream).await;
    let before = proxq.memory();
    let mut wires = waiting(&proxq, &jobs, kind).await;
    // Requests are taken in order of arrival: when a later one is answered, the earlier ones wait.
    assert_eq!(proxq.send(get(&jobs[0].location)).await.json()["status"], "running");
    let each = proxq.memory().saturating_sub(before + BYTES_SHARED) / wires.len() as u64;

    let took = time_until_all_are_answered(&mut wires, kind, gate).await;
    eprintln!("{} times {kind:?}: {each} bytes each, all told after {took:?}", waiters());
    assert!(took < ALL_TOLD_WITHIN, "{took:?}");
    assert!(each <= BYTES_EACH_MAX, "{each} bytes for each waiter");
}

on_every_store! {
    async fn many_waiters_are_cheap_and_answered_at_once(store: Store) {
        are_cheap_and_answered_at_once(store, Waiting::LongPoll).await;
    }

    async fn many_followers_are_cheap_and_answered_at_once(store: Store) {
        are_cheap_and_answered_at_once(store, Waiting::Hop).await;
    }
}

on_the_store! {
    Redis:

    async fn the_end_of_a_job_is_read_once_for_all_who_wait(store: Store) {
        raise_file_limit();
        let upstream = Upstream::start().await;
        let proxq = server(&store, &upstream).await;
        let (jobs, gate) = gated_jobs(&proxq, &upstream).await;
        let mut wires = waiting(&proxq, &jobs, Waiting::LongPoll).await;
        let waiters = wires.len() as u64;
        // Requests are taken in order of arrival: when a later one is answered, the earlier ones wait.
        assert_eq!(proxq.send(get(&jobs[0].location)).await.json()["status"], "running");
        let before = commands(proxq.redis());
        time_until_all_are_answered(&mut wires, Waiting::LongPoll, gate).await;
        let by_the_ends = commands(proxq.redis()) - before;
        eprintln!("{by_the_ends} commands for the ends of {JOBS} jobs and {waiters} waiters");
        assert!(by_the_ends < waiters, "{by_the_ends} commands for {waiters} waiters");
    }
}

/// Asserts that many waiting clients cost Redis no commands while nothing changes.
async fn cost_redis_no_commands(store: Store, kind: Waiting) {
    const SPAN: Duration = Duration::from_secs(4);
    raise_file_limit();
    let upstream = Upstream::start().await;
    let proxq = server(&store, &upstream).await;
    let (jobs, _gate) = gated_jobs(&proxq, &upstream).await;
    let in_span = async || {
        let before = commands(proxq.redis());
        count_for(SPAN).await;
        commands(proxq.redis()) - before
    };
    let alone = in_span().await;
    let before = commands(proxq.redis());
    let wires = waiting(&proxq, &jobs, kind).await;
    // To begin to wait costs each a look at least.
    let looked = async || commands(proxq.redis()) - before > 2 * wires.len() as u64;
    harness::eventually("all have looked", looked).await;
    in_span().await;
    let beside = in_span().await;
    eprintln!("{alone} commands in {SPAN:?} alone, {beside} beside {} times {kind:?}", wires.len());
    // The leases of the running jobs are renewed in one of these spans or in both.
    let by_waiters = beside.saturating_sub(alone);
    assert!(by_waiters < wires.len() as u64 / 4, "{by_waiters} commands in {SPAN:?} for {} waiters", wires.len());
}

on_the_store! {
    Redis:

    async fn waiters_cost_redis_no_commands(store: Store) {
        cost_redis_no_commands(store, Waiting::LongPoll).await;
    }

    async fn followers_cost_redis_no_commands(store: Store) {
        cost_redis_no_commands(store, Waiting::Hop).await;
    }
}
