//! Waiting: for events, each with a deadline, and the few pauses whose length is itself what a test is about.
//!
//! A test waits for an event wherever there is one. The pauses at the end of this file are for the rest, and each name says
//! why time has to pass: the clock of a real server cannot be moved, and silence announces itself to nobody.

use std::time::Duration;

/// The longest that a test waits for one event. Far beyond what any takes, so that only a missing one is reported: the
/// slowest is a lost lease on Redis, after 37 s.
const EVENT_DEADLINE: Duration = Duration::from_mins(1);

/// How long [`eventually`] rests before it asks again: short beside any deadline, long beside one request.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Waits for an event; fails the test if it does not come in time.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(EVENT_DEADLINE, event).await;
    in_time.unwrap_or_else(|_elapsed| panic!("did not happen within {EVENT_DEADLINE:?}: {what}"))
}

/// Waits until something holds that announces itself in no way: asks again and again, with a deadline.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    })
    .await;
}

/// Asserts that an event does not come for so long; fails as soon as it comes.
///
/// `span` is longer than the event takes where it does come. Where a later event proves that this one did not come, wait
/// for that event instead.
pub async fn never_within<T>(span: Duration, what: &str, event: impl Future<Output = T>) {
    let came = tokio::time::timeout(span, event).await;
    assert!(came.is_err(), "happened within {span:?}: {what}");
}

/// Lets a limit run out in real time: a time to live, a timeout, a lease, the age of a kept connection.
pub async fn outlast(limit: Duration) {
    tokio::time::sleep(limit).await;
}

/// Lets one side of an exchange be silent or away for so long: a client between two pieces of its request, a reader that
/// does not read, an upstream between two events, a server that nobody reaches.
pub async fn stay_silent(span: Duration) {
    tokio::time::sleep(span).await;
}

/// Rests between two of the steps that a test repeats at a pace of its own: the bytes of a slow client, bursts, faults.
pub async fn keep_pace(pause: Duration) {
    tokio::time::sleep(pause).await;
}

/// Lets time pass in which the test counts what happens, whatever that is.
pub async fn count_for(span: Duration) {
    tokio::time::sleep(span).await;
}
