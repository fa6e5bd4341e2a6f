//! Operators connect by TLS as clients do, with a certificate of their own, or without TLS.

use harness::{Store, TlsClient, get, once};

use super::{Bench, HERE, showing};

/// Where operators connect, by this scheme.
async fn url(bench: &Bench, scheme: &str) -> String {
    bench.proxq.operators().await.url().replace("http:", &format!("{scheme}:"))
}

once! {
    async fn operators_are_answered_by_the_tls_of_clients(store: Store) {
        let bench = Bench::with(store, |config, _| config.set("admin.listenAddress", "127.0.0.1:0")).await;
        let url = url(&bench, "https").await;
        for (path, part) in [("/", "<!DOCTYPE html>"), ("/api/v1/queues", "{"), ("/metrics", "proxq_")] {
            for version in ["--http1.1", "--http2"] {
                let answer = bench.curl(&[version, "-i", &format!("{url}{path}")]).await;
                assert!(answer.lines().next().unwrap().contains(" 200") && answer.contains(part), "{path}: {answer}");
            }
        }
        bench.proxq.operators().await.send(get("/")).await.refused(400, "TLS_REQUIRED");
        let said = bench.proxq.log().record("it says where", |record| record.message() == "listening for operators").await;
        assert_eq!(said.field("dashboard"), Some(format!("{url}/")));
        // One renewal is for both.
        let new = bench.authority.issue_files("server", &HERE);
        let address = bench.proxq.operators().await.address();
        harness::eventually("the new one is shown", async || bench.client().certificate_at(address).await == new).await;
        assert_eq!(bench.shown().await, new);
    }

    async fn operators_are_shown_another_certificate(store: Store) {
        let bench = Bench::with(store, |config, authority| {
            authority.issue_files("operators", &HERE);
            let config = showing(config, "admin.tls", authority, "operators");
            let ca = authority.file("ca.pem").display().to_string();
            config.set("admin.listenAddress", "127.0.0.1:0").set("admin.tls.clientCaFile", ca)
        })
        .await;
        let address = bench.proxq.operators().await.address();
        let known = TlsClient::with_certificate(&bench.authority, &bench.authority, "client");
        let mut wire = known.connect(address).await;
        wire.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(wire.head().await.word(1), "200");
        assert_ne!(wire.certificate(), bench.shown().await, "clients need none, and see another one");
        let mut stranger = bench.client().connect(address).await;
        stranger.try_reply().await.unwrap_err();
        let new = bench.authority.issue_files("operators", &HERE);
        harness::eventually("the new one is shown", async || known.certificate_at(address).await == new).await;
    }

    async fn operators_need_no_tls_where_it_is_off_for_them(store: Store) {
        let bench = Bench::with(store, |config, _| {
            config.set("admin.listenAddress", "127.0.0.1:0").set("admin.tls.enabled", false)
        })
        .await;
        let operators = bench.proxq.operators().await;
        assert_eq!(operators.send(get("/api/v1/queues")).await.status, 200);
        assert!(bench.client().try_connect(operators.address()).await.is_err());
        bench.shown().await;
    }
}
