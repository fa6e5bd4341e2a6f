//! Redirects of an upstream's, which the client follows as it would without proxq.

use harness::{Answer, Proxq, Store, Upstream, on_every_store};
use proxq_client::Delivery;

use super::{client, plain, url};

on_every_store! {
    async fn they_are_followed_to_where_they_lead(proxq: Proxq, upstream: Upstream) {
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

    async fn they_are_handed_over_by_a_client_that_does_not_follow_any(proxq: Proxq, upstream: Upstream) {
        upstream.always(Answer::status(307).header("Location", "/elsewhere"));
        let stays = super::with_provider(reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()));
        let http = reqwest_middleware::ClientBuilder::new(stays).with(proxq_client::Proxq::new()).build();
        for _ in 0..2 {
            let response = http.post(url(&proxq, "/begin")).body("x").send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.headers()["location"].as_bytes()), (307, &b"/elsewhere"[..]));
            assert_eq!(response.url().path(), "/begin");
        }
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
