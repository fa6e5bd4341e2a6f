//! What every store promises, as tests: one function a promise. A backend brings a [`Backend`] and runs them all by
//! [`keeps_the_contract`].

mod blobs;
mod bounds;
mod calling;
mod claiming;
mod leasing;
mod limiting;
mod listing;
mod ordering;
mod overseeing;
mod priority;
mod queues;
mod racing;
mod reading;
mod resubmitting;
pub(super) mod sealed;
mod settling;
mod submitting;
mod time;
mod waiting;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{JobOrder, JobStore, LeasedJob, NewJob, StoreSettings, Submitted};
use crate::clock::Timestamp;
use crate::config::{Prefix, SecretHeaders, Upstream, UpstreamUrl};
use crate::job::{
    Body, CredentialHash, Delivery, Job, JobId, JobRequest, Outcome, Priority, QueueName, Reach, ResponseHead, State,
    StoredResponse, TimeBounds, Verdict,
};

pub(super) use self::{
    blobs::*, bounds::*, calling::*, claiming::*, leasing::*, limiting::*, listing::*, ordering::*, overseeing::*,
    priority::*, queues::*, racing::*, reading::*, resubmitting::*, settling::*, submitting::*, time::*, waiting::*,
};

/// A store under test, and its world.
#[async_trait]
pub(super) trait Backend: Send + Sync {
    /// The store.
    fn store(&self) -> &dyn JobStore;

    /// How finely the store tells instants apart at which jobs become due: they are rounded up to a multiple of it.
    fn grain(&self) -> Duration {
        Duration::from_millis(1)
    }

    /// Lets time pass, for the store and for the people.
    async fn advance(&self, span: Duration);

    /// Sets the time of day, as an operator does.
    async fn set_wall(&self, wall: Timestamp);

    /// Stops the store in order and starts it again.
    async fn reopen(&mut self);
}

/// Runs every promise on a backend, which `$open` makes: an async function that gives a [`Backend`].
macro_rules! keeps_the_contract {
    ($open:path) => {
        $crate::store::contract::keeps_the_contract! { $open =>
            // submitting
            a_submitted_job_is_pending
            a_delayed_job_is_scheduled
            the_same_submission_again_is_the_same_job
            a_job_id_of_another_credential_is_taken
            a_job_id_of_another_request_is_taken
            of_many_submissions_of_one_id_one_is_new
            a_cancelled_jobs_id_is_free_again
            a_submission_survives_a_restart
            a_request_comes_back_as_it_was_submitted
            // claiming
            of_many_submissions_of_one_claim_one_is_new
            a_claim_is_for_one_request
            a_claim_outlives_a_restart
            a_claim_lapses
            a_cancelled_jobs_claim_is_free
            a_claim_ends_with_its_job_whatever_comes_under_the_jobs_id
            a_claim_is_free_when_another_try_is_due
            a_claim_is_kept_after_every_other_end
            a_retried_job_takes_its_claim_back
            a_taken_id_is_said_before_a_claim
            a_job_submitted_again_is_told_of_itself_though_another_has_its_claim
            // calling
            a_later_try_joins_the_abandoned_job
            a_job_whose_client_is_there_is_not_joined
            an_abandoned_job_is_joined_once_at_a_time
            of_several_abandoned_jobs_the_first_is_joined
            of_many_later_tries_one_joins
            a_first_try_joins_nothing
            an_answered_job_is_not_joined
            a_job_is_joined_for_a_while_only
            a_turn_that_is_over_changes_nothing
            a_job_whose_answer_asks_for_another_try_is_not_joined
            an_expired_job_is_not_joined
            an_ended_job_is_joined
            a_cancelled_job_is_not_joined
            a_job_of_a_former_run_is_joined
            a_job_that_a_stopping_server_let_go_is_joined_and_not_cancelled
            abandoning_a_job_wakes_who_watches_it
            answering_a_call_wakes_who_watches_its_job
            an_abandoned_job_is_cancelled_where_that_is_wanted
            a_job_that_is_waited_for_again_is_not_cancelled
            a_job_without_a_call_has_no_turns
            // leasing
            jobs_are_leased_oldest_first
            no_more_are_leased_than_asked_for
            a_worker_that_asks_for_very_many_gets_a_batch
            a_leased_job_is_not_leased_again
            concurrent_workers_never_get_the_same_job
            a_lease_begins_an_attempt
            a_renewed_lease_lasts_a_full_term_more
            an_expired_lease_that_nobody_took_away_can_be_renewed
            a_lost_lease_is_taken_away_after_its_grace
            a_lease_that_is_gone_is_reported_when_it_is_renewed
            a_lost_lease_that_may_not_be_sent_again_fails_the_job
            a_job_that_loses_too_many_leases_fails
            how_many_leases_may_be_lost_can_change
            a_worker_that_goes_away_while_it_waits_for_jobs_loses_none
            // priority
            jobs_are_leased_by_priority_then_by_age
            a_restart_keeps_the_order_of_priorities
            a_repeated_submission_does_not_change_the_priority
            a_job_that_is_pending_again_has_its_priority
            a_job_that_is_due_has_its_priority_before_upkeep
            a_released_job_is_the_first_of_its_priority_again
            a_low_job_that_has_waited_counts_as_normal
            more_than_a_batch_of_low_jobs_come_to_count_as_normal
            pending_jobs_of_every_priority_are_counted_and_listed
            a_list_of_several_priorities_goes_on_when_jobs_leave
            a_pending_job_of_every_priority_is_cancelled
            a_worker_is_woken_by_a_submission_of_every_priority
            // queues
            queues_do_not_mix
            a_worker_is_woken_for_its_own_queue
            leases_of_several_queues_are_renewed_together
            upkeep_looks_after_every_queue
            // settling
            a_completed_job_has_its_response
            a_job_that_rests_is_due_after_its_pause
            an_uncharged_retry_spends_no_budget
            a_failed_job_says_why
            a_released_job_is_the_next_one_again
            a_worker_that_lost_its_lease_cannot_settle
            a_lease_is_settled_once
            the_token_of_a_cancelled_job_does_not_fit_its_successor
            a_completed_job_forgets_its_secrets
            a_failed_job_keeps_its_secrets_for_a_retry
            other_secret_headers_count_for_new_jobs
            the_last_attempts_are_remembered
            // ordering
            a_job_is_cancelled_in_every_state
            cancelling_a_running_job_tells_its_worker
            cancelling_what_does_not_exist_changes_nothing
            a_failed_job_can_be_retried
            only_a_failed_job_can_be_retried
            what_may_have_arrived_is_retried_only_if_confirmed
            // racing
            of_many_hands_on_one_job_one_outcome_is_left
            // waiting
            a_watch_ends_at_the_next_change
            a_change_between_watch_and_wait_is_not_lost
            every_change_of_a_job_ends_a_watch
            every_watcher_of_a_job_is_told
            a_worker_is_woken_by_a_submission
            a_wake_up_that_nobody_waited_for_is_kept
            a_wake_up_that_was_dropped_is_passed_on
            a_worker_is_woken_when_a_delay_is_over
            a_worker_is_woken_for_what_is_left
            // limiting
            without_limits_jobs_begin_by_priority_and_age
            a_parked_credential_holds_up_nobody_else
            parked_jobs_begin_in_their_old_order
            a_worker_is_woken_when_a_park_is_over
            a_park_is_never_made_shorter
            credentials_take_turns
            a_rate_is_kept_and_says_when_it_lets_more_begin
            another_rate_holds_at_once
            a_burst_begins_at_once
            each_credential_has_its_rate
            another_rate_of_each_credential_holds_at_once
            each_credential_has_its_attempts_at_once
            an_attempt_outside_of_the_queue_counts
            a_filed_job_is_counted_listed_and_cancelled
            a_filed_job_expires
            a_filed_job_that_has_expired_can_be_run
            nobody_is_woken_for_a_park_whose_jobs_are_gone
            credentials_take_turns_after_a_restart_and_a_change
            filed_jobs_outlive_a_restart
            filed_jobs_are_handed_out_where_there_are_no_limits_any_more
            a_released_job_comes_first_again
            a_full_queue_takes_nothing_more
            queues_of_former_configurations_are_found
            an_id_is_one_jobs_in_all_queues
            // time
            a_delayed_job_is_never_early
            upkeep_wakes_what_is_due
            a_job_that_was_due_longer_goes_first
            an_ended_job_is_gone_after_its_retention
            upkeep_copes_with_more_than_a_batch
            stepping_the_wall_clock_changes_nothing
            leases_of_a_former_run_are_lost_leases
            // bounds
            a_job_that_is_not_begun_in_time_expires
            what_has_expired_is_not_handed_out
            many_expire_in_batches
            a_job_that_was_begun_in_time_is_free_of_the_bound
            a_released_job_has_not_begun
            a_lease_tells_what_is_left_of_the_deadline
            after_its_deadline_a_job_that_has_begun_is_judged_by_its_attempts
            an_attempt_outlives_its_bounds
            an_expired_job_is_run_again_without_bounds
            a_cancelled_job_does_not_expire
            bounds_outlive_a_restart
            an_expired_jobs_claim_is_free
            // reading
            an_unknown_job_has_nothing_to_read
            a_job_that_has_not_ended_has_no_response
            a_job_in_every_state_has_its_owner
            queues_are_counted_by_state
            the_deployment_keeps_its_secrets
            a_store_is_ready
            a_closed_store_says_so
            // listing
            a_list_is_read_page_by_page
            a_list_goes_on_where_it_was_when_jobs_leave
            jobs_of_one_instant_are_listed_once
            pending_jobs_are_listed_as_they_begin
            a_cursor_that_nobody_gave_does_no_harm
            // overseeing
            the_oldest_pending_job_says_for_how_long_it_waits
            a_filed_job_can_be_the_oldest
            counts_keep_step_with_the_jobs
            a_paused_queue_begins_no_job
            a_pause_outlives_a_restart
            resuming_a_queue_wakes_its_workers
            an_instance_tells_of_itself
            // resubmitting
            what_was_submitted_can_be_read_as_a_whole
            the_names_of_forgotten_secrets_are_kept
            a_blob_that_was_submitted_is_named
            // blobs
            a_blob_comes_back_as_it_was_written
            an_empty_blob_is_a_blob
            a_large_body_travels_with_its_job
            a_large_body_in_another_queue_than_the_first_travels_with_its_job
            a_dropped_blob_leaves_nothing_behind
            a_blob_goes_with_its_job
            a_kept_blob_that_no_job_refers_to_is_swept
            a_blob_in_the_making_is_not_swept
            a_finished_blob_can_be_finished_again
        }
    };
    ($open:path => $($promise:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::store::contract::$promise(&mut $open().await).await;
            }
        )+
    };
}
pub(super) use keeps_the_contract;

/// The queue of these tests.
pub(super) fn queue() -> QueueName {
    QueueName::new("default").unwrap()
}

/// What the stores of these tests go by.
pub(super) fn settings() -> StoreSettings {
    let upstream = Upstream::new(Prefix::new("/api").unwrap(), UpstreamUrl::new("http://api:3000").unwrap());
    StoreSettings {
        secret_headers: SecretHeaders::default(),
        max_lease_losses: 5,
        retention: RETENTION,
        upstreams: vec![upstream],
        own_queues: Vec::new(),
        concurrency: 10,
    }
}

/// A small job.
pub(super) fn job() -> NewJob {
    NewJob {
        queue: queue(),
        request: request(JobId::new()),
        id_is_proposed: false,
        body: Body::Inline("{}".into()),
        delay: None,
        claim: None,
        max_queued: None,
        call: None,
    }
}

pub(super) fn request(id: JobId) -> JobRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    JobRequest {
        id,
        upstream: "/api".to_owned(),
        method: Method::POST,
        path: "/api/reports".to_owned(),
        target: "http://api:3000/reports?year=2026".parse().unwrap(),
        headers,
        added_headers: HeaderMap::new(),
        created_at: START,
        timeout: Duration::from_secs(30),
        priority: Priority::Normal,
        delivery: Delivery::Auto,
        idempotent: true,
        owner: None,
        credential: CredentialHash([7; 32]),
        idempotency_key: None,
        client: [192, 0, 2, 1].into(),
        request_id: "a-request".to_owned(),
        retention: RETENTION,
        body_sha256: None,
        bounds: TimeBounds::NONE,
        resubmit_of: None,
        secret_names: Vec::new(),
    }
}

/// When these tests begin.
pub(super) const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// How long their jobs are kept.
pub(super) const RETENTION: Duration = Duration::from_hours(1);

pub(super) fn response(status: u16, body: impl Into<Bytes>) -> StoredResponse {
    let mut headers = HeaderMap::new();
    headers.append("set-cookie", HeaderValue::from_static("a=1"));
    headers.append("set-cookie", HeaderValue::from_static("b=2"));
    let status = StatusCode::from_u16(status).unwrap();
    StoredResponse { head: ResponseHead { status, reason: None, headers }, body: Body::Inline(body.into()) }
}

pub(super) fn retry_after(pause: Duration) -> Verdict {
    Verdict::RetryAfter { pause, error: "connect: refused".to_owned(), reach: Reach::NotSent, charged: true }
}

pub(super) fn failure() -> Verdict {
    Verdict::Fail { error: "connect: refused".to_owned(), reach: Reach::Unknown, outcome: Outcome::Indeterminate }
}

/// Submits a small job. Gives its id.
pub(super) async fn submitted(store: &dyn JobStore) -> JobId {
    let job = job();
    let id = job.request.id;
    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
    id
}

/// Leases the one job that is due.
pub(super) async fn leased(store: &dyn JobStore) -> LeasedJob {
    let mut jobs = store.lease(&queue(), 2).await.unwrap();
    let job = jobs.pop().expect("a job is due");
    assert!(jobs.is_empty(), "one job is due");
    job
}

pub(super) async fn lease_ids(store: &dyn JobStore, max: usize) -> Vec<JobId> {
    store.lease(&queue(), max).await.unwrap().into_iter().map(|job| job.lease.id).collect()
}

/// A job that is there.
pub(super) async fn found(store: &dyn JobStore, id: JobId) -> Job {
    store.get(id).await.unwrap().expect("the job is there")
}

pub(super) async fn state_of(store: &dyn JobStore, id: JobId) -> Option<State> {
    store.get(id).await.unwrap().map(|job| job.state)
}

/// A job brought into a state.
pub(super) async fn job_in(store: &dyn JobStore, state: State) -> JobId {
    if state == State::Scheduled {
        let job = NewJob { delay: Some(Duration::from_mins(10)), ..job() };
        let id = job.request.id;
        store.submit(job).await.unwrap();
        return id;
    }
    let id = submitted(store).await;
    let verdict = match state {
        State::Pending | State::Scheduled => return id,
        State::Active => {
            leased(store).await;
            return id;
        }
        State::Retry => retry_after(Duration::from_mins(10)),
        State::Completed => Verdict::Complete(response(200, "ok")),
        State::Archived => failure(),
    };
    store.settle(&leased(store).await.lease, verdict).await.unwrap();
    assert_eq!(state_of(store, id).await, Some(state));
    id
}
