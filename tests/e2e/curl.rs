//! curl as a client: what a user types works.

use std::process::Command;

use harness::{Answer, Pattern, Proxq, Store, Upstream, on_every_store};
use tokio::task::spawn_blocking;

/// Runs curl; gives its output.
async fn curl(args: Vec<String>) -> String {
    let output = spawn_blocking(move || {
        let common = ["--silent", "--show-error", "--max-time", "20", "--http1.1"];
        Command::new("curl").args(common).args(args).output().expect("curl is installed")
    });
    let output = output.await.expect("curl was started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

on_every_store! {
    async fn submit_wait_and_fetch(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(201).header("X-Report", "7").body("the report"));
        let base = format!("http://{}", proxq.address());
        let accepted = curl(words(&["-i", "-d", r#"{"year": 2026}"#, &format!("{base}/api/reports")])).await;
        assert!(accepted.starts_with("HTTP/1.1 202 Accepted\r\n"), "{accepted}");
        let location =
            accepted.lines().find_map(|line| line.to_lowercase().strip_prefix("location: ").map(str::to_owned));
        let job = format!("{base}{}", location.expect("a Location").trim());
        let status = curl(words(&[&format!("{job}?wait=10s")])).await;
        assert!(status.contains(r#""status":"completed""#), "{status}");
        let content = curl(words(&["-i", &format!("{job}/content")])).await;
        assert!(
            content.starts_with("HTTP/1.1 201") && content.contains("x-report: 7") || content.contains("X-Report: 7"),
            "{content}"
        );
        assert!(content.ends_with("the report"), "{content}");
        let cancelled = curl(words(&["-X", "DELETE", &job])).await;
        assert_eq!(cancelled, r#"{"status":"cancelled"}"#);
        assert_eq!(upstream.request().await.text(), r#"{"year": 2026}"#);
    }

    async fn an_upload_with_expect_arrives_whole(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let pattern = Pattern::new(1, 5 << 20);
        let file = proxq.folder().join("upload");
        std::fs::write(&file, pattern.bytes()).unwrap();
        let url = format!("http://{}/upload", proxq.address());
        let answer = curl(words(&["-i", "-H", "Expect: 100-continue", "-T", file.to_str().unwrap(), &url])).await;
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202"), "{answer}");
        let received = upstream.request().await;
        assert_eq!((received.method(), &received.digest), ("PUT", &pattern.digest()));
    }

    async fn a_form_with_a_file_arrives_as_curl_made_it(proxq: Proxq, upstream: Upstream) {
        let url = format!("http://{}/form", proxq.address());
        curl(words(&["-F", "a=b", "-F", "file=@Cargo.toml;type=text/plain", &url])).await;
        let received = upstream.request().await;
        assert!(received.header("content-type").unwrap().starts_with("multipart/form-data; boundary="));
        assert!(received.text().contains("[package]"));
        assert_eq!(received.header("user-agent").unwrap().split('/').next(), Some("curl"));
    }

    async fn a_refused_upload_is_seen_by_curl(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("maxBodySize", 1000)).await;
        let file = proxq.folder().join("upload");
        std::fs::write(&file, vec![b'x'; 900_000]).unwrap();
        let url = format!("http://{}/upload", proxq.address());
        for expect in ["Expect: 100-continue", "Expect:"] {
            let answer = curl(words(&["-i", "-H", expect, "-T", file.to_str().unwrap(), &url])).await;
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
            assert!(answer.contains("BODY_TOO_LARGE"), "{answer}");
        }
    }
}
