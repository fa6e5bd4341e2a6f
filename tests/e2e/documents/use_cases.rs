//! The use cases: each page's configuration is served as it stands, with other upstreams, and what it is for happens.

use std::time::Duration;

use harness::{
    Answer, Client, Config, Document, Gate, Nginx, Pattern, Proxq, Store, Upstream, get, on_every_store, post,
};
use proxq_protocol::JobStatus;
use tokio::time::Instant;

/// The configuration below a heading, with other upstreams in place of those that are named.
fn configured(store: Store, heading: &str, upstreams: &[(&str, &Upstream)]) -> Config {
    let mut text = Document::named("docs/use-cases.md").blocks_below(heading, "yaml")[0].text.clone();
    for (shown, upstream) in upstreams {
        assert!(text.contains(shown), "{heading}: no {shown}");
        text = text.replace(shown, &upstream.url());
    }
    let config = Config::from_yaml(&text);
    match store.config().redis() {
        Some(redis) => config.in_redis(redis.clone()),
        None => config,
    }
}

/// Longer than the proxy in front waits.
const PATIENCE_IN_FRONT: Duration = Duration::from_secs(1);

on_every_store! {
    async fn a_slow_api_behind_a_short_timeout(store: Store) {
        let backend = Upstream::start().await;
        let gate = Gate::new();
        backend.plan({
            let gate = gate.clone();
            move |_| Answer::status(200).body("at last").wait(&gate)
        });
        let config = configured(store, "Slow APIs behind short timeouts", &[("http://slow-backend:8080", &backend)]);
        let proxq = Proxq::start(config).await;
        let seconds = PATIENCE_IN_FRONT.as_secs();
        let nginx = Nginx::start(&format!(
            "location / {{ proxy_pass {}; proxy_read_timeout {seconds}s; proxy_http_version 1.1; }}",
            proxq.url()
        ));
        let front = Client::at(nginx.address());

        let direct = front.send(get("/report").header("X-Proxq-Mode", "direct")).await;
        assert_eq!(direct.status, 504, "whoever waits for the backend is given up: {direct}");
        let job = front.submit(get("/report")).await;
        let began = Instant::now();
        while began.elapsed() < 2 * PATIENCE_IN_FRONT {
            let status = front.send(get(&format!("{}?wait=500ms", job.location))).await;
            assert_eq!(status.status, 200, "{status}");
        }
        gate.open();
        assert_eq!(front.response(&job).await.text(), "at last");
    }

    async fn a_webhook_relay(store: Store) {
        let receiver = Upstream::start().await;
        receiver.once(Answer::nothing().reset());
        let config = configured(store, "Webhook relay", &[("http://webhook-processor:8080", &receiver)]);
        let proxq = Proxq::start(config).await;
        let job = proxq.submit(post("/hooks/paid").body("order 7")).await;
        let began = Instant::now();
        receiver.arrivals(1).await;
        assert_eq!(proxq.response(&job).await.status, 200);
        assert!(began.elapsed() >= Duration::from_secs(10), "after the delay that is written: {:?}", began.elapsed());
        let received = receiver.received();
        let seen: Vec<_> =
            received.iter().map(|hook| (hook.target(), hook.text(), hook.job_id(), hook.attempt())).collect();
        let hook = |attempt| ("/paid", "order 7".to_owned(), Some(job.id), Some(attempt));
        assert_eq!(seen, [hook(1), hook(2)]);
    }

    async fn a_mixed_api(store: Store) {
        let backend = Upstream::start().await;
        backend.plan(|head| Answer::status(200).body(head.word(1).to_owned()));
        let config = configured(store, "Mixed sync and async API", &[("http://backend:3000", &backend)]);
        let proxq = Proxq::start(config).await;
        for (path, direct) in [("/api/auth/login", "/auth/login"), ("/api/health", "/health")] {
            let answer = proxq.send(post(path)).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, direct), "{answer}");
        }
        let report = proxq.submit(post("/api/reports")).await;
        assert_eq!(proxq.response(&report).await.text(), "/reports");
    }

    async fn an_image_pipeline(store: Store) {
        const UPLOAD_BYTES: u64 = 64 << 20;
        const ABOVE_IDLE_BYTES_MAX: u64 = 32 << 20;
        let media = Upstream::start().await;
        let (upload, result) = (Pattern::new(1, UPLOAD_BYTES), Pattern::new(2, UPLOAD_BYTES));
        media.always(Answer::status(200).pattern(result));
        let config = configured(store, "Image and video pipeline", &[("http://media-worker:9000", &media)]);
        let proxq = Proxq::start(config).await;
        let idle = proxq.memory();
        let job = proxq.submit(post("/process/film").pattern(upload)).await;
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Completed);
        assert_eq!(proxq.content_digest(&job).await, result.digest());
        assert_eq!(media.request().await.digest, upload.digest());
        let above = proxq.memory_peak().saturating_sub(idle);
        assert!(above < ABOVE_IDLE_BYTES_MAX, "streamed, not held: {above} bytes above idle");
        let too_large = format!(
            "POST /process/film HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            (1_u64 << 30) + 1
        );
        proxq.raw(too_large).await.refused(413, "BODY_TOO_LARGE");
    }

    async fn a_gateway(store: Store) {
        const LARGE_BYTES: u64 = 11 << 20;
        let [api, ml, files] = [Upstream::start().await, Upstream::start().await, Upstream::start().await];
        api.once(Answer::nothing().reset());
        let upstreams = [("http://api:3000", &api), ("http://ml-service:8080", &ml), ("http://file-server:9000", &files)];
        let proxq = Proxq::start(configured(store, "Multi-service gateway", &upstreams)).await;
        let [user, model] = [proxq.submit(post("/api/users")).await, proxq.submit(post("/ml/embed")).await];
        let small = proxq.submit(post("/uploads/small.png").body("small")).await;
        for (job, upstream, target) in
            [(&user, &api, "/users"), (&model, &ml, "/embed"), (&small, &files, "/storage/small.png")]
        {
            assert_eq!(proxq.response(job).await.status, 200);
            assert!(upstream.received().iter().all(|request| request.target() == target), "{target}");
        }
        assert_eq!(api.received().len(), 2, "what broke off is tried again there");
        let upload = post("/uploads/large.png").pattern(Pattern::new(3, LARGE_BYTES));
        let redirect = proxq.send(upload).await;
        let target = "/storage/large.png";
        assert_eq!(redirect.status, 307, "{redirect}");
        assert_eq!(redirect.header("location"), Some(format!("{}{target}", files.url())));
        let there = post(target).pattern(Pattern::new(3, LARGE_BYTES));
        assert_eq!(Client::at(files.address()).send(there).await.status, 200);
        assert_eq!(files.received().last().unwrap().digest, Pattern::new(3, LARGE_BYTES).digest());
    }
}
