//! Tests of the upstream with limits itself.

use super::*;
use crate::message::Reply;
use crate::request::get;

async fn send(limited: &Limited, credential: &str) -> Reply {
    get("/").header("Authorization", credential).exchange(limited.address).await.unwrap()
}

#[tokio::test]
async fn each_credential_has_a_window_and_is_told_when_it_ends() {
    let span = Duration::from_mins(1);
    for (hints, field, said) in [
        (Hints::RetryAfter, "retry-after", "60"),
        (Hints::RetryAfterMs, "retry-after-ms", "5"),
        (Hints::XRatelimit, "x-ratelimit-reset-requests", "ms"),
        (Hints::Anthropic, "anthropic-ratelimit-requests-reset", "Z"),
    ] {
        let limited = Limited::start(Limits::none(Duration::ZERO).in_window(2, span).hints(hints)).await;
        for _ in 0..2 {
            assert_eq!(send(&limited, "a").await.status, 200);
        }
        let refused = send(&limited, "a").await;
        assert_eq!(refused.status, 429);
        assert!(refused.header(field).is_some_and(|value| value.contains(said)), "{refused}");
        assert_eq!(send(&limited, "b").await.status, 200);
        let tally = limited.tally();
        assert_eq!((tally.taken(), tally.refused(), tally.of("a").len()), (3, 1, 3));
    }
}

#[tokio::test]
async fn it_refuses_more_at_once_and_averages_how_many_run() {
    let long = Duration::from_millis(300);
    let limited = Limited::start(Limits::none(long).at_once(2).refusing_with(503)).await;
    let before = limited.tally();
    let (one, two) = tokio::join!(send(&limited, "a"), async {
        limited.counts("one runs", |tally| tally.at_once() == 1).await;
        let ((), (second, third)) = tokio::join!(limited.counts("two run", |tally| tally.at_once() == 2), async {
            tokio::join!(send(&limited, "a"), async {
                limited.counts("two run", |tally| tally.at_once() == 2).await;
                send(&limited, "a").await
            })
        });
        assert_eq!((second.status, third.status), (200, 503));
        second
    });
    assert_eq!((one.status, two.status), (200, 200));
    let after = limited.tally();
    assert_eq!((after.most_at_once(), after.at_once()), (2, 0));
    let mean = after.mean_at_once_since(&before);
    assert!((1.0..=2.0).contains(&mean), "{mean}");
}
