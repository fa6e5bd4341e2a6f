//! Redirects of an upstream's, which the client follows as it would without proxq. Which requests these are is compared in
//! `redirect_matrix.rs`; here are policies, cookies, streams, and what happens meanwhile.

use std::sync::{Arc, Mutex};

use harness::{Answer, Gate, Proxq, Record, Store, Upstream, delete, on_every_store};
use proxq_client::{Delivery, Error, Proxq as Middleware};
use proxq_protocol::{JobId, header};
use reqwest::redirect::Policy;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::task::JoinSet;

use super::{accepted_answer, client, plain, url, with, with_provider};

/// The client without the middleware, and twice with it: one that finds out where there is a proxq, one that holds nothing.
fn all_of(make: impl Fn() -> reqwest::Client) -> [ClientWithMiddleware; 3] {
    let holding_nothing = Middleware::builder().wait(None).build().unwrap();
    [
        ClientBuilder::new(make()).build(),
        ClientBuilder::new(make()).with(Middleware::new()).build(),
        ClientBuilder::new(make()).with(holding_nothing).build(),
    ]
}

/// `/0` leads to `/1`, and so on to the last.
fn chain(upstream: &Upstream, status: u16, last: usize) {
    upstream.plan(move |head| {
        let step: usize = head.word(1)[1..].parse().unwrap();
        if step < last {
            Answer::status(status).header("Location", format!("{}", step + 1))
        } else {
            Answer::status(200).body("the end")
        }
    });
}

/// A body that is there only once.
fn stream() -> reqwest::Body {
    reqwest::Body::wrap(reqwest::Body::from("streamed"))
}

on_every_store! {
    async fn redirects_are_followed_to_their_end(proxq: Proxq, upstream: Upstream) {
        upstream.plan(|head| match head.word(1) {
            "/begin" => Answer::status(303).header("Location", "/middle"),
            "/middle" => Answer::status(302).header("Location", "/end"),
            _ => Answer::status(200).body("the end"),
        });
        let direct = plain().post(format!("{}/begin", upstream.url())).body("x").send().await.unwrap();
        assert_eq!((direct.url().clone().path(), direct.text().await.unwrap().as_str()), ("/end", "the end"));
        let http = client();
        // Looked for at first, held from the second on.
        for _ in 0..2 {
            let response = http.post(url(&proxq, "/begin")).body("x").send().await.unwrap();
            assert!(matches!(response.extensions().get(), Some(Delivery::Job { .. })));
            assert_eq!((response.url().clone().path(), response.text().await.unwrap().as_str()), ("/end", "the end"));
        }
        let begun = upstream.received().iter().filter(|received| received.target() == "/begin").count();
        assert_eq!(begun, 3, "one for each call");
    }

    async fn redirects_are_returned_by_a_client_that_follows_none(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(307).header("Location", "/elsewhere").body("this way"));
        for http in all_of(|| with_provider(reqwest::Client::builder().redirect(Policy::none()))).into_iter().skip(1) {
            for _ in 0..2 {
                let response = http.post(url(&proxq, "/begin")).body("x").send().await.unwrap();
                assert_eq!((response.status().as_u16(), response.headers()["location"].as_bytes()), (307, &b"/elsewhere"[..]));
                assert_eq!(response.url().path(), "/begin");
                assert_eq!(response.text().await.unwrap(), "this way");
            }
        }
        assert_eq!(upstream.received().len(), 4);
    }

    async fn the_clients_limit_counts_all_redirects(proxq: Proxq, upstream: Upstream) {
        chain(&upstream, 308, 3);
        for (limit, followed) in [(2, false), (3, true)] {
            for (http, front) in all_of(|| with_provider(reqwest::Client::builder().redirect(Policy::limited(limit))))
                .into_iter()
                .zip([upstream.url(), url(&proxq, ""), url(&proxq, "")])
            {
                let ended = http.post(format!("{front}/0")).body("x").send().await;
                match &ended {
                    Ok(response) => assert!(followed && response.url().path() == "/3", "{response:?}"),
                    Err(error) => assert!(!followed && error.is_redirect(), "{error:?}"),
                }
                let seen: Vec<_> = upstream.received().iter().map(|one| one.target().to_owned()).collect();
                let expected = ["/0", "/1", "/2", "/3"];
                assert_eq!(seen[seen.len() - 1 - limit..], expected[..=limit]);
            }
        }
        let received = upstream.received();
        assert_eq!(received.len(), 3 * 3 + 3 * 4, "nothing was sent twice");
        assert!(received.iter().all(|one| one.method() == "POST" && one.text() == "x"));
    }

    async fn a_custom_policy_sees_the_urls_of_the_calls(proxq: Proxq, upstream: Upstream) {
        chain(&upstream, 302, 3);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let policy = || {
            let asked = Arc::clone(&asked);
            Policy::custom(move |attempt| {
                let urls = attempt.previous().iter().chain([attempt.url()]);
                let paths: Vec<_> = urls.map(|url| url.path().to_owned()).collect();
                asked.lock().unwrap().push((attempt.status().as_u16(), paths));
                if attempt.url().path() == "/2" { attempt.stop() } else { attempt.follow() }
            })
        };
        let mut expected = None;
        let clients = all_of(|| with_provider(reqwest::Client::builder().redirect(policy())));
        for (http, front) in clients.into_iter().zip([upstream.url(), url(&proxq, ""), url(&proxq, "")]) {
            let response = http.get(format!("{front}/0")).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.url().path()), (302, "/1"), "it is handed over");
            let mut asked = std::mem::take(&mut *asked.lock().unwrap());
            asked.sort();
            asked.dedup(); // what is led on is asked about once more
            assert_eq!(*expected.get_or_insert(asked.clone()), asked);
        }
    }

    async fn cookies_of_redirects_are_sent_along(proxq: Proxq, upstream: Upstream) {
        upstream.plan(|head| match (head.word(1), head.value("cookie").as_deref()) {
            ("/page", Some("session=1")) => Answer::status(200).body("welcome"),
            ("/page", _) => Answer::status(302).header("Location", "/login"),
            ("/login", _) => Answer::status(303).header("Location", "/page").header("Set-Cookie", "session=1; Path=/"),
            _ => Answer::status(404),
        });
        let clients = all_of(|| with_provider(reqwest::Client::builder().cookie_store(true)));
        for (http, front) in clients.into_iter().zip([upstream.url(), url(&proxq, ""), url(&proxq, "")]) {
            let response = http.get(format!("{front}/page")).send().await.unwrap();
            assert_eq!((response.url().path(), response.status().as_u16()), ("/page", 200), "{front}");
            assert_eq!(response.text().await.unwrap(), "welcome");
            let sent: Vec<_> = upstream.received().iter().rev().take(3).map(|one| one.target().to_owned()).collect();
            assert_eq!(sent, ["/page", "/login", "/page"], "{front}");
        }
        assert_eq!(upstream.received().len(), 9);
    }

    async fn a_stream_is_sent_once(proxq: Proxq, upstream: Upstream) {
        upstream.plan(|head| match head.word(1).split_once('/').and_then(|(_, status)| status.parse().ok()) {
            Some(status) => Answer::status(status).header("Location", "/end"),
            None => Answer::status(200).body("the end"),
        });
        for (http, front) in all_of(plain).into_iter().zip([upstream.url(), url(&proxq, ""), url(&proxq, "")]) {
            for (status, method, ends_with) in [(307, "POST", 307), (302, "PUT", 302), (303, "POST", 200), (301, "POST", 200)] {
                let before = upstream.received().len();
                let request = http.request(method.parse().unwrap(), format!("{front}/{status}"));
                let response = request.header("Content-Length", "8").body(stream()).send().await.unwrap();
                assert_eq!(response.status().as_u16(), ends_with, "{method} {status} to {front}");
                let received = &upstream.received()[before..];
                assert_eq!((received[0].method(), received[0].text().as_str()), (method, "streamed"));
                assert_eq!(received.len(), if ends_with == 200 { 2 } else { 1 }, "{received:?}");
                if let [_, followed] = received {
                    assert_eq!((followed.method(), followed.text().as_str()), ("GET", ""));
                }
            }
        }
    }

    async fn a_slow_redirect_is_waited_for(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        let plan = gate.clone();
        upstream.plan(move |head| match head.word(1) {
            "/begin" => Answer::status(307).header("Location", "/slow"),
            "/slow" => Answer::status(308).header("Location", "/end").wait(&plan),
            _ => Answer::status(200).body("the end"),
        });
        let short = std::time::Duration::from_millis(50);
        let http = with(Middleware::builder().proxq_url(url(&proxq, "")).wait(Some(short)));
        let request = http.post(url(&proxq, "/begin")).header("Idempotency-Key", "k").body("x");
        let (response, ()) = tokio::join!(request.send(), async {
            upstream.arrivals(2).await;
            let is_accepted = |record: &Record| {
                record.message() == "request answered"
                    && record.field("path").as_deref() == Some("/slow")
                    && record.field("status").as_deref() == Some("202")
            };
            proxq.log().record("the held answer is over", is_accepted).await;
            gate.open();
        });
        let response = response.unwrap();
        assert_eq!((response.url().path(), response.status().as_u16()), ("/end", 200));
        assert_eq!(response.text().await.unwrap(), "the end");
        let sent: Vec<_> = upstream.received().iter().map(|one| (one.method().to_owned(), one.text())).collect();
        assert_eq!(sent, vec![("POST".to_owned(), "x".to_owned()); 3]);
    }

    async fn a_dropped_call_cancels_the_job_that_its_redirect_made(proxq: Proxq, upstream: Upstream) {
        upstream.plan(|head| match head.word(1) {
            "/begin" => Answer::status(307).header("Location", "/slow"),
            _ => Answer::nothing().hang(),
        });
        let named = Middleware::builder().proxq_url(url(&proxq, "")).build().unwrap();
        let http = ClientBuilder::new(plain()).with(named.clone()).build();
        let mut call = JoinSet::new();
        let request = http.post(url(&proxq, "/begin")).body("x");
        call.spawn(async move { request.send().await });
        upstream.arrivals(2).await;
        let id = upstream.received()[1].job_id().unwrap();
        call.shutdown().await;
        named.flush().await;
        upstream.abandoned(id).await;
        assert_eq!(upstream.deliveries(id), 1);
    }

    async fn a_redirect_that_is_gone_is_not_followed_again(proxq: Proxq, upstream: Upstream) {
        let gate = Gate::new();
        let plan = gate.clone();
        upstream.plan(move |head| match head.word(1) {
            "/begin" => Answer::status(307).header("Location", "/slow"),
            _ => Answer::status(308).header("Location", "/end").wait(&plan),
        });
        let http = client();
        let request = http.post(url(&proxq, "/begin")).body("x");
        let (failed, id) = tokio::join!(request.send(), async {
            upstream.arrivals(2).await;
            let id = upstream.received()[0].job_id().unwrap();
            proxq.send(delete(&format!("/__jobs/{id}"))).await;
            gate.open();
            id
        });
        let failed = failed.unwrap_err();
        assert!(matches!(Error::find(&failed), Some(Error::JobLost { id: lost }) if *lost == id), "{failed:?}");
        assert_eq!(upstream.received().len(), 2, "nothing was sent twice");
    }

    async fn a_redirect_to_another_proxq_makes_a_job_there(store: Store) {
        let (upstream, other_upstream) = (Upstream::start().await, Upstream::start().await);
        let other = Proxq::start(store.config_for(&other_upstream)).await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        upstream.always(Answer::status(307).header("Location", url(&other, "/there")));
        other_upstream.plan(|head| match head.word(1) {
            "/there" => Answer::status(308).header("Location", "/end"),
            _ => Answer::echo(),
        });
        let http = client();
        for _ in 0..2 {
            let response = http.put(url(&proxq, "/x")).body("carried").send().await.unwrap();
            assert!(matches!(response.extensions().get(), Some(Delivery::Job { .. })), "{response:?}");
            assert_eq!(response.url().as_str(), url(&other, "/end"));
            assert_eq!(response.text().await.unwrap(), "carried");
        }
        assert_eq!((upstream.received().len(), other_upstream.received().len()), (2, 4));
        assert!(other_upstream.received().iter().all(|received| received.job_id().is_some()));
    }

    async fn a_redirect_to_the_upstream_is_followed(store: Store) {
        let upstream = Upstream::start().await;
        upstream.answers(200, "direct");
        let config = store.config_for(&upstream).upstream("directProxyMode", "redirect").upstream("directProxyThreshold", 10);
        let proxq = Proxq::start(config).await;
        let http = client();
        for _ in 0..2 {
            let response = http.post(url(&proxq, "/x")).body("a body above the threshold").send().await.unwrap();
            assert_eq!(response.extensions().get(), Some(&Delivery::Direct));
            assert_eq!(response.url().as_str(), format!("{}/x", upstream.url()));
            assert_eq!(response.text().await.unwrap(), "direct");
            assert_eq!(upstream.request().await.text(), "a body above the threshold");
        }
    }
}

/// What a proxq says of a redirect of this job.
fn report(id: JobId, behind: JobId, location: &str) -> Answer {
    Answer::status(409)
        .header(header::SOURCE, header::SOURCE_VALUE)
        .header(header::JOB_ID, id.to_string())
        .header(header::REDIRECTS, behind.to_string())
        .header("Location", location)
        .body(r#"{"code":"REDIRECT"}"#)
}

/// The token is for proxq alone, and reqwest would take it along.
#[test]
fn the_token_goes_to_no_other_origin() {
    harness::run(async {
        let (server, elsewhere) = (Upstream::start().await, Upstream::start().await);
        for (location, stays) in [(elsewhere.url(), false), ("/end".to_owned(), true)] {
            let (id, behind) = (JobId::new(), JobId::new());
            let told = location.clone();
            server.plan(move |head| match (head.word(1), head.value(header::REDIRECTS).as_deref()) {
                ("/begin", Some("report")) => report(id, behind, &told),
                ("/begin", Some(_)) => Answer::status(307).header("Location", &told),
                _ => Answer::status(200),
            });
            let http = with(Middleware::builder().proxq_url(server.url()).token("secret"));
            let response =
                http.post(format!("{}/begin", server.url())).bearer_auth("own").body("x").send().await.unwrap();
            assert_eq!(response.status(), 200);
            let end = if stays { server.received().pop().unwrap() } else { elsewhere.request().await };
            assert_eq!(end.header(header::TOKEN).is_some(), stays, "{end:?}");
            assert_eq!((end.text(), end.header("authorization").is_some()), ("x".to_owned(), stays));
        }
        let shown = server.received().iter().map(|one| one.header(header::TOKEN).is_some()).collect::<Vec<_>>();
        assert_eq!(shown, [true, false, true, true, true], "what is led on to elsewhere goes without it");
    });
}

#[test]
fn a_server_that_reports_redirects_without_end_ends_the_call() {
    harness::run(async {
        let server = Upstream::start().await;
        let (id, behind) = (JobId::new(), JobId::new());
        server.plan(move |head| if head.word(0) == "POST" { accepted_answer(id) } else { report(id, behind, "/x") });
        let failed = with(Middleware::builder()).post(format!("{}/x", server.url())).send().await.unwrap_err();
        assert!(matches!(Error::find(&failed), Some(Error::Protocol { .. })), "{failed:?}");
    });
}
