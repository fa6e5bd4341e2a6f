//! Which handshakes succeed, and what becomes of connections whose does not.

use std::fs;
use std::time::Duration;

use harness::{Authority, Http2Client, Launch, Store, TlsClient, TlsWire, get, keep_pace, once, post, s_client};

use super::{Bench, HERE};

const PROBE: &str = "GET /__jobs/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Sends a request of which nothing is known to be taken; says whether it was answered.
async fn is_answered(client: &TlsClient, bench: &Bench) -> bool {
    let Ok(mut wire) = client.try_connect(bench.proxq.address()).await else { return false };
    is_answered_on(&mut wire).await
}

async fn is_answered_on(wire: &mut TlsWire) -> bool {
    wire.try_send(PROBE).await.is_ok() && wire.try_reply().await.is_ok_and(|reply| reply.status == 200)
}

once! {
    async fn two_versions_of_tls_are_spoken_and_older_ones_refused(store: Store) {
        let bench = Bench::start(store).await;
        let ca = bench.ca_file();
        for (version, named) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let said = s_client(bench.proxq.address(), &[version, "-CAfile", &ca], PROBE).await;
            assert!(said.contains(&format!("New, {named}, ")) && said.contains("Verify return code: 0 (ok)"), "{said}");
            assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
        }
        for version in ["-tls1", "-tls1_1"] {
            let said = s_client(bench.proxq.address(), &[version, "-cipher", "ALL:@SECLEVEL=0"], "").await;
            let is_refused = ["alert protocol version", "alert handshake failure"].iter().any(|alert| said.contains(alert));
            assert!(is_refused && said.contains("Cipher is (NONE)"), "{version}: {said}");
        }
        // RSA without forward secrecy, CBC.
        for ciphers in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"] {
            let said = s_client(bench.proxq.address(), &["-tls1_2", "-cipher", ciphers], "").await;
            assert!(said.contains("alert handshake failure"), "{ciphers}: {said}");
        }
    }

    async fn the_protocol_is_agreed_on_and_need_not_be(store: Store) {
        let bench = Bench::start(store).await;
        for (offered, chosen) in [("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1")] {
            let said = s_client(bench.proxq.address(), &["-alpn", offered], "").await;
            assert!(said.contains(&format!("ALPN protocol: {chosen}\n")), "{offered}: {said}");
        }
        let said = s_client(bench.proxq.address(), &[], PROBE).await;
        assert!(said.contains("No ALPN negotiated") && said.contains("HTTP/1.1 200 OK"), "{said}");
        // What was agreed on decides nothing: what is spoken does.
        let mut wire = bench.client().offering(&["h2", "http/1.1"]).connect(bench.proxq.address()).await;
        assert_eq!(wire.protocol().as_deref(), Some("h2"));
        assert!(is_answered_on(&mut wire).await);
        for version in ["--http1.1", "--http2", "--http2-prior-knowledge"] {
            let named = if version == "--http1.1" { "1.1" } else { "2" };
            let url = format!("{}/__jobs/healthz", bench.url());
            let said = bench.curl(&[version, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", &url]).await;
            assert_eq!(said, format!("{named} 200"), "{version}");
        }
    }

    async fn a_session_is_resumed(store: Store) {
        let bench = Bench::start(store).await;
        let session = bench.proxq.folder().join("session").display().to_string();
        for version in ["-tls1_2", "-tls1_3"] {
            let first = s_client(bench.proxq.address(), &[version, "-sess_out", &session], PROBE).await;
            assert!(first.contains("New, TLSv1"), "{first}");
            let second = s_client(bench.proxq.address(), &[version, "-sess_in", &session], PROBE).await;
            assert!(second.contains("Reused, TLSv1") && second.contains("HTTP/1.1 200 OK"), "{version}: {second}");
        }
    }

    async fn a_client_certificate_is_required_where_authorities_of_clients_are_named(store: Store) {
        let clients = Authority::new();
        let ca_file = clients.file("ca.pem").display().to_string();
        let bench = Bench::with(store, |config, _| config.set("tls.clientCaFile", ca_file)).await;
        let with = |of, who| TlsClient::with_certificate(&bench.authority, of, who);
        assert!(is_answered(&with(&clients, "client"), &bench).await);
        assert!(!is_answered(&bench.client(), &bench).await, "without a certificate");
        assert!(!is_answered(&with(&bench.authority, "client"), &bench).await, "of another authority");
        clients.issue_expired("late", &["client"]);
        assert!(!is_answered(&with(&clients, "late"), &bench).await, "whose time is over");
        for version in ["-tls1_2", "-tls1_3"] {
            let said = s_client(bench.proxq.address(), &[version], PROBE).await;
            let alert = if version == "-tls1_3" { "alert certificate required" } else { "alert handshake failure" };
            assert!(said.contains(alert) || said.contains("alert certificate required"), "{version}: {said}");
            let (cert, key) = (clients.file("client.pem"), clients.file("client-key.pem"));
            let own = [version, "-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()];
            let said = s_client(bench.proxq.address(), &own, PROBE).await;
            assert!(said.contains("HTTP/1.1 200 OK"), "{version}: {said}");
        }
        // Everybody is verified on each connection.
        let session = bench.proxq.folder().join("session").display().to_string();
        let (cert, key) = (clients.file("client.pem"), clients.file("client-key.pem"));
        let own = ["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()];
        s_client(bench.proxq.address(), &[&own[..], &["-tls1_2", "-sess_out", &session]].concat(), PROBE).await;
        let again = s_client(bench.proxq.address(), &["-tls1_2", "-sess_in", &session], PROBE).await;
        assert!(!again.contains("HTTP/1.1 200 OK"), "{again}");
    }

    async fn a_handshake_takes_no_longer_than_a_head_may(store: Store) {
        let bench = Bench::with(store, |config, _| config.set("limits.headerReadTimeout", "300ms")).await;
        let mut silent = bench.proxq.wire().await;
        let mut begun = bench.proxq.wire().await;
        begun.send([0x16, 3, 1]).await;
        let mut slow = bench.proxq.wire().await;
        let trickle = async {
            // A record that says that it is long.
            slow.send([0x16, 3, 1, 0x20, 0]).await;
            while slow.try_send([1]).await.is_ok() {
                keep_pace(Duration::from_millis(20)).await;
            }
        };
        tokio::join!(silent.closed(), begun.closed(), trickle);
        // The handshake is done, and no request comes, or only its beginning.
        let client = bench.client();
        let (mut idle, mut half) =
            tokio::join!(client.connect(bench.proxq.address()), client.connect(bench.proxq.address()));
        half.send("GET / HT").await;
        assert!(idle.to_end().await.map_or(true, |rest| rest.is_empty()));
        assert!(half.to_end().await.map_or(true, |rest| rest.is_empty()));
        assert!(is_answered(&bench.client(), &bench).await);
    }

    async fn what_is_not_tls_is_closed_and_fills_no_log(store: Store) {
        let bench = Bench::start(store).await;
        for garbage in [&b"\x00\x01\x02\x03\x04\x05\x06\x07"[..], &[0x16, 3, 1, 0, 2, 9, 9, 9], &[0x80; 100], b"\r\n\r\n"] {
            let mut wire = bench.proxq.wire().await;
            wire.send(garbage).await;
            let rest = wire.rest().await;
            assert!(rest.is_empty() || rest[0] == 0x15, "at most an alert: {rest:?}");
        }
        for _ in 0..20 {
            TlsClient::of(&Authority::new()).try_connect(bench.proxq.address()).await.unwrap_err();
        }
        assert!(is_answered(&bench.client(), &bench).await);
        let loud = bench.proxq.log().records().into_iter().filter(|record| !matches!(record.level(), "INFO" | "DEBUG"));
        assert_eq!(loud.map(|record| record.message()).collect::<Vec<_>>(), Vec::<String>::new());
    }

    async fn a_plain_request_is_told_that_https_is_spoken(store: Store) {
        let bench = Bench::start(store).await;
        for request in [get("/x"), post("/api/report").body("secret"), get("/__jobs/healthz")] {
            let reply = bench.proxq.send(request).await;
            reply.refused(400, "TLS_REQUIRED");
            assert_eq!(reply.header("connection").as_deref(), Some("close"));
            assert!(reply.detail().contains("use https://"), "{reply}");
        }
        let mut wire = bench.proxq.wire().await;
        wire.send("get / HTTP/1.0\r\n\r\n").await;
        assert_eq!(wire.reply().await.status, 400);
        wire.closed().await;
        assert!(bench.upstream.received().is_empty());
        let mut http2 = Http2Client::connect(bench.proxq.address()).await;
        let request = http::Request::get(format!("{}/x", bench.proxq.url())).body("").unwrap();
        assert!(http2.try_send(request).await.is_err(), "a client of HTTP/2 would not see the answer");
    }

    async fn files_that_do_not_belong_together_are_refused(store: Store) {
        let bench = Bench::start(store).await;
        bench.authority.issue_files("other", &HERE);
        let file = |name: &str| bench.authority.file(name).display().to_string();
        let config = store.config_for(&bench.upstream).set("tls.certFile", file("server.pem"));
        let checked = bench.proxq.folder().join("checked.yaml");
        for (config, mistake) in [
            (config.clone(), "tls.certFile: needs keyFile beside it".to_owned()),
            (
                config.set("tls.keyFile", file("other-key.pem")),
                format!(
                    "tls.keyFile: {:?} is not the key of the certificate in {}",
                    file("other-key.pem"),
                    file("server.pem")
                ),
            ),
        ] {
            fs::write(&checked, config.text()).unwrap();
            for command in [&["check"][..], &[]] {
                let launch = Launch::new(bench.proxq.folder()).args(command).arg("--config").arg(&checked);
                let exit = launch.to_exit().await;
                assert_eq!(exit.code, Some(2), "{}", exit.log);
                assert!(exit.log.contains(&mistake), "{mistake}: {}", exit.log);
            }
        }
    }
}
