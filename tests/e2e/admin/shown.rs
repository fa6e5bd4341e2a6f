//! What is shown of queues and jobs.

use std::collections::BTreeSet;

use harness::{Answer, Gate, Store, Upstream, eventually, get, on_every_store, post};

use super::{ids, plain, read, start, started};

on_every_store! {
    async fn jobs_are_found_by_what_they_are(store: Store) {
        let upstream = Upstream::start().await;
        upstream.once(Answer::nothing().close());
        upstream.answers(404, "no");
        let (proxq, operators) = start(store, &upstream).await;
        let failed = proxq.submit(post("/pay/1").header("Idempotency-Key", "k").body("x")).await;
        proxq.settled(&failed).await;
        let done = proxq.submit(get("/report/1?key=hush")).await;
        proxq.settled(&done).await;
        let (failed, done) = (failed.id.to_string(), done.id.to_string());
        for (query, found) in [
            ("", vec![&failed, &done]),
            ("?state=failed", vec![&failed]),
            ("?state=completed", vec![&done]),
            ("?state=pending", vec![]),
            ("?method=get", vec![&done]),
            ("?path=/pay", vec![&failed]),
            ("?path=/pa%79/1", vec![&failed]),
            ("?status=4xx", vec![&done]),
            ("?status=404&method=GET", vec![&done]),
            ("?status=5xx", vec![]),
            ("?outcome=indeterminate", vec![&failed]),
            ("?upstream=/", vec![&failed, &done]),
            ("?upstream=/other", vec![]),
            ("?olderThan=1h", vec![]),
            ("?newerThan=1h&state=&queue=default", vec![&failed, &done]),
            ("?error=forward", vec![&failed]),
        ] {
            let page = read(&operators, &format!("/api/v1/jobs{query}")).await;
            let found: Vec<String> = found.into_iter().cloned().collect();
            assert_eq!(ids(&page), found, "{query}: {page}");
        }
        let page = read(&operators, &format!("/api/v1/jobs?id={done}")).await;
        assert_eq!(ids(&page), [done]);
    }

    async fn a_list_is_read_page_by_page_from_either_end(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, operators) = start(store, &upstream).await;
        let mut all = BTreeSet::new();
        for _ in 0..7 {
            let job = proxq.submit(plain()).await;
            proxq.settled(&job).await;
            all.insert(job.id.to_string());
        }
        for order in ["newest", "oldest"] {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = read(&operators, &format!("/api/v1/jobs?limit=2&order={order}{cursor}")).await;
                assert!(ids(&page).len() <= 2);
                found.extend(ids(&page));
                match page["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(found.len(), 7, "{order}: each once");
            assert_eq!(BTreeSet::from_iter(found), all, "{order}");
        }
    }

    async fn what_is_wrong_with_a_question_is_said(store: Store) {
        let upstream = Upstream::start().await;
        let (_proxq, operators) = start(store, &upstream).await;
        for query in [
            "limit=1000000", "limit=x", "order=up", "state=archived", "sate=failed", "path=%ff", "status=9", "outcome=good",
            "olderThan=-1s", "queue=none", "id=1", "cursor=forged", "cursor=%00", "cursor=cGVuZGluZyBub25lIDE", "cursor=cGVuZGluZyBkZWZhdWx0IC0x",
        ] {
            operators.send(get(&format!("/api/v1/jobs?{query}"))).await.refused(400, "BAD_QUERY");
            let page = operators.send(get(&format!("/jobs?{query}"))).await;
            assert_eq!(page.status, 400, "{query}");
            assert!(page.text().contains("not valid") || page.text().contains("no parameter") || page.text().contains("cursor is of") || page.text().contains("not UTF-8"), "{query}");
        }
        // A place that no page has named is a place as well.
        for place in ["completed default 18446744073709551615", "pending default 0", "active default 7"] {
            use base64::Engine as _;
            let cursor = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(place);
            read(&operators, &format!("/api/v1/jobs?cursor={cursor}")).await;
        }
    }

    async fn a_job_shows_its_head_and_its_attempts_but_no_secret(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, r#"{"answer":42}"#);
        let (proxq, operators) = start(store, &upstream).await;
        let request = post("/ask?key=hush-query&b=1").header("Authorization", "Bearer hush-token").header("X-Note", "seen");
        let job = proxq.submit(request.header("Content-Type", "application/json").body(r#"{"question":"all"}"#)).await;
        proxq.settled(&job).await;
        for path in [format!("/api/v1/jobs/{}", job.id), format!("/jobs/{}", job.id)] {
            let shown = operators.send(get(&path)).await.text();
            assert!(!shown.contains("hush"), "{path} shows a secret:\n{shown}");
        }
        let detail = read(&operators, &format!("/api/v1/jobs/{}", job.id)).await;
        let headers = detail["request"]["headers"].as_array().unwrap();
        let value = |name: &str| headers.iter().find(|field| field[0] == name).map(|field| field[1].as_str().unwrap());
        assert_eq!((value("x-note"), value("authorization")), (Some("seen"), Some("(secret)")), "{detail}");
        assert_eq!(detail["request"]["preview"], r#"{"question":"all"}"#);
        assert!(detail["request"]["url"].as_str().unwrap().ends_with("/ask?key=…&b=…"), "{detail}");
        assert_eq!((&detail["response"]["status"], &detail["history"][0]["reach"]), (&200.into(), &"responded".into()));
        assert_eq!((detail["history"][0]["number"].as_u64(), detail["outcome"].as_str()), (Some(1), Some("responded")));
    }

    async fn queues_are_counted(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = super::config(store, &upstream).set("concurrency", 1);
        let (proxq, operators) = started(config).await;
        let empty = read(&operators, "/api/v1/queues/default").await;
        assert_eq!(empty["oldestAgeSeconds"].as_f64(), Some(0.0), "a number, not nothing: {empty}");
        let first = proxq.submit(plain()).await;
        proxq.submit(plain()).await;
        proxq.submit(plain().header("X-Proxq-Delay", "1h")).await;
        eventually("one runs and two wait", async || {
            let queue = read(&operators, "/api/v1/queues/default").await;
            let counts = ["active", "pending", "scheduled", "running", "limit"].map(|name| queue[name].as_u64());
            counts == [1, 1, 1, 1, 1].map(Some) && queue["oldestAgeSeconds"].as_f64().is_some_and(|age| age > 0.0)
        }).await;
        let overview = read(&operators, "/api/v1/overview").await;
        assert_eq!((overview["jobs"]["pending"].as_u64(), overview["ready"].as_bool()), (Some(1), Some(true)));
        assert_eq!(overview["instances"][0]["this"].as_bool(), Some(true), "{overview}");
        gate.open();
        proxq.settled(&first).await;
        let upstreams = read(&operators, "/api/v1/upstreams").await;
        assert_eq!(upstreams["upstreams"][0]["prefix"], "/", "{upstreams}");
    }
}
