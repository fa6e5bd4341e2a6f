//! Tests of WebSockets, which pass through as if proxq were not there.

use std::time::Duration;

use harness::websocket::{EchoServer, Message, SUBPROTOCOL, WebSocket};
use harness::{
    Answer, Gate, Pattern, Proxq, RawUpstream, Refusing, Route, Store, Upstream, Wire, eventually, get, once,
    stay_silent, within,
};
use tokio::task::JoinSet;

const HANDSHAKE: &str = "GET /chat/room?x=1 HTTP/1.1\r\nHost: front\r\nConnection: keep-alive, Upgrade, X-Hop\r\nX-Hop: 1\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\nOrigin: http://o\r\nCookie: c=1\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLBMiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: b\r\n\r\n";

async fn in_front_of(store: Store, url: &str) -> Proxq {
    Proxq::start(store.config().route(Route::new("/chat", url))).await
}

/// Both ends of a tunnel, of which the test plays every byte.
async fn tunnel(proxq: &Proxq, upstream: &RawUpstream) -> (Wire, Wire) {
    let mut client = proxq.wire().await;
    client.send(HANDSHAKE).await;
    let mut served = upstream.accept().await;
    served.head().await;
    served.send(SWITCHED).await;
    assert_eq!(client.head().await.word(1), "101");
    (client, served)
}

once! {
    async fn fifty_conversations_at_once(store: Store) {
        let echo = EchoServer::start().await;
        let proxq = in_front_of(store, &echo.url()).await;
        let mut conversations = JoinSet::new();
        for number in 0..50_u64 {
            let address = proxq.address();
            conversations.spawn(async move {
                let mut socket = WebSocket::connect(address, "/chat/room").await;
                assert_eq!(socket.subprotocol.as_deref(), Some(SUBPROTOCOL));
                socket.send(Message::text(format!("hello {number}"))).await;
                assert_eq!(socket.next().await, Some(Message::text(format!("hello {number}"))));
                socket.send(Message::Ping(vec![7; 100].into())).await;
                assert_eq!(socket.next().await, Some(Message::Pong(vec![7; 100].into())));
                let large = Pattern::new(number, 5_000_000).chunks().collect::<Vec<_>>().concat();
                socket.send(Message::binary(large.clone())).await;
                assert!(socket.next().await == Some(Message::binary(large)), "5 MB come back as they were sent");
                if number % 2 == 0 {
                    socket.close(4000, "enough").await;
                    assert_eq!(socket.farewell().await, Some((4000, "enough".to_owned())));
                } else {
                    socket.send(Message::text("close me")).await;
                    assert_eq!(socket.farewell().await, Some((4321, "as you wish".to_owned())));
                }
                assert_eq!(socket.next().await, None);
            });
        }
        conversations.join_all().await;
    }

    async fn the_fields_of_the_handshake_pass_both_ways(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        let mut client = proxq.wire().await;
        client.send(HANDSHAKE).await;
        let mut served = upstream.accept().await;
        let asked = served.head().await;
        assert_eq!((asked.word(1), asked.value("host")), ("/room?x=1", Some(upstream.address().to_string())));
        for (name, value) in [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Protocol", "a, b"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
            ("Origin", "http://o"),
            ("Cookie", "c=1"),
            ("X-Forwarded-Host", "front"),
        ] {
            assert_eq!(asked.values(name), [value], "{name}");
        }
        assert!(asked.has("via") && asked.has("x-forwarded-for") && !asked.has("x-hop"));
        served.send(SWITCHED).await;
        let switched = client.head().await;
        assert_eq!(switched.word(1), "101");
        for (name, value) in [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Accept", "s3pPLBMiTxaQ9kYGzzhZRbK+xOo="),
            ("Sec-WebSocket-Protocol", "b"),
        ] {
            assert_eq!(switched.values(name), [value], "{name}");
        }
        assert!(!switched.has("x-proxq-source") && !switched.has("content-length") && !switched.has("transfer-encoding"));
    }

    async fn bytes_that_come_with_the_handshake_are_not_lost(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        let mut client = proxq.wire().await;
        client.send(format!("{HANDSHAKE}eager")).await;
        let mut served = upstream.accept().await;
        served.head().await;
        served.send(format!("{SWITCHED}early")).await;
        client.head().await;
        client.comes("early").await;
        served.comes("eager").await;
    }

    async fn one_direction_may_close_before_the_other(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        for client_first in [true, false] {
            let (client, served) = tunnel(&proxq, &upstream).await;
            let (mut first, mut second) = if client_first { (client, served) } else { (served, client) };
            first.send("last words").await;
            first.finish().await;
            second.comes("last words").await;
            second.closed().await; // that direction
            second.send("but I go on").await;
            first.comes("but I go on").await;
            second.finish().await;
            first.closed().await;
        }
    }

    async fn an_end_that_breaks_off_ends_the_other(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        let (client, mut served) = tunnel(&proxq, &upstream).await;
        client.reset();
        assert_eq!(served.rest().await, b"");
        let (mut client, served) = tunnel(&proxq, &upstream).await;
        served.reset();
        assert_eq!(client.rest().await, b"");
    }

    async fn an_upstream_behind_tls_is_spoken_to_over_http_1(store: Store) {
        let upstream = Upstream::start_http2().await;
        let gate = Gate::new();
        upstream.once(Answer::raw(SWITCHED).then("hello").wait(&gate).then("bye").close());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("tls.caFile", upstream.ca_file())).await;
        let mut client = proxq.wire().await;
        client.send(HANDSHAKE).await;
        assert_eq!(upstream.request().await.head.line(), "GET /chat/room?x=1 HTTP/1.1");
        assert_eq!(client.head().await.word(1), "101");
        client.comes("hello").await;
        gate.open();
        client.comes("bye").await;
        client.closed().await;
    }

    async fn an_end_that_is_gone_after_its_last_message_is_sent_nothing_more(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        for client_first in [true, false] {
            let (client, served) = tunnel(&proxq, &upstream).await;
            let (mut gone, mut other) = if client_first { (client, served) } else { (served, client) };
            gone.send("bye").await;
            gone.finish().await;
            other.comes("bye").await;
            other.closed().await;
            gone.reset();
            within("sending fails", async { while other.try_send([b'x'; 1000]).await.is_ok() {} }).await;
        }
    }

    async fn an_end_that_takes_nothing_for_too_long_ends_the_conversation(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().set("limits.idleTimeout", "500ms").set("limits.maxConnections", 1);
        let proxq = Proxq::start(config.route(Route::new("/chat", &upstream.url()))).await;
        let (mut client, _takes_nothing) = tunnel(&proxq, &upstream).await;
        within("sending fails", async { while client.try_send(vec![b'x'; 64 << 10]).await.is_ok() {} }).await;
        assert_eq!(proxq.send(get("/__jobs/healthz")).await.status, 200, "its place is free again");
    }

    async fn a_refused_handshake_is_the_upstreams_answer(proxq: Proxq, upstream: Upstream) {
        let mut client = proxq.wire().await;
        for (status, body) in [(403, "not you"), (426, "")] {
            upstream.once(Answer::status(status).header("X-Why", "so").body(body));
            client.send(HANDSHAKE).await;
            let reply = client.reply().await.from_upstream(status);
            assert_eq!((reply.header("x-why").as_deref(), reply.text().as_str()), (Some("so"), body));
        }
        client.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200, "the connection goes on");
    }

    async fn an_unreachable_or_silent_upstream_is_reported(store: Store) {
        let refusing = Refusing::new();
        let proxq = in_front_of(store, &refusing.url()).await;
        proxq.raw(HANDSHAKE).await.refused(502, "UPSTREAM_UNREACHABLE");
        let silent = Upstream::start().await;
        silent.always(Answer::nothing().hang());
        let config = store.config().route(Route::new("/chat", &silent.url()).set("timeout", "200ms"));
        Proxq::start(config).await.raw(HANDSHAKE).await.refused(504, "UPSTREAM_TIMEOUT");
    }

    async fn a_client_that_does_not_read_holds_its_upstream_back(store: Store) {
        let upstream = RawUpstream::start().await;
        let proxq = in_front_of(store, &upstream.url()).await;
        let (_client, mut served) = tunnel(&proxq, &upstream).await;
        let idle = proxq.memory();
        let flood = async {
            for _ in 0..1024 {
                served.send(vec![b'x'; 64 << 10]).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(500), flood).await.is_err(), "64 MiB were taken");
        let above = proxq.memory().saturating_sub(idle);
        assert!(above <= 8 << 20, "{above} bytes above idle");
        proxq.assert_healthy().await;
    }

    async fn an_idle_conversation_goes_on(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().set("limits.idleTimeout", "200ms").set("limits.headerReadTimeout", "200ms");
        let proxq = Proxq::start(config.route(Route::new("/chat", &upstream.url()).set("timeout", "200ms"))).await;
        let (mut client, mut served) = tunnel(&proxq, &upstream).await;
        stay_silent(Duration::from_secs(1)).await;
        client.send("still here").await;
        served.comes("still here").await;
    }

    async fn a_conversation_keeps_its_place_among_the_connections(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().set("limits.maxConnections", 1).route(Route::new("/chat", &upstream.url()));
        let proxq = Proxq::start(config).await;
        let (client, served) = tunnel(&proxq, &upstream).await;
        let mut waiting = proxq.wire().await;
        waiting.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        let served_early = tokio::time::timeout(Duration::from_millis(300), waiting.head()).await;
        assert!(served_early.is_err(), "there is no place for it yet");
        drop((client, served));
        assert_eq!(waiting.head().await.word(1), "200");
    }

    async fn a_drain_lets_a_conversation_end(store: Store) {
        let upstream = RawUpstream::start().await;
        let mut proxq = in_front_of(store, &upstream.url()).await;
        let (mut client, mut served) = tunnel(&proxq, &upstream).await;
        proxq.terminate();
        proxq.drains().await;
        client.send("one more thing").await;
        served.comes("one more thing").await;
        client.finish().await;
        served.closed().await;
        served.finish().await;
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn a_handshake_that_was_begun_before_a_drain_becomes_a_conversation(store: Store) {
        let upstream = RawUpstream::start().await;
        let mut proxq = in_front_of(store, &upstream.url()).await;
        let (mut idle, mut client) = (proxq.wire().await, proxq.wire().await);
        client.send(HANDSHAKE).await;
        let mut served = upstream.accept().await;
        served.head().await;
        proxq.terminate();
        idle.closed().await; // open connections have been told to end
        served.send(SWITCHED).await;
        assert_eq!(client.head().await.values("connection"), ["Upgrade"]);
        client.send("hello").await;
        served.comes("hello").await;
        drop((client, served));
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn a_drain_cuts_a_conversation_that_goes_on(store: Store) {
        let upstream = RawUpstream::start().await;
        let config = store.config().set("shutdownTimeout", "500ms").route(Route::new("/chat", &upstream.url()));
        let mut proxq = Proxq::start(config).await;
        let (mut client, mut served) = tunnel(&proxq, &upstream).await;
        proxq.terminate();
        assert_eq!(client.rest().await, b"");
        assert_eq!(served.rest().await, b"");
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn the_sockets_of_ended_conversations_are_closed(store: Store) {
        let echo = EchoServer::start().await;
        let proxq = in_front_of(store, &echo.url()).await;
        let mut sockets = Vec::new();
        for _ in 0..20 {
            sockets.push(WebSocket::connect(proxq.address(), "/chat").await);
        }
        let open = proxq.open_files();
        assert!(open >= 40, "two sockets a conversation: {open}");
        drop(sockets);
        eventually("all sockets are closed", async || proxq.open_files() <= open - 40).await;
    }
}
