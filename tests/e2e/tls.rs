//! Tests of upstreams behind TLS.

use harness::{Answer, Proxq, Route, Store, Upstream, Validity, on_every_store, post};
use proxq_protocol::{JobStatus, Outcome};

on_every_store! {
    async fn an_https_upstream_is_trusted_by_the_configured_authority(store: Store) {
        let upstream = Upstream::start_tls().await;
        upstream.always(Answer::echo());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("tls.caFile", upstream.ca_file())).await;
        assert_eq!(proxq.through_queue(post("/x%2Fy?z").body("sealed")).await.text(), "sealed");
        let received = upstream.request().await;
        assert_eq!(received.target(), "/x%2Fy?z");
        assert_eq!(received.header("host"), Some(upstream.address().to_string()));
    }

    async fn an_upstream_of_an_unknown_authority_sees_nothing(store: Store) {
        let upstream = Upstream::start_tls().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let job = proxq.submit(post("/x").body("secret")).await;
        let status = proxq.settled(&job).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::NotSent)));
        let error = status.error.unwrap();
        assert!(error.contains("certificate"), "{error}");
        assert!(upstream.received().is_empty());
    }

    async fn a_certificate_for_another_name_is_refused(store: Store) {
        let upstream = Upstream::start_tls_as("elsewhere.example").await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("tls.caFile", upstream.ca_file())).await;
        let job = proxq.submit(post("/x")).await;
        let status = proxq.settled(&job).await;
        assert_eq!(status.outcome, Some(Outcome::NotSent));
        assert!(status.error.as_ref().unwrap().contains("certificate"), "{status:?}");
        assert!(upstream.received().is_empty());
    }

    async fn a_self_signed_certificate_is_trusted_where_the_file_has_it(store: Store) {
        let upstream = Upstream::start_self_signed("127.0.0.1", Validity::Now).await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("tls.caFile", upstream.ca_file())).await;
        assert_eq!(proxq.through_queue(post("/queued")).await.status, 200);
        proxq.send(post("/direct").header("X-Proxq-Mode", "direct")).await.from_upstream(200);
    }

    async fn a_self_signed_certificate_is_refused_for_its_name_its_dates_or_where_the_file_has_another(store: Store) {
        let elsewhere = Upstream::start_self_signed("elsewhere.example", Validity::Now).await;
        let over = Upstream::start_self_signed("127.0.0.1", Validity::Over).await;
        let other = Upstream::start_self_signed("127.0.0.1", Validity::Now).await;
        for (upstream, file, why) in [
            (&elsewhere, elsewhere.ca_file(), "not valid for name"),
            (&over, over.ca_file(), "expired"),
            (&other, elsewhere.ca_file(), "certificate"),
        ] {
            let proxq = Proxq::start(store.config_for(upstream).upstream("tls.caFile", file)).await;
            let job = proxq.submit(post("/x").body("secret")).await;
            let status = proxq.settled(&job).await;
            assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::NotSent)));
            let error = status.error.unwrap();
            assert!(error.contains(why), "{why}: {error}");
            assert!(upstream.received().is_empty());
        }
    }

    async fn a_client_certificate_is_shown_where_it_is_configured(store: Store) {
        let upstream = Upstream::start_mutual_tls().await;
        let config = store.config_for(&upstream).upstream("tls.caFile", upstream.ca_file());
        let (certificate, key) = upstream.client_files();
        let known = config.clone().upstream("tls.certFile", certificate).upstream("tls.keyFile", key);
        assert_eq!(Proxq::start(known).await.through_queue(post("/x")).await.status, 200);
        let unknown = Proxq::start(config).await;
        let job = unknown.submit(post("/x")).await;
        assert_eq!(unknown.settled(&job).await.status, JobStatus::Failed);
        assert_eq!(upstream.deliveries(job.id), 0);
    }

    async fn verification_can_be_switched_off(store: Store) {
        let upstream = Upstream::start_tls().await;
        let proxq = Proxq::start(store.config_for(&upstream).upstream("tls.insecureSkipVerify", true)).await;
        assert_eq!(proxq.through_queue(post("/x")).await.status, 200);
    }

    async fn an_upstream_that_does_not_speak_tls_was_not_sent_to(store: Store) {
        let upstream = Upstream::start().await;
        let url = upstream.url().replace("http:", "https:");
        let route = Route::new("/", &url).set("timeout", "300ms"); // it waits for the end of what it takes for a head
        let proxq = Proxq::start(store.config().route(route)).await;
        let job = proxq.submit(post("/x")).await;
        let status = proxq.settled(&job).await;
        assert_eq!((status.status, status.outcome), (JobStatus::Failed, Some(Outcome::NotSent)));
        assert!(upstream.received().is_empty());
    }

    async fn a_broken_exchange_over_tls_is_in_doubt(store: Store) {
        let upstream = Upstream::start_tls().await;
        upstream.always(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").reset());
        let proxq = Proxq::start(store.config_for(&upstream).upstream("tls.insecureSkipVerify", true)).await;
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.settled(&job).await.outcome, Some(Outcome::Indeterminate));
        assert_eq!(upstream.deliveries(job.id), 1);
    }
}
