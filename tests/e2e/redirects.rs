//! Tests of redirects under a proposed id: a client that follows one keeps the id, and one that asks for reports gets them.

use harness::{Answer, Gate, Proxq, Reply, Request, Upstream, delete, get, head, on_every_store, once, post, request};
use proxq_protocol::{JobId, header};

/// The upstream: `/begin` leads to `/end` by this status.
fn script(upstream: &Upstream, status: u16) {
    upstream.plan(move |head| match head.word(1) {
        "/begin" => Answer::status(status).header("Location", "/end").header("X-From", "begin").body("this way"),
        _ => Answer::status(200).body("the end"),
    });
}

/// A request under this id, held until its job has ended.
fn under(id: JobId, request: Request) -> Request {
    request.header(header::JOB_ID, id.to_string()).header(header::WAIT, "30s")
}

fn named(reply: &Reply) -> JobId {
    reply.header(header::JOB_ID).and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("it names no job: {reply}"))
}

/// Checks a report; gives the id of the job behind the redirect.
fn reported(reply: &Reply) -> String {
    reply.refused(409, "REDIRECT");
    assert_eq!(reply.header("location").as_deref(), Some("/end"), "{reply}");
    reply.header(header::REDIRECTS).expect("the job behind it is named")
}

on_every_store! {
    async fn the_request_that_follows_is_another_job_and_always_the_same(proxq: Proxq, upstream: Upstream) {
        script(&upstream, 303);
        let id = JobId::new();
        let first = proxq.send(under(id, post("/begin").body("x"))).await;
        assert_eq!((first.status, named(&first)), (303, id), "{first}");
        let followed = proxq.send(under(id, get("/end"))).await;
        assert_eq!((followed.status, followed.text().as_str()), (200, "the end"), "{followed}");
        assert_ne!(named(&followed), id);
        let again = proxq.send(under(id, get("/end"))).await;
        assert_eq!((again.status, named(&again)), (200, named(&followed)), "{again}");
        let begun_again = proxq.send(under(id, post("/begin").body("x"))).await;
        assert_eq!((begun_again.status, named(&begun_again)), (303, id), "{begun_again}");
        let sent: Vec<_> = upstream.received().iter().map(|one| (one.method().to_owned(), one.target().to_owned())).collect();
        assert_eq!(sent, [("POST", "/begin"), ("GET", "/end")].map(|(method, target)| (method.to_owned(), target.to_owned())));
    }

    async fn the_redirected_request_is_another_job_whatever_headers_differ(proxq: Proxq, upstream: Upstream) {
        script(&upstream, 307);
        let followers = [
            get("/begin"),
            post("/begin?x").body("x"),
            post("/begin").header("Referer", "http://front/begin").body("x"),
            post("/end").header("Authorization", "Bearer a").body("x"),
            post("/end").body("another body, without credentials"),
        ];
        for follower in followers {
            let id = JobId::new();
            let with_key = |request: Request| under(id, request.header("Idempotency-Key", id.to_string()));
            let begin = post("/begin").header("Authorization", "Bearer a").body("x");
            assert_eq!(proxq.send(with_key(begin)).await.status, 307);
            let followed = proxq.send(with_key(follower)).await;
            assert!(followed.status < 400 && named(&followed) != id, "{followed}");
            assert!(!followed.head.has(header::SOURCE), "{followed}");
        }
    }

    async fn the_redirected_request_is_neither_delayed_nor_a_repetition(proxq: Proxq, upstream: Upstream) {
        script(&upstream, 307);
        let id = JobId::new();
        let with_all = |request: Request| {
            under(id, request).header("Idempotency-Key", "k").header("X-Proxq-Delay", "1s").body("x")
        };
        assert_eq!(proxq.send(with_all(post("/begin"))).await.status, 307);
        let again = proxq.send(with_all(post("/begin"))).await;
        assert_eq!((again.status, again.header("idempotency-replayed").as_deref()), (307, Some("true")), "{again}");
        let begun = tokio::time::Instant::now();
        let followed = proxq.send(with_all(post("/end"))).await;
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!((followed.status, followed.header("idempotency-replayed")), (200, None), "{followed}");
    }

    async fn a_chain_has_a_job_for_each_redirect(proxq: Proxq, upstream: Upstream) {
        upstream.plan(|head| {
            let step: usize = head.word(1)[1..].parse().unwrap();
            if step < 5 { Answer::status(302).header("Location", format!("/{}", step + 1)) } else { Answer::status(200) }
        });
        let id = JobId::new();
        let mut jobs = Vec::new();
        for _ in 0..2 {
            for step in 0..=5 {
                let reply = proxq.send(under(id, get(&format!("/{step}")))).await;
                assert_eq!(reply.status, if step < 5 { 302 } else { 200 }, "{reply}");
                jobs.push(named(&reply));
            }
        }
        assert_eq!(jobs[..6], jobs[6..]);
        assert_eq!(upstream.received().len(), 6);
    }

    async fn a_response_without_a_usable_location_is_no_redirect(proxq: Proxq, upstream: Upstream) {
        for answer in [Answer::status(304), Answer::status(302), Answer::status(300).header("Location", "/end")] {
            upstream.always(answer);
            let id = JobId::new();
            let first = proxq.send(under(id, get("/begin")).header(header::REDIRECTS, "report")).await;
            assert!(!first.head.has(header::SOURCE), "{first}");
            let other = proxq.send(under(id, get("/other"))).await;
            assert!(other.status == 409 || named(&other) == id, "it is no follower: {other}");
        }
    }

    async fn a_redirect_is_reported_on_demand_and_then_given(proxq: Proxq, upstream: Upstream) {
        script(&upstream, 308);
        let id = JobId::new();
        let begin = || under(id, post("/begin").body("x"));
        let behind = reported(&proxq.send(begin().header(header::REDIRECTS, "report")).await);
        assert_eq!(reported(&proxq.send(begin().header(header::REDIRECTS, "report")).await), behind);
        let content = || get(&format!("/__jobs/{id}/content"));
        assert_eq!(reported(&proxq.send(content().header(header::REDIRECTS, "report")).await), behind);
        assert_eq!(proxq.send(content()).await.status, 308, "to who does not ask");
        let no_body = proxq.send(head(&format!("/__jobs/{id}/content")).header(header::REDIRECTS, "report")).await;
        assert_eq!((no_body.status, no_body.header(header::REDIRECTS)), (409, Some(behind.clone())));

        let led_on = post("/begin").header(header::JOB_ID, id.to_string()).header(header::REDIRECTS, &behind).body("-");
        let redirect = proxq.send(led_on).await;
        assert_eq!((redirect.status, redirect.text().as_str()), (308, "this way"), "at once, whatever the body: {redirect}");
        assert_eq!(proxq.send(content().header(header::REDIRECTS, &behind)).await.status, 308);
        let end = proxq.send(under(id, post("/end").body("x")).header(header::REDIRECTS, &behind)).await;
        assert_eq!((end.text(), named(&end).to_string()), ("the end".to_owned(), behind));
        assert_eq!(upstream.received().len(), 2);
    }

    async fn a_redirect_that_is_gone_makes_no_job(proxq: Proxq, upstream: Upstream) {
        script(&upstream, 307);
        let id = JobId::new();
        let begin = || under(id, post("/begin").body("x"));
        let behind = reported(&proxq.send(begin().header(header::REDIRECTS, "report")).await);
        proxq.send(delete(&format!("/__jobs/{id}"))).await;
        proxq.send(begin().header(header::REDIRECTS, &behind)).await.refused(404, "NOT_FOUND");
        proxq.send(get(&format!("/__jobs/{id}"))).await.refused(404, "NOT_FOUND");
        assert_eq!(upstream.received().len(), 1);
    }

    async fn the_id_of_a_running_job_makes_no_second_job(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        upstream.always(Answer::status(307).header("Location", "/end").wait(&gate));
        let id = JobId::new();
        proxq.send(post("/begin").header(header::JOB_ID, id.to_string())).await;
        let early = proxq.send(request("PUT", "/end").header(header::JOB_ID, id.to_string())).await;
        assert!(early.status == 409 || named(&early) == id, "{early}");
        gate.open();
        upstream.arrivals(1).await;
    }
}

once! {
    async fn a_bad_redirects_header_is_refused(proxq: Proxq, _upstream: Upstream) {
        let id = JobId::new();
        for value in ["", "yes", "report, x"] {
            proxq.send(post("/x").header(header::REDIRECTS, value)).await.refused(400, "BAD_HEADER");
            let content = get(&format!("/__jobs/{id}/content")).header(header::REDIRECTS, value);
            proxq.send(content).await.refused(400, "BAD_HEADER");
        }
    }
}
