//! Calls: later tries of a client get the job of its first one.

use super::*;
use crate::store::{CANCEL_ABANDONED_AFTER, Call, JOIN_WINDOW, Join, LOST_TURN_WINDOW, LeftBy, Turn};

const FIRST_TRY: Call = Call { key: Some([1; 32]), join: Join::Never, cancel_when_abandoned: false };
const LATER_TRY: Call = Call { join: Join::OrWait, ..FIRST_TRY };
const MOMENT: Duration = Duration::from_secs(1);

fn calling(call: Call) -> NewJob {
    NewJob { call: Some(call), ..job() }
}

/// Submits a first try.
async fn called(store: &dyn JobStore, call: Call) -> Turn {
    let job = calling(call);
    let id = job.request.id;
    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
    Turn::first(id)
}

/// Submits a first try, whose client goes away.
async fn abandoned(store: &dyn JobStore, call: Call) -> Turn {
    let turn = called(store, call).await;
    store.abandoned(turn, LeftBy::Client).await.unwrap();
    turn
}

async fn try_again(store: &dyn JobStore) -> Submitted {
    store.submit(calling(LATER_TRY)).await.unwrap()
}

fn next(turn: Turn) -> Turn {
    Turn { number: turn.number + 1, ..turn }
}

async fn completed(store: &dyn JobStore, status: u16) {
    store.settle(&leased(store).await.lease, Verdict::Complete(response(status, "ok"))).await.unwrap();
}

async fn pending(store: &dyn JobStore) -> u64 {
    store.stats(&queue()).await.unwrap().count(State::Pending)
}

pub(in super::super) async fn a_later_try_joins_the_abandoned_job(backend: &mut impl Backend) {
    let store = backend.store();
    let first = abandoned(store, FIRST_TRY).await;
    let other = Call { key: Some([2; 32]), ..LATER_TRY };
    assert_eq!(store.submit(calling(other)).await.unwrap(), Submitted::New, "another call");
    let later = calling(LATER_TRY);
    for _ in 0..2 {
        let again = store.submit(later.clone()).await.unwrap();
        assert_eq!(again, Submitted::Joined(next(first)), "also where the answer was lost");
    }
    assert_eq!(pending(store).await, 2, "it made no job");
}

pub(in super::super) async fn a_job_whose_client_is_there_is_not_joined(backend: &mut impl Backend) {
    let store = backend.store();
    let first = called(store, FIRST_TRY).await;
    assert_eq!(try_again(store).await, Submitted::StillHeld(first.id));
    let impatient = Call { join: Join::IfAbandoned, ..FIRST_TRY };
    assert_eq!(store.submit(calling(impatient)).await.unwrap(), Submitted::New);
    assert_eq!(pending(store).await, 2);
}

pub(in super::super) async fn an_abandoned_job_is_joined_once_at_a_time(backend: &mut impl Backend) {
    let store = backend.store();
    let first = abandoned(store, FIRST_TRY).await;
    let second = next(first);
    assert_eq!(try_again(store).await, Submitted::Joined(second));
    assert_eq!(try_again(store).await, Submitted::StillHeld(first.id));
    store.abandoned(second, LeftBy::Client).await.unwrap();
    assert_eq!(try_again(store).await, Submitted::Joined(next(second)));
}

pub(in super::super) async fn of_several_abandoned_jobs_the_first_is_joined(backend: &mut impl Backend) {
    let store = backend.store();
    let (one, two, three) =
        (called(store, FIRST_TRY).await, called(store, FIRST_TRY).await, called(store, FIRST_TRY).await);
    for turn in [two, three, one] {
        backend.advance(MOMENT).await;
        store.abandoned(turn, LeftBy::Client).await.unwrap();
    }
    for turn in [two, three, one] {
        assert_eq!(try_again(store).await, Submitted::Joined(next(turn)));
    }
}

pub(in super::super) async fn of_many_later_tries_one_joins(backend: &mut impl Backend) {
    let store = backend.store();
    let first = abandoned(store, FIRST_TRY).await;
    let met = futures_util::future::join_all((0..32).map(|_| try_again(store))).await;
    assert_eq!(met.iter().filter(|met| **met == Submitted::Joined(next(first))).count(), 1);
    assert_eq!(met.iter().filter(|met| **met == Submitted::StillHeld(first.id)).count(), 31);
}

pub(in super::super) async fn a_first_try_joins_nothing(backend: &mut impl Backend) {
    let store = backend.store();
    abandoned(store, FIRST_TRY).await;
    called(store, FIRST_TRY).await;
    abandoned(store, Call { key: None, ..FIRST_TRY }).await;
    called(store, Call { key: None, ..LATER_TRY }).await;
    assert_eq!(pending(store).await, 4);
}

pub(in super::super) async fn an_answered_job_is_not_joined(backend: &mut impl Backend) {
    let store = backend.store();
    let first = called(store, FIRST_TRY).await;
    completed(store, 200).await;
    store.answered(first).await.unwrap();
    assert_eq!(store.resume(first.id).await.unwrap(), None);
    assert_eq!(try_again(store).await, Submitted::New);
    store.abandoned(first, LeftBy::Client).await.unwrap();
    let impatient = Call { join: Join::IfAbandoned, ..FIRST_TRY };
    assert_eq!(store.submit(calling(impatient)).await.unwrap(), Submitted::New, "an answered call stays ended");
}

pub(in super::super) async fn a_job_is_joined_for_a_while_only(backend: &mut impl Backend) {
    let first = abandoned(backend.store(), FIRST_TRY).await;
    backend.advance(JOIN_WINDOW.saturating_sub(MOMENT)).await;
    assert_eq!(try_again(backend.store()).await, Submitted::Joined(next(first)));
    backend.store().abandoned(next(first), LeftBy::Client).await.unwrap();
    backend.advance(JOIN_WINDOW).await;
    assert_eq!(try_again(backend.store()).await, Submitted::New);
}

pub(in super::super) async fn a_turn_that_is_over_changes_nothing(backend: &mut impl Backend) {
    let store = backend.store();
    let first = abandoned(store, FIRST_TRY).await;
    let second = store.resume(first.id).await.unwrap().expect("the call goes on");
    assert_eq!(second, next(first));
    store.abandoned(first, LeftBy::Client).await.unwrap();
    store.answered(first).await.unwrap();
    assert_eq!(try_again(store).await, Submitted::StillHeld(first.id));
}

pub(in super::super) async fn a_job_whose_answer_asks_for_another_try_is_not_joined(backend: &mut impl Backend) {
    let store = backend.store();
    let not_sent =
        Verdict::Fail { error: "connect: refused".to_owned(), reach: Reach::NotSent, outcome: Outcome::NotSent };
    let mut verdicts: Vec<_> =
        [408, 409, 429, 500, 529].map(|status| Verdict::Complete(response(status, "later"))).into();
    verdicts.push(not_sent);
    for verdict in verdicts {
        let first = abandoned(store, FIRST_TRY).await;
        store.settle(&leased(store).await.lease, verdict.clone()).await.unwrap();
        assert_eq!(store.resume(first.id).await.unwrap(), None, "{verdict:?}");
        let second = calling(LATER_TRY);
        let id = second.request.id;
        assert_eq!(store.submit(second).await.unwrap(), Submitted::New, "{verdict:?}");
        assert!(store.cancel(id).await.unwrap());
    }
}

/// It was never sent, and another try has all the time there is.
pub(in super::super) async fn an_expired_job_is_not_joined(backend: &mut impl Backend) {
    let mut new = calling(FIRST_TRY);
    new.request.bounds.start_within = Some(MOMENT);
    let first = Turn::first(new.request.id);
    assert_eq!(backend.store().submit(new).await.unwrap(), Submitted::New);
    backend.store().abandoned(first, LeftBy::Client).await.unwrap();
    backend.advance(MOMENT * 2).await;
    backend.store().upkeep().await.unwrap();
    assert_eq!(state_of(backend.store(), first.id).await, Some(State::Archived));
    assert_eq!(try_again(backend.store()).await, Submitted::New);
}

pub(in super::super) async fn an_ended_job_is_joined(backend: &mut impl Backend) {
    let store = backend.store();
    for verdict in [Verdict::Complete(response(200, "ok")), Verdict::Complete(response(404, "none")), failure()] {
        let first = abandoned(store, FIRST_TRY).await;
        store.settle(&leased(store).await.lease, verdict.clone()).await.unwrap();
        assert_eq!(try_again(store).await, Submitted::Joined(next(first)), "{verdict:?}");
        store.answered(next(first)).await.unwrap();
    }
}

pub(in super::super) async fn a_cancelled_job_is_not_joined(backend: &mut impl Backend) {
    let store = backend.store();
    let first = abandoned(store, FIRST_TRY).await;
    assert!(store.cancel(first.id).await.unwrap());
    assert_eq!(try_again(store).await, Submitted::New);
    assert_eq!(store.resume(first.id).await.unwrap(), None);
}

/// A former run, or another instance, that ended without a word.
pub(in super::super) async fn a_job_of_a_former_run_is_joined(backend: &mut impl Backend) {
    let first = called(backend.store(), FIRST_TRY).await;
    backend.reopen().await;
    backend.advance(JOIN_WINDOW).await;
    assert_eq!(try_again(backend.store()).await, Submitted::Joined(next(first)), "nobody saw its client go");
    backend.reopen().await;
    backend.advance(LOST_TURN_WINDOW).await;
    assert_eq!(try_again(backend.store()).await, Submitted::New);
}

pub(in super::super) async fn a_job_that_a_stopping_server_let_go_is_joined_and_not_cancelled(
    backend: &mut impl Backend,
) {
    let store = backend.store();
    let first = called(store, Call { cancel_when_abandoned: true, ..FIRST_TRY }).await;
    store.abandoned(first, LeftBy::Server).await.unwrap();
    backend.advance(CANCEL_ABANDONED_AFTER * 2).await;
    store.upkeep().await.unwrap();
    assert_eq!(try_again(store).await, Submitted::Joined(next(first)));
    store.abandoned(next(first), LeftBy::Server).await.unwrap();
    backend.advance(JOIN_WINDOW).await;
    assert_eq!(try_again(backend.store()).await, Submitted::New, "it is known when its client went");
}

pub(in super::super) async fn abandoning_a_job_wakes_who_watches_it(backend: &mut impl Backend) {
    let store = backend.store();
    let first = called(store, FIRST_TRY).await;
    let watch = store.watch(first.id).await.unwrap();
    store.abandoned(first, LeftBy::Client).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), watch).await.expect("the watch ends");
    assert_eq!(try_again(store).await, Submitted::Joined(next(first)));
}

pub(in super::super) async fn answering_a_call_wakes_who_watches_its_job(backend: &mut impl Backend) {
    let store = backend.store();
    let first = called(store, FIRST_TRY).await;
    completed(store, 200).await;
    let watch = store.watch(first.id).await.unwrap();
    store.answered(first).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), watch).await.expect("the watch ends");
    assert_eq!(try_again(store).await, Submitted::New, "there is nothing left to wait for");
}

pub(in super::super) async fn an_abandoned_job_is_cancelled_where_that_is_wanted(backend: &mut impl Backend) {
    let store = backend.store();
    let given_up = abandoned(store, Call { cancel_when_abandoned: true, key: None, ..FIRST_TRY }).await;
    let kept = abandoned(store, FIRST_TRY).await;
    let ended = abandoned(store, Call { cancel_when_abandoned: true, ..FIRST_TRY }).await;
    let mut leases = store.lease(&queue(), 3).await.unwrap();
    leases.sort_by_key(|job| job.lease.id != ended.id);
    store.settle(&leases[0].lease, Verdict::Complete(response(200, "ok"))).await.unwrap();
    let running = leases.iter().find(|job| job.lease.id == given_up.id).unwrap();
    backend.advance(CANCEL_ABANDONED_AFTER.saturating_sub(MOMENT)).await;
    store.upkeep().await.unwrap();
    assert_eq!(state_of(store, given_up.id).await, Some(State::Active));
    backend.advance(MOMENT).await;
    store.upkeep().await.unwrap();
    assert_eq!(state_of(store, given_up.id).await, None);
    assert!(running.revoked.is_cancelled(), "its attempt ends");
    assert_eq!(state_of(store, kept.id).await, Some(State::Active));
    assert_eq!(state_of(store, ended.id).await, Some(State::Completed), "there is nothing to save");
}

pub(in super::super) async fn a_job_that_is_waited_for_again_is_not_cancelled(backend: &mut impl Backend) {
    let store = backend.store();
    let resumed = abandoned(store, Call { cancel_when_abandoned: true, key: None, ..FIRST_TRY }).await;
    let joined = abandoned(store, Call { cancel_when_abandoned: true, ..FIRST_TRY }).await;
    assert!(store.resume(resumed.id).await.unwrap().is_some());
    assert_eq!(try_again(store).await, Submitted::Joined(next(joined)));
    backend.advance(CANCEL_ABANDONED_AFTER).await;
    store.upkeep().await.unwrap();
    assert_eq!(pending(store).await, 2);
    store.abandoned(next(joined), LeftBy::Client).await.unwrap();
    backend.advance(CANCEL_ABANDONED_AFTER).await;
    store.upkeep().await.unwrap();
    assert_eq!(state_of(store, joined.id).await, None, "its latest client went away, too");
}

pub(in super::super) async fn a_job_without_a_call_has_no_turns(backend: &mut impl Backend) {
    let store = backend.store();
    let id = submitted(store).await;
    assert_eq!(store.resume(id).await.unwrap(), None);
    store.abandoned(Turn::first(id), LeftBy::Client).await.unwrap();
    store.answered(Turn::first(id)).await.unwrap();
    assert_eq!(store.resume(JobId::new()).await.unwrap(), None);
    assert_eq!(state_of(store, id).await, Some(State::Pending));
}
