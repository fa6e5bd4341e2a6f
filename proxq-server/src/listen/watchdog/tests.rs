//! When a connection is overdue, idle or free.

use super::break_offs::BREAK_OFFS_MAX;
use super::*;

const HEAD: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_mins(2);

async fn overdue_after(watchdog: &Watchdog) -> Duration {
    let began = Instant::now();
    watchdog.overdue().await;
    began.elapsed()
}

async fn free_after(watchdog: &Watchdog) -> Duration {
    let began = Instant::now();
    watchdog.free().await;
    began.elapsed()
}

async fn never_overdue(watchdog: &Watchdog) {
    let long = Duration::from_hours(1);
    assert!(tokio::time::timeout(long, watchdog.overdue()).await.is_err(), "it is overdue");
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_has_the_head_limit() {
    assert_eq!(overdue_after(&Watchdog::new(HEAD, IDLE)).await, HEAD);
}

#[tokio::test(start_paused = true)]
async fn a_head_is_timed_from_its_first_byte_whatever_trickles_in() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    let trickle = async {
        for _ in 0..30 {
            watchdog.bytes_came();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        after = overdue_after(&watchdog) => assert_eq!(after, HEAD),
        () = trickle => panic!("a trickling head was never overdue"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_on_a_kept_connection_is_timed_although_the_wait_began_before() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    drop(watchdog.busy());
    let begin_late = async {
        tokio::time::sleep(Duration::from_secs(47)).await;
        watchdog.bytes_came();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        after = overdue_after(&watchdog) => assert_eq!(after, Duration::from_secs(57)),
        () = begin_late => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_its_answer_has_the_idle_limit() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    let _busy = watchdog.busy();
    watchdog.sent::<()>(&Poll::Pending);
    let almost = IDLE.checked_sub(Duration::from_secs(1)).unwrap();
    assert!(tokio::time::timeout(almost, watchdog.overdue()).await.is_err());
    watchdog.sent(&Poll::Ready(()));
    watchdog.sent::<()>(&Poll::Pending);
    watchdog.sent::<()>(&Poll::Pending);
    assert_eq!(overdue_after(&watchdog).await, IDLE, "since it last took something");
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_its_time_and_a_kept_connection_has_the_idle_limit() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    let busy = watchdog.busy();
    never_overdue(&watchdog).await;
    let end_later = async {
        tokio::time::sleep(HEAD).await;
        drop(busy);
    };
    let (after, freed, ()) = tokio::join!(overdue_after(&watchdog), free_after(&watchdog), end_later);
    assert_eq!((after, freed), (HEAD + IDLE, HEAD));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_after_its_answer_is_no_head() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    let (busy, body) = (watchdog.busy(), watchdog.open_body());
    drop(busy);
    for _ in 0..10 {
        assert!(tokio::time::timeout(HEAD * 2, watchdog.overdue()).await.is_err());
        watchdog.bytes_came();
    }
    drop(body);
    watchdog.bytes_came();
    assert_eq!(overdue_after(&watchdog).await, HEAD);
}

#[tokio::test(start_paused = true)]
async fn bytes_between_the_requests_of_a_multiplexed_connection_prolong_nothing_and_begin_no_head() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    watchdog.set_multiplexed();
    let (first, second) = (watchdog.busy(), watchdog.busy());
    drop(first);
    never_overdue(&watchdog).await;
    drop(second);
    watchdog.bytes_came();
    assert_eq!(overdue_after(&watchdog).await, IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_multiplexed_connection_of_which_no_answer_is_taken_is_ended() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    watchdog.set_multiplexed();
    let (left, other) = (watchdog.busy(), watchdog.busy());
    left.note_piece_given();
    never_overdue(&watchdog).await;
    other.note_piece_given();
    other.note_more_asked();
    never_overdue(&watchdog).await;
    other.note_piece_given();
    let almost = IDLE.checked_sub(Duration::from_secs(1)).unwrap();
    assert!(tokio::time::timeout(almost, watchdog.overdue()).await.is_err());
    drop(other);
    assert_eq!(overdue_after(&watchdog).await, IDLE, "since the last one that was taken");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_may_be_taken_bit_by_bit() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    drop(watchdog.busy());
    for _ in 0..10 {
        let almost = IDLE.checked_sub(Duration::from_secs(1)).unwrap();
        assert!(tokio::time::timeout(almost, watchdog.overdue()).await.is_err());
        watchdog.sent(&Poll::Ready(()));
    }
    assert_eq!(overdue_after(&watchdog).await, IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_off_request_after_request_is_ended() {
    let watchdog = Watchdog::new(HEAD, IDLE);
    watchdog.set_multiplexed();
    let _open = watchdog.busy();
    for _ in 0..BREAK_OFFS_MAX * 3 {
        drop(watchdog.busy());
        let mut answered = watchdog.busy();
        answered.note_answered();
    }
    never_overdue(&watchdog).await;
    let break_off = async {
        for _ in 0..=BREAK_OFFS_MAX {
            drop(watchdog.busy());
        }
    };
    let (after, ()) = tokio::join!(overdue_after(&watchdog), break_off);
    assert_eq!(after, Duration::ZERO);
}
