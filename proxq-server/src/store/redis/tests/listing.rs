//! Lists of jobs whose order the layout does not tell.

use super::from_go::go_message;
use super::layout::key;
use super::*;
use crate::job::{JobId, State};
use crate::store::contract::{failure, job, leased, request, submitted};
use crate::store::{NewJob, UPKEEP_EVERY};

async fn page(store: &RedisStore, state: State, cursor: Option<u64>) -> (Vec<JobId>, Option<u64>) {
    let page = store.list(&queue(), state, cursor, 2).await.unwrap();
    (page.jobs.iter().map(|job| job.request.id).collect(), page.next)
}

/// All jobs from a cursor on.
async fn rest(store: &RedisStore, state: State, cursor: Option<u64>) -> Vec<JobId> {
    let (mut jobs, mut next) = page(store, state, cursor).await;
    while next.is_some() {
        let given;
        (given, next) = page(store, state, next).await;
        jobs.extend(given);
    }
    jobs
}

/// An id that begins with this number.
fn numbered(number: u8) -> JobId {
    let mut id = *JobId::new().as_bytes();
    id[0] = number;
    JobId::from_bytes(id).unwrap()
}

#[tokio::test]
async fn jobs_that_were_woken_together_are_listed_once() {
    let redis = in_redis().await;
    for number in 0..9 {
        let request = request(numbered(number));
        let job = NewJob { request, delay: Some(Duration::from_secs(1)), ..job() };
        redis.store.submit(job).await.unwrap();
    }
    redis.advance(UPKEEP_EVERY).await;
    assert_eq!(redis.store.upkeep().await.unwrap().woken, 9);
    let all = rest(&redis.store, State::Pending, None).await;
    assert_eq!(all.len(), 9);

    let (first, next) = page(&redis.store, State::Pending, None).await;
    assert_eq!(first, all[..2]);
    assert_eq!(redis.store.lease(&queue(), 3).await.unwrap().len(), 3);
    let (second, next) = page(&redis.store, State::Pending, next).await;
    assert_eq!(second, all[3..5], "those that were given are gone, and one that was not");
    assert!(redis.store.cancel(all[5]).await.unwrap() && redis.store.cancel(all[3]).await.unwrap());
    assert_eq!(rest(&redis.store, State::Pending, next).await, all[6..]);
}

#[tokio::test]
async fn tasks_that_go_works_on_are_listed_among_jobs_of_ours() {
    let redis = in_redis().await;
    let mut all = Vec::new();
    for number in 0..7 {
        let id = numbered(number);
        if number % 3 == 1 {
            redis.store.submit(NewJob { request: request(id), ..job() }).await.unwrap();
            all.push(leased(&redis.store).await.lease.id);
        } else {
            redis.go_task(&go_message(id), "active", &[]).await;
            redis.go_place("active", id, 0).await;
            all.push(id);
        }
    }
    assert_eq!(rest(&redis.store, State::Active, None).await, all);
}

#[tokio::test]
async fn ids_that_are_none_of_ours_do_not_hold_a_list_up() {
    let redis = in_redis().await;
    let kept = submitted(&redis.store).await;
    redis.advance(Duration::from_secs(1)).await;
    for place in ["pending", "archived"] {
        for name in ["a", "f", "x", "y", "z"] {
            let _added: i64 = if place == "pending" {
                redis.server.run(&["LPUSH", &key(place), name]).await
            } else {
                redis.server.run(&["ZADD", &key(place), "1767225600", name]).await
            };
        }
    }
    assert_eq!(rest(&redis.store, State::Pending, None).await, [kept]);
    let archived = job_in_archive(&redis).await;
    assert_eq!(rest(&redis.store, State::Archived, None).await, [archived]);
}

/// A failed job that is younger than all that is there.
async fn job_in_archive(redis: &InRedis) -> JobId {
    let lease = redis.store.lease(&queue(), 1).await.unwrap().pop().unwrap().lease;
    redis.store.settle(&lease, failure()).await.unwrap();
    lease.id
}
