//! Tests with curl as the client: the commands that a user types work.

use std::fs::{self, File};

use harness::{Answer, Curl, Gate, Pattern, Proxq, Store, Upstream, curl, curl_reading, on_every_store, once};

const DIRECT: [&str; 2] = ["-H", "X-Proxq-Mode: direct"];

/// The URL of the job that a `202` with its head speaks of.
fn job(base: &str, accepted: &str) -> String {
    let location = accepted.lines().find_map(|line| line.to_lowercase().strip_prefix("location: ").map(str::to_owned));
    format!("{base}{}", location.unwrap_or_else(|| panic!("no Location: {accepted}")).trim())
}

on_every_store! {
    async fn submit_wait_and_fetch(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(201).header("X-Report", "7").body("the report"));
        let base = format!("http://{}", proxq.address());
        let accepted = curl(&["-i", "-d", r#"{"year": 2026}"#, &format!("{base}/api/reports")]).await;
        assert!(accepted.starts_with("HTTP/1.1 202 Accepted\r\n"), "{accepted}");
        let job = job(&base, &accepted);
        let status = curl(&[&format!("{job}?wait=10s")]).await;
        assert!(status.contains(r#""status":"completed""#), "{status}");
        let content = curl(&["-i", &format!("{job}/content")]).await;
        assert!(
            content.starts_with("HTTP/1.1 201") && content.contains("x-report: 7") || content.contains("X-Report: 7"),
            "{content}"
        );
        assert!(content.ends_with("the report"), "{content}");
        let cancelled = curl(&["-X", "DELETE", &job]).await;
        assert_eq!(cancelled, r#"{"status":"cancelled"}"#);
        assert_eq!(upstream.request().await.text(), r#"{"year": 2026}"#);
    }

    async fn an_upload_with_expect_arrives_whole(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let pattern = Pattern::new(1, 5 << 20);
        let file = proxq.folder().join("upload");
        fs::write(&file, pattern.bytes()).unwrap();
        let url = format!("http://{}/upload", proxq.address());
        let upload = ["-i", "-H", "Expect: 100-continue", "-T", file.to_str().unwrap(), &url];
        for (args, status) in [(upload.to_vec(), 202), ([&DIRECT[..], &upload].concat(), 200)] {
            let answer = curl(&args).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 {status}")), "{answer}");
            let received = upstream.request().await;
            assert_eq!((received.method(), &received.digest), ("PUT", &pattern.digest()));
            assert!(!received.head.has("expect"), "proxq has answered that");
        }
    }

    async fn every_version_of_http_is_spoken(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(201).header("X-Report", "7").body("the report"));
        let base = format!("http://{}", proxq.address());
        let url = format!("{base}/api/reports");
        for (version, named) in [("--http1.0", "HTTP/1.0"), ("--http1.1", "HTTP/1.1"), ("--http2-prior-knowledge", "HTTP/2")] {
            let accepted = curl(&[version, "-i", "-d", "year", &url]).await;
            assert!(accepted.starts_with(&format!("{named} 202")), "{accepted}");
            let job = job(&base, &accepted);
            let status = curl(&[version, &format!("{job}?wait=10s")]).await;
            assert!(status.contains(r#""status":"completed""#), "{status}");
            let content = curl(&[version, "-i", &format!("{job}/content")]).await;
            let direct = curl(&[version, "-i", "-d", "year", DIRECT[0], DIRECT[1], &url]).await;
            for answer in [content, direct] {
                assert!(answer.starts_with(&format!("{named} 201")), "{answer}");
                assert!(answer.to_lowercase().contains("\r\nx-report: 7\r\n"), "{answer}");
                assert!(answer.ends_with("\r\n\r\nthe report"), "{answer}");
            }
            for _ in ["queued", "direct"] {
                assert_eq!(upstream.request().await.text(), "year", "{version}");
            }
        }
    }

    async fn events_are_printed_as_they_come(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        let answer = Answer::raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        let answer = answer.wait(&gate).then("data: one\n\n").wait(&gate).then("data: two\n\n").wait(&gate).close();
        upstream.always(answer);
        let url = format!("http://{}/events", proxq.address());
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let curl = Curl::start(&[version, "-H", "Accept: text/event-stream", &url]);
            for event in ["data: one", "data: two"] {
                gate.let_through(1);
                curl.line(event).await;
            }
            gate.let_through(1);
            assert_eq!(curl.to_end().await, "data: one\n\ndata: two\n");
        }
    }

    async fn a_head_is_all_that_head_gets(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 11000\r\nX-Report: 7\r\n\r\n"));
        let base = format!("http://{}", proxq.address());
        let url = format!("{base}/report");
        let accepted = curl(&["-I", &url]).await;
        assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
        let job = job(&base, &accepted);
        let status = curl(&["-I", &format!("{job}?wait=10s")]).await;
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let content = curl(&["-I", &format!("{job}/content")]).await;
        let direct = curl(&["-I", DIRECT[0], DIRECT[1], &url]).await;
        assert!(direct.contains("\r\nContent-Length: 11000\r\n"), "{direct}");
        for answer in [content, direct] {
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\r\nX-Report: 7\r\n"), "{answer}");
        }
    }

    async fn a_form_with_a_file_arrives_as_curl_made_it(proxq: Proxq, upstream: Upstream) {
        let url = format!("http://{}/form", proxq.address());
        curl(&["-F", "a=b", "-F", "file=@Cargo.toml;type=text/plain", &url]).await;
        let received = upstream.request().await;
        assert!(received.header("content-type").unwrap().starts_with("multipart/form-data; boundary="));
        assert!(received.text().contains("[package]"));
        assert_eq!(received.header("user-agent").unwrap().split('/').next(), Some("curl"));
    }
}

once! {
    async fn an_upload_from_a_pipe_goes_direct(proxq: Proxq, upstream: Upstream) {
        upstream.answers(201, "kept");
        let pattern = Pattern::new(2, 3 << 20);
        let file = proxq.folder().join("upload");
        fs::write(&file, pattern.bytes()).unwrap();
        let url = format!("http://{}/upload", proxq.address());
        assert_eq!(curl_reading(File::open(file).unwrap(), &["-T", "-", &url]).await, "kept");
        let received = upstream.request().await;
        assert_eq!(received.header("transfer-encoding").as_deref(), Some("chunked"));
        assert_eq!((received.method(), &received.digest), ("PUT", &pattern.digest()));
    }

    async fn a_redirect_is_followed_when_curl_is_told_to(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(201, "kept");
        let config = store.config_for(&upstream).upstream("directProxyMode", "redirect");
        let proxq = Proxq::start(config.upstream("directProxyThreshold", 1000)).await;
        let body = "x".repeat(2000);
        let upload = ["-i", "-d", &body, &format!("http://{}/upload?a=b", proxq.address())];
        let redirect = curl(&upload).await;
        assert!(redirect.starts_with("HTTP/1.1 307"), "{redirect}");
        assert!(redirect.contains(&format!("\r\nLocation: {}/upload?a=b\r\n", upstream.url())), "{redirect}");
        assert!(upstream.received().is_empty(), "nobody went there");
        let followed = curl(&[&["-L"], &upload[..]].concat()).await;
        assert!(followed.ends_with("kept"), "{followed}");
        let received = upstream.request().await;
        assert_eq!((received.method(), received.target(), received.text()), ("POST", "/upload?a=b", body));
    }

    async fn a_refused_upload_is_seen_by_curl(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("maxBodySize", 1000)).await;
        let file = proxq.folder().join("upload");
        fs::write(&file, vec![b'x'; 900_000]).unwrap();
        let url = format!("http://{}/upload", proxq.address());
        for expect in ["Expect: 100-continue", "Expect:"] {
            let answer = curl(&["-i", "-H", expect, "-T", file.to_str().unwrap(), &url]).await;
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
            assert!(answer.contains("BODY_TOO_LARGE"), "{answer}");
        }
    }
}
