//! Tests of upstreams that close kept connections: a request that may be repeated is sent again, any other is reported.

use std::time::Duration;

use harness::{
    Answer, Client, Config, Pattern, Proxq, RawUpstream, Request, Route, Store, Upstream, delete, get, keep_pace,
    on_every_store, on_the_store, outlast, put, request,
};
use proxq_protocol::{JobStatus, Outcome};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How a request reaches its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    Queued,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Tls,
    Http2,
}

impl Version {
    async fn upstream(self) -> Upstream {
        match self {
            Self::Http1 => Upstream::start().await,
            Self::Tls => Upstream::start_tls().await,
            Self::Http2 => Upstream::start_http2().await,
        }
    }
}

/// One kind of request, with an upstream of its own, so that nothing else uses its connections.
#[derive(Clone, Copy, Debug)]
struct Kind {
    method: &'static str,
    delivery: &'static str,
    has_key: bool,
    may_be_repeated: bool,
}

const fn kind(method: &'static str, may_be_repeated: bool) -> Kind {
    Kind { method, delivery: "auto", has_key: false, may_be_repeated }
}

/// What both ways have.
const METHODS: [Kind; 8] = [
    kind("GET", true),
    kind("HEAD", true),
    kind("OPTIONS", true),
    kind("PUT", true),
    kind("DELETE", true),
    kind("QUERY", true),
    kind("POST", false),
    kind("PATCH", false),
];

/// What only the queue has.
const DELIVERIES: [Kind; 4] = [
    Kind { delivery: "at-least-once", may_be_repeated: true, ..kind("POST", true) },
    Kind { has_key: true, ..kind("POST", true) },
    Kind { delivery: "at-most-once", ..kind("GET", false) },
    Kind { delivery: "at-most-once", has_key: true, ..kind("POST", false) },
];

impl Kind {
    fn prefix(self) -> String {
        format!("/{}-{}-{}", self.method, self.delivery, self.has_key).to_lowercase()
    }

    fn route(self, upstream: &Upstream, version: Version) -> Route {
        let route = Route::new(&self.prefix(), &upstream.url()).set("delivery", self.delivery).set("maxRetries", 0);
        let route = route.set("idempotentUpstream", self.has_key);
        if version == Version::Http1 { route } else { route.set("tls.caFile", upstream.ca_file()) }
    }

    fn request(self, number: usize) -> Request {
        let call = request(self.method, &format!("{}/{number}", self.prefix()));
        let call = if self.has_key { call.header("Idempotency-Key", format!("\"{number}\"")) } else { call };
        if ["PUT", "POST", "PATCH", "QUERY"].contains(&self.method) {
            call.body(format!("body {number}"))
        } else {
            call
        }
    }
}

/// Whether the upstream's answer came. If not, proxq must say that it does not know.
async fn is_answered(client: &Client, way: Way, call: Request) -> bool {
    match way {
        Way::Direct => {
            let reply = client.send(call.header("X-Proxq-Mode", "direct")).await;
            if reply.status != 200 {
                reply.refused(502, "UPSTREAM_UNREACHABLE");
            }
            reply.status == 200
        }
        Way::Queued => {
            let job = client.submit(call.header("X-Proxq-Mode", "queue")).await;
            let info = client.settled(&job).await;
            if info.status == JobStatus::Failed {
                assert_eq!(info.outcome, Some(Outcome::Indeterminate), "{info:?}");
            } else {
                client.response(&job).await.from_upstream(200);
                assert_eq!(info.attempts, Some(1), "a repetition is no attempt of its own");
            }
            info.status == JobStatus::Completed
        }
    }
}

/// When a request is sent after the one before.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// At once, to an upstream that hangs up at each second request of a connection.
    AtOnce,
    /// Around the moment at which the upstream closes the connection of the one before, this long after it answered.
    Closing(Duration),
}

/// Sends so many requests of each kind one after the other, and checks what became of them.
async fn trial(store: Store, (way, version): (Way, Version), kinds: &[Kind], count: usize, pace: Pace) {
    let mut config = store.config();
    let mut upstreams = Vec::new();
    for kind in kinds {
        let upstream = version.upstream().await;
        match pace {
            Pace::AtOnce => upstream.hangs_up_after(1),
            Pace::Closing(limit) => upstream.closes_idle_after(limit),
        }
        config = config.route(kind.route(&upstream, version));
        upstreams.push(upstream);
    }
    let proxq = Proxq::start(config).await;
    let mut lanes = JoinSet::new();
    for (kind, upstream) in kinds.iter().copied().zip(upstreams) {
        let client = (*proxq).clone();
        lanes.spawn(async move {
            let (began, mut lost, mut connections) = (Instant::now(), 0, 0);
            let mut pause = if let Pace::Closing(limit) = pace { limit / 2 } else { Duration::ZERO };
            for number in 0..count {
                if let Pace::Closing(_) = pace {
                    keep_pace(pause).await;
                    // Approaches the moment of closing, from whichever side.
                    let kept = upstream.connections() == connections;
                    pause = if kept { pause + STEP } else { pause.saturating_sub(STEP) };
                    connections = upstream.connections();
                }
                let answered = is_answered(&client, way, kind.request(number)).await;
                assert!(answered || !kind.may_be_repeated, "{way:?} {version:?} {kind:?} {number}");
                lost += u64::from(!answered);
            }
            let received = upstream.received();
            let deliveries = |number| {
                let target = format!("/{number}");
                received.iter().filter(|received| received.target() == target).count()
            };
            let most = (0..count).map(deliveries).max().unwrap_or(0);
            let most_allowed = if kind.may_be_repeated { 2 } else { 1 };
            assert!(most <= most_allowed, "{way:?} {version:?} {kind:?}: sent {most} times");
            let (connections, twice) = (upstream.connections(), received.len() - count.min(received.len()));
            eprintln!(
                "{way:?} {version:?} {kind:?}: {count} requests on {connections} connections, {twice} arrived twice, {lost} lost"
            );
            // A request that cannot be repeated is lost once; then such requests use no kept connections for a minute.
            assert!(lost <= 1 + began.elapsed().as_secs() / 60, "{way:?} {version:?} {kind:?}: lost {lost}");
        });
    }
    lanes.join_all().await;
}

/// By how much a pause is changed that was too long or too short: less than the moment of closing varies.
const STEP: Duration = Duration::from_millis(1);

/// How many requests of each kind are sent around the moment in which their upstream closes their connection.
fn reuses() -> usize {
    std::env::var("PROXQ_TEST_REUSES").map_or(30, |count| count.parse().unwrap())
}

async fn around_closing(store: Store, way: Way, version: Version) {
    // No shorter than what lies between the upstream's answer and the next request.
    let limit = Duration::from_millis(if way == Way::Direct { 20 } else { 100 });
    trial(store, (way, version), &METHODS, reuses(), Pace::Closing(limit)).await;
}

async fn hang_up_on_reuse(store: Store, way: Way, version: Version) {
    let kinds = match way {
        Way::Direct => METHODS.to_vec(),
        Way::Queued => [&METHODS[..], &DELIVERIES].concat(),
    };
    trial(store, (way, version), &kinds, 8, Pace::AtOnce).await;
}

/// A server in front of an upstream that hangs up at each second request of a connection.
async fn before_one_that_hangs_up(store: Store) -> (Proxq, Upstream) {
    let (proxq, upstream) = store.pair().await;
    upstream.hangs_up_after(1);
    (proxq, upstream)
}

fn direct(call: Request) -> Request {
    call.header("X-Proxq-Mode", "direct")
}

on_every_store! {
    async fn an_upstream_that_hangs_up_on_reuse_fails_no_queued_job_that_may_be_repeated(store: Store) {
        for version in [Version::Http1, Version::Tls, Version::Http2] {
            hang_up_on_reuse(store, Way::Queued, version).await;
        }
    }

    async fn a_stored_body_is_sent_again_from_its_beginning(store: Store) {
        let (proxq, upstream) = before_one_that_hangs_up(store).await;
        for length in [1000, 5 << 20] {
            let body = Pattern::new(3, length);
            for _ in 0..2 {
                proxq.through_queue(put("/x").pattern(body)).await.from_upstream(200);
                let last = upstream.received().pop().unwrap();
                assert_eq!((last.digest, last.complete), (body.digest(), true));
            }
        }
    }

    /// A kept connection is taken by what may be repeated, after half a second by nothing else.
    async fn the_delivery_decides_which_kept_connections_may_be_used(store: Store) {
        for (delivery, method, connections) in [
            ("auto", "GET", 1),
            ("auto", "QUERY", 1),
            ("auto", "POST", 2),
            ("at-least-once", "POST", 1),
            ("at-most-once", "GET", 2),
        ] {
            let upstream = Upstream::start().await;
            let config = store.config_for(&upstream).upstream("delivery", delivery);
            let proxq = Proxq::builder(config).on_one_core().start().await;
            proxq.through_queue(request(method, "/x")).await;
            outlast(Duration::from_millis(700)).await;
            proxq.through_queue(request(method, "/x")).await;
            assert_eq!(upstream.connections(), connections, "{method} {delivery}");
        }
    }
}

on_the_store! { Embedded:
    async fn an_upstream_that_closes_idle_connections_fails_nothing_direct_http1(store: Store) {
        around_closing(store, Way::Direct, Version::Http1).await;
    }

    async fn an_upstream_that_closes_idle_connections_fails_nothing_direct_http2(store: Store) {
        around_closing(store, Way::Direct, Version::Http2).await;
    }

    async fn an_upstream_that_closes_idle_connections_fails_nothing_queued_http1(store: Store) {
        around_closing(store, Way::Queued, Version::Http1).await;
    }

    async fn an_upstream_that_closes_idle_connections_fails_nothing_queued_http2(store: Store) {
        around_closing(store, Way::Queued, Version::Http2).await;
    }

    async fn an_upstream_that_hangs_up_on_reuse_fails_no_direct_request_that_may_be_repeated(store: Store) {
        for version in [Version::Http1, Version::Tls, Version::Http2] {
            hang_up_on_reuse(store, Way::Direct, version).await;
        }
    }

    async fn a_direct_body_is_sent_again_from_its_beginning_or_on_a_new_connection(store: Store) {
        let (proxq, upstream) = before_one_that_hangs_up(store).await;
        for length in [0, 1, 64 << 10, (64 << 10) + 1, 5 << 20] {
            let body = Pattern::new(4, length);
            for call in [put("/x").pattern(body), put("/x").pattern(body).in_chunks()] {
                proxq.send(direct(get("/before"))).await.from_upstream(200);
                proxq.send(direct(call)).await.from_upstream(200);
                let last = upstream.received().pop().unwrap();
                assert_eq!((last.digest, last.complete), (body.digest(), true), "{length}");
            }
        }
    }

    /// A body that has not come whole by the time when its connection is found closed.
    async fn the_part_of_a_slow_body_that_was_sent_is_sent_again(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().route(Route::new("/", &upstream.url()));
        let proxq = Proxq::builder(config).on_one_core().start().await;
        let mut client = proxq.wire().await;
        client.send("GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n").await;
        let mut first = upstream.accept().await;
        first.head().await;
        first.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        client.head().await;
        client.send("PUT /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\nContent-Length: 6\r\n\r\nabc").await;
        first.head().await;
        first.comes("abc").await;
        drop(first);
        let mut second = upstream.accept().await;
        second.head().await;
        second.comes("abc").await;
        client.send("def").await;
        second.comes("def").await;
        second.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.head().await.word(1), "201");
    }

    async fn what_the_upstream_has_begun_to_answer_is_not_repeated(store: Store) {
        for begun in ["H", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le"] {
            let upstream = Upstream::start().await;
            let proxq = Proxq::builder(store.config_for(&upstream)).on_one_core().start().await;
            upstream.once(Answer::status(200));
            upstream.once(Answer::raw(begun).close());
            proxq.send(direct(get("/x"))).await.from_upstream(200);
            proxq.send(direct(delete("/x"))).await.refused(502, "UPSTREAM_UNREACHABLE");
            assert_eq!((upstream.received().len(), upstream.connections()), (2, 1), "{begun:?}");
        }
    }

    async fn a_new_connection_that_breaks_is_not_repeated(store: Store) {
        let (proxq, upstream) = store.pair().await;
        upstream.hangs_up_after(0);
        proxq.send(direct(get("/x"))).await.refused(502, "UPSTREAM_UNREACHABLE");
        let job = proxq.submit(get("/x")).await;
        assert_eq!(proxq.settled(&job).await.outcome, Some(Outcome::Indeterminate));
        assert_eq!(upstream.received().len(), 2);
    }

    /// The upstream may have processed what it read before it hung up.
    async fn a_job_that_could_not_be_sent_again_stays_in_doubt(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().route(Route::new("/", &upstream.url()));
        let proxq = Proxq::builder(config).on_one_core().start().await;
        let first = proxq.submit(get("/x")).await;
        let mut connection = upstream.accept().await;
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        proxq.response(&first).await;
        let second = proxq.submit(get("/x")).await;
        connection.head().await;
        drop(upstream);
        drop(connection);
        let info = proxq.settled(&second).await;
        assert_eq!(info.outcome, Some(Outcome::Indeterminate));
        let error = info.error.unwrap();
        let begin = "forward request: send again, as the upstream had closed a kept connection: connect to http://";
        assert!(error.starts_with(begin) && error.contains("connection refused"), "{error}");
    }

    async fn a_request_that_is_sent_again_gets_its_large_response_whole(store: Store) {
        for version in [Version::Http1, Version::Http2] {
            let upstream = version.upstream().await;
            let config: Config = store.config().route(kind("GET", true).route(&upstream, version));
            let proxq = Proxq::builder(config).on_one_core().start().await;
            let large = Pattern::new(5, 5 << 20);
            upstream.hangs_up_after(1);
            upstream.always(Answer::status(200).pattern(large));
            for number in 0..3 {
                let reply = proxq.send(direct(kind("GET", true).request(number))).await;
                assert_eq!(reply.from_upstream(200).digest, large.digest(), "{version:?} {number}");
            }
        }
    }

    async fn a_websocket_handshake_is_sent_again(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().route(Route::new("/", &upstream.url()));
        let proxq = Proxq::builder(config).on_one_core().start().await;
        let mut client = proxq.wire().await;
        let handshake = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        client.send(handshake).await;
        let mut first = upstream.accept().await;
        first.head().await;
        first.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.head().await.word(1), "426");
        client.send(handshake).await;
        first.head().await;
        drop(first);
        let mut second = upstream.accept().await;
        second.head().await;
        second.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi").await;
        assert_eq!(client.head().await.word(1), "101");
        client.comes("hi").await;
        client.send("there").await;
        second.comes("there").await;
        drop(second);
        client.closed().await;
    }
}
