//! Tests of the scripted upstream itself.

use std::io;

use super::*;
use crate::body::Pattern;
use crate::refusing::Refusing;
use crate::request::{get, post};
use crate::wire::Wire;

#[tokio::test]
async fn requests_are_kept_and_answers_follow_the_script() {
    let upstream = Upstream::start().await;
    upstream.answers(201, "made");
    upstream.once(Answer::status(500).header("X-A", "1").header("X-A", "2").body("boom"));
    let first = post("/a?b").header("X-Odd", b"\xff").body("hello").exchange(upstream.address()).await.unwrap();
    assert_eq!((first.status, first.text().as_str()), (500, "boom"));
    assert_eq!(first.head.values("x-a"), ["1", "2"]);
    let second = get("/").exchange(upstream.address()).await.unwrap();
    assert_eq!((second.status, second.text().as_str()), (201, "made"));
    let received = upstream.request().await;
    assert_eq!((received.method(), received.target(), received.text().as_str()), ("POST", "/a?b", "hello"));
    assert_eq!(received.head.values_raw("X-Odd"), [b"\xff"]);
    assert_eq!(upstream.request().await.method(), "GET");
    assert_eq!((upstream.received().len(), upstream.connections()), (2, 2));
}

#[tokio::test]
async fn one_connection_serves_several_requests() {
    let upstream = Upstream::start().await;
    upstream.always(Answer::echo());
    let mut wire = Wire::connect(upstream.address()).await;
    wire.send("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\none").await;
    assert_eq!(wire.reply().await.text(), "one");
    wire.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(wire.reply().await.text(), "two");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_gate_holds_an_answer_and_large_bodies_are_compared_by_digest() {
    let upstream = Upstream::start().await;
    let (gate, pattern) = (Gate::new(), Pattern::new(3, 1 << 20));
    upstream.once(Answer::status(200).wait(&gate).pattern(pattern));
    let exchange = post("/").pattern(pattern);
    let (reply, ()) = tokio::join!(exchange.exchange(upstream.address()), async {
        assert_eq!(upstream.request().await.digest, pattern.digest());
        gate.open();
    });
    assert_eq!(reply.unwrap().digest, pattern.digest());
}

#[tokio::test]
async fn a_misbehaving_upstream_breaks_the_exchange() {
    let upstream = Upstream::start().await;
    for broken in [
        Answer::nothing().reset(),
        Answer::nothing().close(),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Le").reset(),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").close(),
        Answer::raw("This is not HTTP\r\n\r\n"),
        Answer::raw("HTTP/1.1 200 OK\r\n").endless_headers(),
    ] {
        let shown = format!("{broken:?}");
        upstream.once(broken);
        assert!(get("/").exchange(upstream.address()).await.is_err(), "{shown}");
    }
}

#[tokio::test]
async fn an_early_answer_does_not_wait_for_the_body() {
    let upstream = Upstream::start().await;
    upstream.once(Answer::status(413).early().close());
    let mut wire = Wire::connect(upstream.address()).await;
    wire.send("POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n").await;
    assert_eq!(wire.reply().await.status, 413);
    assert!(!upstream.received()[0].complete);
}

#[tokio::test]
async fn a_sender_that_goes_away_is_seen() {
    let upstream = Upstream::start().await;
    upstream.always(Answer::nothing().hang());
    let id = JobId::new();
    let mut wire = Wire::connect(upstream.address()).await;
    wire.send(format!("GET / HTTP/1.1\r\nX-Proxq-Job-Id: {id}\r\n\r\n")).await;
    upstream.arrivals(1).await;
    wire.reset();
    upstream.abandoned(id).await;
    assert_eq!(upstream.deliveries(id), 1);
    upstream.quiet().await;
}

#[tokio::test]
async fn nobody_listens_where_connections_are_refused() {
    let refusing = Refusing::new();
    let address = refusing.url();
    let address: SocketAddr = address.trim_start_matches("http://").parse().unwrap();
    assert_eq!(get("/").exchange(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let address = Upstream::start().await.stop().await;
    assert!(get("/").exchange(address).await.is_err());
    let again = Upstream::start_at(address);
    assert_eq!(get("/").exchange(again.address()).await.unwrap().status, 200);
}
