//! Tests with `kill -9` under load: no accepted job is lost, and no request is sent twice that must not be.
//!
//! A population of clients submits numbered jobs to an upstream that counts every delivery. `PROXQ_TEST_KILLS` and
//! `PROXQ_TEST_JOBS` (how many reach the upstream between two kills) make it a longer trial.

use std::collections::HashMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{Answer, Job, Proxq, Request, Store, Upstream, get, keep_pace, on_every_store, on_the_store, post, put};
use proxq_protocol::{JobId, JobStatus, Outcome, header};
use tokio::task::JoinSet;

const CLIENTS: u64 = 8;
/// How many jobs a server under test forwards at once, hence how many each fault may fail.
const CONCURRENCY: usize = 10;

fn kills() -> usize {
    from_environment("PROXQ_TEST_KILLS", 4)
}

fn jobs_between_kills() -> usize {
    from_environment("PROXQ_TEST_JOBS", 40)
}

fn from_environment(name: &str, otherwise: usize) -> usize {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What is known of a job that was submitted.
struct Submitted {
    id: JobId,
    number: u64,
    /// Whether its `202` was seen. Without one the job may exist or not.
    accepted: bool,
}

/// Submits numbered jobs through a server that is killed meanwhile; gives all of them, and how often it was killed.
async fn under_fire(proxq: &mut Proxq, upstream: &Upstream, make: fn(&str) -> Request) -> Vec<Submitted> {
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client_number in 0..CLIENTS {
        let (client, over) = ((**proxq).clone(), Arc::clone(&over));
        clients.spawn(async move {
            let mut submitted = Vec::new();
            let mut number = client_number;
            while !over.load(Ordering::Relaxed) {
                let id = JobId::new();
                // Some bodies lie in the database, some beside it.
                let filler = if number % 5 == 0 { 5_000 } else { 10 };
                let request = make(&format!("/{number}")).header(header::JOB_ID, id.to_string());
                let body = format!("{number} {}", "x".repeat(filler));
                let accepted = match client.try_send(request.body(body)).await {
                    Ok(reply) if reply.status == 202 => true,
                    // It is starting or stopping.
                    Ok(reply) if reply.status == 503 => false,
                    Ok(reply) => panic!("{reply}"),
                    Err(_killed) => {
                        keep_pace(Duration::from_millis(5)).await; // nobody is there at the moment
                        false
                    }
                };
                submitted.push(Submitted { id, number, accepted });
                number += CLIENTS;
            }
            submitted
        });
    }
    for round in 0..kills() {
        further_arrivals(upstream, jobs_between_kills() + 17 * round).await;
        proxq.kill();
        proxq.start_again().await;
    }
    further_arrivals(upstream, jobs_between_kills()).await;
    over.store(true, Ordering::Relaxed);
    clients.join_all().await.into_iter().flatten().collect()
}

/// Returns when so many more requests have come; in steps, because what must happen in time is that it goes on.
async fn further_arrivals(upstream: &Upstream, count: usize) {
    const STEP: usize = 500;
    let so_far = upstream.received().len();
    for arrived in (0..count).step_by(STEP) {
        upstream.arrivals(so_far + count.min(arrived + STEP)).await;
    }
}

/// How often each job reached the upstream; every delivery is checked to be of the job that it names.
fn deliveries(upstream: &Upstream, submitted: &[Submitted]) -> HashMap<JobId, usize> {
    let numbers: HashMap<_, _> = submitted.iter().map(|one| (one.id, one.number)).collect();
    let mut counts = HashMap::new();
    for received in upstream.received() {
        let id = received.job_id().expect("every attempt names its job");
        assert_eq!(received.target(), format!("/{}", numbers[&id]), "a job goes where it was sent");
        if received.complete {
            assert!(received.text().starts_with(&format!("{} ", numbers[&id])), "with its own body");
        }
        *counts.entry(id).or_default() += 1;
    }
    counts
}

/// Answers with what the request was, so that a response tells whose it is; a little late, so that kills find jobs
/// under way.
fn answer_by_number(upstream: &Upstream) {
    upstream.plan(|head| {
        let number = head.word(1).trim_start_matches('/').to_owned();
        let body = format!("answer to {number} {}", "y".repeat(if number.ends_with('3') { 5_000 } else { 10 }));
        let bytes = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        Answer::raw("HTTP/1.1 200 OK\r\n").trickle("X-Slow: 1\r\n", Duration::from_micros(500)).then(bytes)
    });
}

/// Asserts that a job has its own response.
async fn has_its_response(proxq: &Proxq, job: &Job, number: u64) {
    let reply = proxq.content(job).await;
    assert!(reply.status == 200 && reply.text().starts_with(&format!("answer to {number} y")), "{number}: {reply}");
}

fn job(id: JobId) -> Job {
    Job { id, location: format!("/__jobs/{id}") }
}

async fn survives(store: Store, delivery: &str, make: fn(&str) -> Request, may_repeat: bool) {
    survives_beside(0, store, delivery, make, may_repeat).await;
}

/// The same with other instances on the same jobs, which live on.
async fn survives_beside(others: usize, store: Store, delivery: &str, make: fn(&str) -> Request, may_repeat: bool) {
    let upstream = Upstream::start().await;
    answer_by_number(&upstream);
    let config = store.config_for(&upstream).upstream("delivery", delivery).set("inlineBodyLimit", 1000);
    let config = config.set("concurrency", CONCURRENCY);
    let mut beside = Vec::new();
    for _ in 0..others {
        beside.push(Proxq::start(config.clone()).await);
    }
    let mut proxq = Proxq::start(config).await;
    let submitted = under_fire(&mut proxq, &upstream, make).await;
    let accepted = submitted.iter().filter(|one| one.accepted).count();
    assert!(accepted > jobs_between_kills() * kills(), "there was load: {accepted}");

    let mut failed = 0;
    for one in &submitted {
        let job = job(one.id);
        if !one.accepted {
            let reply = proxq.send(get(&job.location)).await;
            if reply.status == 404 {
                continue; // it became no job
            }
        }
        let status = proxq.settled(&job).await;
        match status.status {
            JobStatus::Completed => has_its_response(&proxq, &job, one.number).await,
            JobStatus::Failed => {
                failed += 1;
                assert!(!may_repeat, "what may be sent again completes in the end: {status:?}");
                let deliveries = upstream.deliveries(one.id);
                match status.outcome {
                    Some(Outcome::Indeterminate) => assert!(deliveries <= 1),
                    Some(Outcome::NotSent) => assert_eq!(deliveries, 0, "{status:?}"),
                    Some(Outcome::Responded) | None => panic!("{status:?}"),
                }
                proxq.content(&job).await.refused(404, "JOB_FAILED");
            }
            JobStatus::Queued | JobStatus::Running => panic!("not final: {status:?}"),
        }
    }
    let counts = deliveries(&upstream, &submitted);
    let most = counts.values().max().copied().unwrap_or_default();
    let again = counts.values().filter(|count| **count > 1).count();
    let in_flight_at_most = CONCURRENCY * kills();
    eprintln!("{delivery}: {accepted} accepted, {failed} failed, {again} sent again, at most {most} times");
    assert!(failed <= in_flight_at_most, "{failed} failed, {in_flight_at_most} can have been under way");
    assert!(again <= in_flight_at_most, "{again} were sent again, {in_flight_at_most} can have been under way");
    if may_repeat {
        let lost = submitted.iter().find(|one| one.accepted && !counts.contains_key(&one.id));
        assert!(lost.is_none(), "every accepted job was sent");
    } else {
        assert!(most <= 1, "sent {most} times");
    }
}

on_every_store! {
    async fn killed_under_load_at_least_once_completes_every_job(store: Store) {
        survives(store, "at-least-once", post, true).await;
    }

    async fn killed_under_load_auto_completes_every_idempotent_job(store: Store) {
        survives(store, "auto", put, true).await;
    }

    async fn killed_under_load_auto_sends_no_post_twice(store: Store) {
        survives(store, "auto", post, false).await;
    }

    async fn killed_under_load_at_most_once_sends_nothing_twice(store: Store) {
        survives(store, "at-most-once", put, false).await;
    }

    async fn what_was_waiting_when_it_was_killed_is_done_afterwards(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream).upstream("delivery", "at-most-once");
        let mut proxq = Proxq::start(config.clone().set("concurrency", 0)).await;
        let mut jobs = Vec::new();
        for number in 0..50 {
            jobs.push(proxq.submit(post(&format!("/{number}"))).await);
        }
        proxq.kill();
        proxq.start_again_with(config).await;
        for job in &jobs {
            proxq.response(job).await;
            assert_eq!(upstream.deliveries(job.id), 1);
        }
    }

    async fn a_wait_for_a_retry_outlives_a_crash(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().reset());
        let config = store.config_for(&upstream).upstream("maxRetries", 1).upstream("retryDelay", "500ms");
        let mut proxq = Proxq::start(config).await;
        let job = proxq.submit(get("/x")).await;
        proxq.attempt_failed(&job).await;
        proxq.kill();
        proxq.start_again().await;
        proxq.response(&job).await;
        assert_eq!(proxq.status(&job).await.attempts, Some(2));
    }
}

on_the_store! {
    Redis:

    async fn of_two_instances_one_killed_under_load_every_job_completes(store: Store) {
        survives_beside(1, store, "at-least-once", post, true).await;
    }

    async fn of_three_instances_one_killed_under_load_nothing_is_sent_twice(store: Store) {
        survives_beside(2, store, "at-most-once", put, false).await;
    }
}
