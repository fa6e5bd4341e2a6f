//! SIGHUP: another configuration, and nobody notices who was there before.

use harness::{Answer, Proxq, Route, Store, Upstream, on_every_store, post};

fn to(upstream: &Upstream) -> Route {
    Route::new("/", &upstream.url())
}

fn under(prefix: &str, upstream: &Upstream) -> Route {
    Route::new(prefix, &upstream.url())
}

on_every_store! {
    async fn a_new_upstream_is_served_and_a_removed_one_is_gone(store: Store) {
        let (old, new) = (Upstream::start().await, Upstream::start().await);
        let base = store.config();
        let proxq = Proxq::start(base.clone().route(under("/old", &old))).await;
        proxq.send(post("/new/x")).await.refused(502, "NO_UPSTREAM");
        let changed = proxq.reload(base.clone().route(under("/new", &new))).await;
        assert_eq!(changed, "upstreams[/new] (added), upstreams[/old] (removed)");
        proxq.through_queue(post("/new/x")).await;
        assert_eq!(new.request().await.target(), "/x");
        proxq.send(post("/old/x")).await.refused(502, "NO_UPSTREAM");
        assert!(old.received().is_empty());
    }

    async fn a_job_of_a_removed_upstream_is_worked_on_as_before(store: Store) {
        let (old, new) = (Upstream::start_tls().await, Upstream::start().await);
        old.once(Answer::nothing().close());
        let route = under("/old", &old).set("tls.caFile", old.ca_file()).set("maxRetries", 1).set("retryDelay", "1ms");
        let base = store.config().set("concurrency", 0);
        let proxq = Proxq::start(base.clone().route(route.set("idempotentUpstream", true))).await;
        let job = proxq.submit(post("/old/x").header("Idempotency-Key", "k")).await;
        proxq.reload(base.clone().route(under("/new", &new))).await;
        proxq.reload(base.route(under("/new", &new)).set("concurrency", 1)).await;
        assert_eq!(proxq.response(&job).await.status, 200);
        assert_eq!(old.deliveries(job.id), 2, "its retries and its authority are known as well");
    }

    async fn an_upstream_that_moves_keeps_the_jobs_that_it_was_given(store: Store) {
        let (old, new) = (Upstream::start().await, Upstream::start().await);
        let base = store.config().set("concurrency", 0);
        let proxq = Proxq::start(base.clone().route(to(&old))).await;
        let job = proxq.submit(post("/x")).await;
        assert_eq!(proxq.reload(base.clone().route(to(&new))).await, "upstreams[/].url");
        assert_eq!(proxq.reload(base.route(to(&new)).set("concurrency", 1)).await, "concurrency");
        proxq.response(&job).await;
        assert_eq!(old.deliveries(job.id), 1);
        proxq.through_queue(post("/y")).await;
        assert_eq!(new.received().len(), 1);
    }
}
