//! Tests of a drain with direct requests under way: they may end until `shutdownTimeout`.

use std::time::Duration;

use harness::{Proxq, RawUpstream, Route, Store, Wire, once};
use tokio::time::Instant;

/// A server whose client is in the middle of a stream, and which has been told to stop.
struct Draining {
    proxq: Proxq,
    client: Wire,
    served: Wire,
}

async fn draining(store: Store, shutdown_timeout: &str) -> Draining {
    let upstream = RawUpstream::start().await;
    let config = store.config().set("shutdownTimeout", shutdown_timeout).route(Route::new("/", &upstream.url()));
    let proxq = Proxq::start(config).await;
    let mut client = proxq.wire().await;
    client.send("GET /x?stream=true HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut served = upstream.accept().await;
    served.head().await;
    served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    client.head().await;
    client.comes("2\r\nhi\r\n").await;
    proxq.terminate();
    proxq.drains().await;
    Draining { proxq, client, served }
}

once! {
    async fn a_stream_may_end_by_itself(store: Store) {
        let Draining { mut proxq, mut client, mut served } = draining(store, "30s").await;
        served.send("2\r\nho\r\n0\r\n\r\n").await;
        client.comes("2\r\nho\r\n0\r\n\r\n").await;
        client.closed().await;
        assert_eq!(proxq.exit_code().await, Some(0));
    }

    async fn a_stream_that_goes_on_is_cut_when_the_time_is_up(store: Store) {
        let began = Instant::now();
        let Draining { mut proxq, mut client, mut served } = draining(store, "500ms").await;
        assert_eq!(client.rest().await, b"", "no clean end");
        assert_eq!(served.rest().await, b"");
        assert_eq!(proxq.exit_code().await, Some(0));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    async fn a_request_on_an_open_connection_is_still_passed_on(store: Store) {
        let upstream = RawUpstream::start().await;
        let mut proxq = Proxq::start(store.config().route(Route::new("/", &upstream.url()))).await;
        let mut client = proxq.wire().await;
        client.assert_healthy().await;
        proxq.terminate();
        proxq.drains().await;
        client.send("GET /x?stream=true HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut served = upstream.accept().await;
        served.head().await;
        served.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        let reply = client.reply().await.from_upstream(200);
        assert_eq!((reply.text().as_str(), reply.header("connection").as_deref()), ("hi", Some("close")));
        assert_eq!(proxq.exit_code().await, Some(0));
    }
}
