//! Tests with a wall clock that is wrong, is set, or is right again: no job hangs, runs early or expires early.

use std::time::Duration;

use harness::{
    Answer, Config, Job, Proxq, Refusing, Reply, Request, Route, SetClock, Store, Upstream, eventually, get,
    on_the_store, post,
};
use proxq_protocol::JobStatus;
use tokio::time::Instant;

const HOUR: i64 = 3_600;
const YEAR: i64 = 8_766 * HOUR;

/// The hour that jobs are kept and delayed for in these tests.
fn config(store: Store, upstream: &Upstream) -> Config {
    store.config().route(Route::new("/ok", &upstream.url())).set("taskRetention", "1h")
}

async fn with_clock(config: Config, clock: &SetClock) -> Proxq {
    Proxq::builder(config).with_clock(clock).start().await
}

fn delayed(delay: &str) -> Request {
    post("/ok/delayed").header("X-Proxq-Delay", delay)
}

fn claiming() -> Request {
    post("/ok/claiming").header("Idempotency-Key", "a-key").body("the same")
}

/// What waits for an hour or is kept for one.
struct Kept {
    completed: Job,
    claimed: Job,
    delayed: Job,
    since: Instant,
}

impl Kept {
    async fn on(proxq: &Proxq) -> Self {
        let since = Instant::now();
        let completed = proxq.submit(post("/ok/x").body("kept")).await;
        let claimed = proxq.submit(claiming()).await;
        for job in [&completed, &claimed] {
            proxq.response(job).await;
        }
        Self { completed, claimed, delayed: proxq.submit(delayed("1h")).await, since }
    }

    /// All is as it was, and is shown by a clock that is so many seconds ahead.
    async fn is_there(&self, proxq: &Proxq, upstream: &Upstream, ahead: i64) {
        // The store's upkeep has been there since: a job that came later has been due, and gone.
        let due = proxq.submit(delayed("1ms")).await;
        assert_eq!(proxq.response(&due).await.status, 200);
        assert_eq!(proxq.content(&self.completed).await.text(), "kept");
        let again: Reply = proxq.send(claiming()).await;
        assert_eq!((again.status, again.header("Location")), (202, Some(self.claimed.location.clone())), "{again}");
        assert_eq!(upstream.deliveries(self.delayed.id), 0);

        let shown = proxq.status(&self.delayed).await;
        assert_eq!(shown.status, JobStatus::Queued);
        let begun = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead) - self.since.elapsed();
        let is_near = |shown: Option<String>, instant: jiff::Timestamp| {
            let shown: jiff::Timestamp = shown.expect("it is shown").parse().expect("RFC 3339");
            assert!(shown.duration_since(instant).abs().as_secs() < 20, "{shown} is not near {instant}");
        };
        is_near(shown.created_at, begun);
        is_near(shown.next_attempt_at, begun + Duration::from_hours(1));
        let ended = proxq.status(&self.completed).await;
        is_near(ended.created_at, begun);
        is_near(ended.started_at, begun);
    }
}

/// The log says once that the clock was set.
async fn was_set(proxq: &Proxq, direction: &str) {
    let says = |record: &harness::Record| {
        record.message().starts_with("the clock was set") && record.field("direction").as_deref() == Some(direction)
    };
    proxq.log().record("that the clock was set", says).await;
    assert_eq!(proxq.log().records().iter().filter(|record| says(record)).count(), 1);
}

on_the_store! {
    Embedded:

    async fn setting_the_clock_changes_nothing(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let clock = SetClock::ahead_by(0);
        let proxq = with_clock(config(store, &upstream), &clock).await;
        let kept = Kept::on(&proxq).await;
        let mut at = 0;
        for ahead in [2 * HOUR, -YEAR] {
            clock.set_ahead_by(ahead);
            kept.is_there(&proxq, &upstream, ahead).await;
            was_set(&proxq, if ahead > at { "forward" } else { "back" }).await;
            at = ahead;
        }
    }

    async fn correcting_a_wrong_clock_changes_nothing_at_the_next_start(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        for wrong in [-2 * HOUR, 2 * HOUR] {
            for machine_restarts in [false, true] {
                let clock = SetClock::ahead_by(wrong);
                let mut proxq = with_clock(config(store, &upstream), &clock).await;
                let kept = Kept::on(&proxq).await;
                clock.set_ahead_by(0);
                kept.is_there(&proxq, &upstream, 0).await;
                proxq.stop().await;
                if machine_restarts {
                    clock.restart_machine();
                }
                proxq.start_again().await;
                kept.is_there(&proxq, &upstream, 0).await;
            }
        }
    }

    async fn setting_the_clock_between_two_runs_changes_nothing(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        for wrong in [-2 * HOUR, 2 * HOUR] {
            let clock = SetClock::ahead_by(wrong);
            let mut proxq = with_clock(config(store, &upstream), &clock).await;
            let kept = Kept::on(&proxq).await;
            kept.is_there(&proxq, &upstream, wrong).await;
            proxq.kill();
            clock.set_ahead_by(0);
            proxq.start_again().await;
            kept.is_there(&proxq, &upstream, 0).await;
        }
    }

    async fn a_start_with_a_clock_far_behind_does_not_hang(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let refusing = Refusing::new();
        let clock = SetClock::ahead_by(0);
        let config = config(store, &upstream).route(Route::new("/away", &refusing.url()).set("maxRetries", 1).set("retryDelay", "3s"));
        let mut proxq = with_clock(config, &clock).await;
        let kept = Kept::on(&proxq).await;
        let resting = proxq.submit(post("/away")).await;
        proxq.resting(&resting).await;
        let waiting = proxq.submit(delayed("3s")).await;
        proxq.stop().await;
        let _upstream = refusing.listen();

        clock.restart_machine();
        clock.set_ahead_by(-YEAR);
        proxq.start_again().await;
        kept.is_there(&proxq, &upstream, -YEAR).await;
        clock.set_ahead_by(0);
        for job in [&waiting, &resting] {
            assert_eq!(proxq.response(job).await.status, 200);
        }
        kept.is_there(&proxq, &upstream, 0).await;
        assert!(proxq.is_ready().await);
    }

    async fn time_that_passed_while_the_machine_was_off_counts(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let clock = SetClock::ahead_by(0);
        let mut proxq = with_clock(config(store, &upstream), &clock).await;
        let kept = Kept::on(&proxq).await;
        proxq.stop().await;
        clock.restart_machine();
        clock.set_ahead_by(HOUR + 1);
        proxq.start_again().await;
        assert_eq!(proxq.response(&kept.delayed).await.status, 200, "it was due meanwhile");
        let gone = async || proxq.send(get(&kept.completed.location)).await.status == 404;
        eventually("its retention is over", gone).await;
        assert_ne!(proxq.submit(claiming()).await, kept.claimed, "and its key is free");
    }
}
