//! Several instances on one queue.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::super::HashWriter;
use super::*;
use crate::job::{Body, JobId, QueueName, State, Verdict};
use crate::store::contract::{found, job, job_in, leased, response, state_of, submitted};
use crate::store::{BlobStore, BlobWriter, Claim, Content, JobOrder, Lease, NewJob, Requeued, Submitted};

/// Longer than anything takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("is told")
}

#[tokio::test]
async fn a_job_submitted_here_is_worked_on_there_and_waited_for_elsewhere() {
    let redis = in_redis().await;
    let (there, elsewhere) = (open(&redis.server, redis.time).await, open(&redis.server, redis.time).await);
    let queue = queue();
    let mut due = there.due(&queue);
    assert!(futures_util::poll!(&mut due).is_pending());
    let id = submitted(&redis.store).await;
    soon(due).await;
    let watch = elsewhere.watch(id).await.unwrap();
    let job = leased(&there).await;
    soon(watch).await;
    let watch = elsewhere.watch(id).await.unwrap();
    there.settle(&job.lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    soon(watch).await;
    assert_eq!(state_of(&elsewhere, id).await, Some(State::Completed));
}

#[tokio::test]
async fn a_queue_that_is_paused_here_is_paused_there() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let id = submitted(&redis.store).await;
    assert!(redis.store.pause_queue(&queue()).await.unwrap());
    let paused: String = redis.server.run(&["GET", "asynq:{default}:paused"]).await;
    assert_eq!(paused, (START.as_millis() / 1000).to_string(), "as asynq's tools write it");
    assert!(there.lease(&queue(), 1).await.unwrap().is_empty());
    assert!(!there.pause_queue(&queue()).await.unwrap());
    let worker = async {
        loop {
            there.due(&queue()).await;
            if let Some(job) = there.lease(&queue(), 1).await.unwrap().pop() {
                return job.lease.id;
            }
        }
    };
    let (leased, resumed) = soon(futures_util::future::join(worker, redis.store.resume_queue(&queue()))).await;
    assert_eq!((leased, resumed.unwrap()), (id, true));
}

#[tokio::test]
async fn a_cancelled_job_ends_where_it_runs() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let id = submitted(&redis.store).await;
    let job = leased(&there).await;
    assert!(redis.store.cancel(id).await.unwrap());
    tokio::time::timeout(Duration::from_secs(1), job.revoked.cancelled()).await.expect("within a second");
}

#[tokio::test]
async fn a_cancellation_ends_only_the_attempt_that_it_names() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let job = leased(&redis.store).await;
    let Lease { id, token } = job.lease;
    let channel = crate::store::redis::keys::queue_channel(queue().as_str());
    let earlier = format!("{id} {}", token - 1);
    let tell_earlier = async { while redis.server.run::<i64>(&["PUBLISH", &channel, &earlier]).await == 0 {} };
    soon(tell_earlier).await; // the instance listens
    // Messages come in order: when this one has come, the first was heard.
    let watch = redis.store.watch(id).await.unwrap();
    let instance = &redis.store.shared.instance.id;
    let _told: i64 = redis.server.run(&["PUBLISH", &format!("proxq:changed:{instance}"), &id.to_string()]).await;
    soon(watch).await;
    assert!(!job.revoked.is_cancelled(), "it was meant for an earlier lease");
    let _told: i64 = redis.server.run(&["PUBLISH", &channel, &format!("{id} {token}")]).await;
    soon(job.revoked.cancelled()).await;
}

#[tokio::test]
async fn what_a_lost_instance_held_is_taken_over() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let id = submitted(&redis.store).await;
    let job = leased(&there).await;
    drop(there);
    redis.advance(Duration::from_millis(35_001)).await;
    assert_eq!(redis.store.upkeep().await.unwrap().reclaimed, 1);
    let again = leased(&redis.store).await;
    assert!(again.lease.token > job.lease.token);
    assert_eq!((again.lease.id, again.progress.retried), (id, 0));
}

#[tokio::test]
async fn taking_a_lease_away_does_not_end_the_next_attempt() {
    let redis = in_redis().await;
    submitted(&redis.store).await;
    let lost = leased(&redis.store).await;
    redis.advance(Duration::from_millis(35_001)).await;
    redis.store.upkeep().await.unwrap();
    let next = leased(&redis.store).await;
    redis.store.shared.leases.revoke(&lost.lease); // by an upkeep that is slower than the worker
    assert!(lost.revoked.is_cancelled() && !next.revoked.is_cancelled());
}

#[tokio::test]
async fn upkeep_on_every_instance_at_once_does_everything_once() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    for _ in 0..10 {
        submitted(&redis.store).await;
    }
    assert_eq!(redis.store.lease(&queue(), 10).await.unwrap().len(), 10);
    redis.advance(Duration::from_millis(35_001)).await;
    let (one, other) = tokio::join!(redis.store.upkeep(), there.upkeep());
    assert_eq!(one.unwrap().reclaimed + other.unwrap().reclaimed, 10);
    let jobs = there.lease(&queue(), 20).await.unwrap();
    assert_eq!(jobs.len(), 10);
    assert!(jobs.iter().all(|job| job.progress.lease_losses == 1));
}

/// A store on the same Redis whose queue is another one.
async fn of_another_queue(redis: &InRedis) -> (RedisStore, QueueName) {
    let queue = QueueName::new("other").unwrap();
    let options = RedisOptions { queue: queue.clone(), ..options(redis.server.config()) };
    let store = RedisStore::open_by(options, redis.time.clock(), ScriptClock::Chosen).unwrap();
    store.ready().await.unwrap();
    (store, queue)
}

#[tokio::test]
async fn jobs_of_another_queue_are_unknown() {
    let redis = in_redis().await;
    let (there, other) = of_another_queue(&redis).await;
    for state in State::ALL {
        let id = job_in(&redis.store, state).await;
        assert!(there.get(id).await.unwrap().is_none(), "{state:?}");
        assert!(matches!(there.response(id).await.unwrap(), Content::Unknown), "{state:?}");
        assert!(!there.cancel(id).await.unwrap(), "{state:?}");
        assert_eq!(there.retry_failed(id, true).await.unwrap(), Requeued::Unknown, "{state:?}");
        let _watch = there.watch(id).await.unwrap();
        assert!(there.list(&other, state, JobOrder::OldestFirst, None, 10).await.unwrap().jobs.is_empty(), "{state:?}");
        assert_eq!(found(&redis.store, id).await.state, state, "{state:?}");
        assert!(redis.store.cancel(id).await.unwrap());
    }
}

#[tokio::test]
async fn ids_and_claims_of_another_queue_are_free() {
    let redis = in_redis().await;
    let (there, other) = of_another_queue(&redis).await;
    let claim = Claim { scope: [1; 32], fingerprint: [2; 32], ttl: RETENTION };
    let job = NewJob { claim: Some(claim), ..job() };
    let theirs = NewJob { queue: other, claim: Some(Claim { fingerprint: [3; 32], ..claim }), ..job.clone() };
    assert_eq!(redis.store.submit(job).await.unwrap(), Submitted::New);
    assert_eq!(there.submit(theirs).await.unwrap(), Submitted::New);
}

#[tokio::test]
async fn an_id_that_is_proposed_for_two_queues_at_once_is_one_jobs() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let own = QueueName::new("default:own").unwrap();
    redis.store.submit(NewJob { queue: own.clone(), ..job() }).await.unwrap();
    there.upkeep().await.unwrap(); // knows the queue from now on
    for _ in 0..100 {
        let here = NewJob { id_is_proposed: true, ..job() };
        let mut elsewhere = NewJob { queue: own.clone(), ..here.clone() };
        elsewhere.request.path = "/elsewhere".to_owned();
        let (one, other) = tokio::join!(redis.store.submit(here), there.submit(elsewhere));
        let mut both = [one.unwrap(), other.unwrap()];
        both.sort_by_key(|submitted| *submitted == Submitted::Taken);
        assert_eq!(both, [Submitted::New, Submitted::Taken]);
    }
}

#[tokio::test]
async fn what_is_in_a_queue_of_a_former_configuration_is_found_until_its_retention_is_over() {
    let redis = in_redis().await;
    let former = QueueName::new("default:former").unwrap();
    let new = NewJob { queue: former.clone(), ..job() };
    let id = new.request.id;
    redis.store.submit(new).await.unwrap();
    let job = redis.store.lease(&former, 1).await.unwrap().pop().unwrap();
    redis.store.settle(&job.lease, Verdict::Complete(response(200, "kept"))).await.unwrap();
    let later = open(&redis.server, redis.time).await;
    assert!(matches!(later.response(id).await.unwrap(), Content::Ready(_)));
    redis.advance(RETENTION * 2).await;
    later.upkeep().await.unwrap();
    assert!(matches!(later.response(id).await.unwrap(), Content::Unknown));
    assert_eq!(redis.server.run::<i64>(&["EXISTS", &format!("asynq:{{default:former}}:t:{id}")]).await, 0);
}

#[tokio::test]
async fn cancelling_a_job_ends_no_attempt_at_one_of_another_queue_with_the_same_id() {
    let redis = in_redis().await;
    let (there, other) = of_another_queue(&redis).await;
    let job = job();
    let id = job.request.id;
    redis.store.submit(job.clone()).await.unwrap();
    there.submit(NewJob { queue: other.clone(), ..job }).await.unwrap();
    let ours = leased(&redis.store).await;
    let theirs = there.lease(&other, 1).await.unwrap().pop().unwrap();
    assert!(redis.store.cancel(id).await.unwrap());
    soon(ours.revoked.cancelled()).await;
    // What they hear they hear in order: they have heard of the first when they hear of the second.
    let watch = there.watch(id).await.unwrap();
    let channel = format!("proxq:changed:{}", there.shared.instance.id);
    let _heard: i64 = redis.server.run(&["PUBLISH", &channel, &id.to_string()]).await;
    soon(watch).await;
    assert!(!theirs.revoked.is_cancelled());
    assert_eq!(state_of(&there, id).await, Some(State::Active));
    there.settle(&theirs.lease, Verdict::Complete(response(200, "theirs"))).await.unwrap();
}

#[tokio::test]
async fn a_blob_lies_in_the_queue_of_its_job() {
    let redis = in_redis().await;
    let (there, other) = of_another_queue(&redis).await;
    let shared = &redis.store.shared;
    let mut writer = Box::new(HashWriter::begin(Arc::clone(shared), shared.queues.named(other.as_str())));
    writer.write("body".into()).await.unwrap();
    let blob = writer.finish().await.unwrap();
    redis.advance(Duration::from_mins(40)).await;
    redis.store.upkeep().await.unwrap();
    redis.advance(Duration::from_mins(40)).await;
    redis.store.upkeep().await.unwrap();
    let job = NewJob { queue: other.clone(), body: Body::Blob(blob), ..job() };
    assert_eq!(redis.store.submit(job).await.unwrap(), Submitted::New, "no sweep takes what is in hand");
    writer.keep();
    assert_eq!(there.lease(&other, 1).await.unwrap().pop().unwrap().body, Body::Blob(blob));
    let bytes: Vec<Bytes> = there.open_blob(&blob).await.unwrap().try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"body");
}

#[tokio::test]
async fn an_instance_asks_for_a_job_once() {
    let redis = in_redis().await;
    let _there = of_another_queue(&redis).await;
    let calls = async || {
        let stats: String = redis.server.run(&["INFO", "commandstats"]).await;
        let of = |name: &str| {
            let calls = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
            calls.map_or(0, |calls| calls.split(',').next().unwrap().parse::<u64>().unwrap())
        };
        (of("hmget"), of("smembers"))
    };
    redis.store.upkeep().await.unwrap(); // knows all queues
    let () = redis.server.run(&["CONFIG", "RESETSTAT"]).await;
    assert_eq!(state_of(&redis.store, JobId::new()).await, None);
    assert_eq!(calls().await, (1, 0));
}

#[tokio::test]
async fn deployments_share_their_secrets() {
    let redis = in_redis().await;
    let there = open(&redis.server, redis.time).await;
    let (one, other) = tokio::join!(redis.store.deployment(), there.deployment());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.via_name, one.credential_key), (other.via_name, other.credential_key));
}
