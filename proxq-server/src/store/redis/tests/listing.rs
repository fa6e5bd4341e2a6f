//! Lists of jobs whose order the layout does not tell.

use super::from_go::go_message;
use super::layout::key;
use super::*;
use crate::job::{Body, JobId, State, Verdict};
use crate::store::contract::{List, failure, in_order, job, leased, request, response, retry_after, submitted};
use crate::store::{JobOrder, NewJob, UPKEEP_EVERY};

const NEWEST: JobOrder = JobOrder::NewestFirst;

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
    let list = List::of(&redis.store, State::Pending, JobOrder::OldestFirst);
    let all = list.from(None).await;
    assert_eq!(all.len(), 9);
    assert_eq!(in_order(NEWEST, List { order: NEWEST, ..list }.from(None).await), all);

    let list = List::of(&redis.store, State::Pending, JobOrder::OldestFirst);
    let (first, next) = list.page(None).await;
    assert_eq!(first, all[..2]);
    assert_eq!(redis.store.lease(&queue(), 3).await.unwrap().len(), 3);
    let (second, next) = list.page(next).await;
    assert_eq!(second, all[3..5], "those that were given are gone, and one that was not");
    assert!(redis.store.cancel(all[5]).await.unwrap() && redis.store.cancel(all[3]).await.unwrap());
    assert_eq!(list.from(next).await, all[6..]);
}

#[tokio::test]
async fn a_list_from_its_newest_end_goes_on_when_the_oldest_are_leased() {
    let redis = in_redis().await;
    for number in 0..9 {
        let request = request(numbered(number));
        redis.store.submit(NewJob { request, delay: Some(Duration::from_secs(1)), ..job() }).await.unwrap();
    }
    redis.advance(UPKEEP_EVERY).await;
    redis.store.upkeep().await.unwrap();
    let list = List::of(&redis.store, State::Pending, NEWEST);
    let all = list.from(None).await;
    let (_, next) = list.page(None).await;
    assert_eq!(redis.store.lease(&queue(), 4).await.unwrap().len(), 4);
    let (second, next) = list.page(next).await;
    assert_eq!(second, all[2..4], "those of the same instant that are left");
    assert!(redis.store.cancel(all[4]).await.unwrap());
    assert_eq!(list.page(next).await, (vec![], None));
}

#[tokio::test]
async fn a_page_reads_no_bodies() {
    const BODY_BYTES: usize = 100_000;
    let redis = in_redis().await;
    let body = || Body::Inline(vec![b'x'; BODY_BYTES].into());
    for state in [State::Pending, State::Active, State::Completed, State::Retry] {
        let job = NewJob { body: body(), ..job() };
        let id = job.request.id;
        redis.store.submit(job).await.unwrap();
        if state != State::Pending {
            let lease = leased(&redis.store).await.lease;
            match state {
                State::Completed => {
                    let response = response(200, vec![b'x'; BODY_BYTES]);
                    redis.store.settle(&lease, Verdict::Complete(response)).await.unwrap();
                }
                State::Retry => redis.store.settle(&lease, retry_after(Duration::from_mins(1))).await.unwrap(),
                State::Pending | State::Scheduled | State::Active | State::Archived => {}
            }
        }
        let sent_before = redis.bytes_sent().await;
        for order in JobOrder::ALL {
            assert_eq!(List::of(&redis.store, state, order).from(None).await.len(), 1, "{state:?}");
        }
        let sent = redis.bytes_sent().await - sent_before;
        assert!(sent < BODY_BYTES as u64, "{state:?}: {sent} bytes");
        assert!(redis.store.cancel(id).await.unwrap());
    }
}

#[tokio::test]
async fn a_page_costs_no_more_where_there_are_many_jobs() {
    const MANY: usize = 20_000;
    let redis = in_redis().await;
    let fill = "for i = 1, ARGV[1] do \
         local id = string.format('%08x-0000-4000-8000-000000000000', i) \
         redis.call('HSET', KEYS[1] .. 't:' .. id, 'pending_since', string.format('17672256%05d000000', i)) \
         redis.call('LPUSH', KEYS[1] .. 'pending', id) \
         redis.call('ZADD', KEYS[1] .. 'completed', 1767225600 + i, id) end";
    let () = redis.server.run(&["EVAL", fill, "1", &key(""), &MANY.to_string()]).await;
    for (state, order) in
        [State::Pending, State::Completed].into_iter().flat_map(|state| JobOrder::ALL.map(|order| (state, order)))
    {
        let mut cursor = None;
        for place in ["at first", "in the middle", "at last"] {
            let calls_before = redis.calls().await;
            redis.store.list(&queue(), state, order, cursor, 10).await.unwrap();
            let calls = redis.calls().await - calls_before;
            assert!(calls < 150, "{state:?}, {order:?}, {place}: {calls} calls");
            let to_the_next_place = if place == "at last" { 0 } else { MANY / 2 / 100 - 1 };
            for _ in 0..to_the_next_place {
                let page = redis.store.list(&queue(), state, order, cursor, 100).await.unwrap();
                cursor = Some(page.next.expect("this is not the last page"));
            }
        }
    }
}

impl InRedis {
    /// How many commands Redis has run, by itself or in scripts.
    async fn calls(&self) -> u64 {
        let stats: String = self.server.run(&["INFO", "commandstats"]).await;
        let calls =
            stats.lines().filter_map(|line| line.split_once(":calls=")?.1.split(',').next()?.parse::<u64>().ok());
        calls.sum()
    }

    /// How many bytes Redis has sent to its clients.
    async fn bytes_sent(&self) -> u64 {
        let stats: String = self.server.run(&["INFO", "stats"]).await;
        let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.expect("Redis counts them").trim().parse().unwrap()
    }
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
    for order in JobOrder::ALL {
        assert_eq!(in_order(order, List::of(&redis.store, State::Active, order).from(None).await), all, "{order:?}");
    }
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
    for order in JobOrder::ALL {
        assert_eq!(List::of(&redis.store, State::Pending, order).from(None).await, [kept], "{order:?}");
    }
    let archived = job_in_archive(&redis).await;
    for order in JobOrder::ALL {
        assert_eq!(List::of(&redis.store, State::Archived, order).from(None).await, [archived], "{order:?}");
    }
}

/// A failed job that is younger than all that is there.
async fn job_in_archive(redis: &InRedis) -> JobId {
    let lease = redis.store.lease(&queue(), 1).await.unwrap().pop().unwrap().lease;
    redis.store.settle(&lease, failure()).await.unwrap();
    lease.id
}
