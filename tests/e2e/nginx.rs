//! Tests with nginx: before proxq, as a proxy with a short timeout, and behind it, as the upstream.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::{
    Answer, Client, Curl, Digest, Gate, Nginx, Pattern, Proxq, Reply, Request, Route, Store, Upstream, get, head,
    keep_pace, on_every_store, once, post, put,
};
use proxq_protocol::{JobStatus, header};
use tokio::task::JoinSet;

/// An nginx that forwards everything to proxq as its documentation advises, and gives up after two seconds.
fn before(proxq: &Proxq) -> Nginx {
    Nginx::start(&format!(
        "proxy_read_timeout 2s;
         proxy_buffering off;
         proxy_http_version 1.1;
         proxy_set_header Connection '';
         proxy_set_header Host $http_host;
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
         proxy_set_header X-Forwarded-Proto https;
         location / {{ proxy_pass http://{}; }}",
        proxq.address()
    ))
}

/// A proxq that forwards everything to this nginx.
async fn in_front_of(nginx: &Nginx, store: Store) -> Proxq {
    let config = store.config().route(Route::new("/", &nginx.url()));
    Proxq::start(config.upstream("maxBodySize", "64MiB").upstream("directProxyThreshold", 0)).await
}

fn direct(request: Request) -> Request {
    request.header(header::MODE, "direct")
}

/// The fields of an answer, without what belongs to the connection or to the moment. A body's length is known when it is
/// kept, even where it was not when it was sent.
fn fields(reply: &Reply) -> Vec<(String, Vec<u8>)> {
    const OF_THE_MOMENT: [&str; 5] = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];
    let fields = reply.head.fields().iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    let mut fields: Vec<_> = fields.filter(|(name, _)| !OF_THE_MOMENT.contains(&name.as_str())).collect();
    fields.sort();
    fields
}

on_every_store! {
    async fn a_response_slower_than_the_timeout_of_nginx_is_fetched_later(proxq: Proxq, upstream: Upstream) {
        let nginx = before(&proxq);
        let client = Client::at(nginx.address());
        let (gate, report) = (Gate::new(), Pattern::new(1, 1 << 20));
        upstream.always(Answer::status(200).header("X-Report", "7").pattern(report).wait(&gate));

        let given_up = client.send(direct(get("/report"))).await;
        assert_eq!(given_up.status, 504, "{given_up}");
        assert!(given_up.text().contains("nginx") && !given_up.head.has(header::SOURCE), "nginx says so: {given_up}");
        upstream.quiet().await;

        let job = client.submit(post("/report").body("year")).await;
        let waited = client.send(get(&format!("{}?wait=1s", job.location))).await;
        assert_eq!((waited.status, waited.json()["status"].as_str()), (200, Some("running")), "{waited}");
        gate.open();
        assert_eq!(client.settled(&job).await.status, JobStatus::Completed);
        let content = client.content(&job).await.from_upstream(200);
        assert_eq!((content.digest, content.head.values("x-report")), (report.digest(), vec!["7".to_owned()]));
    }

    async fn the_way_through_a_trusted_nginx_is_told_upstream(proxq: Proxq, upstream: Upstream) {
        let nginx = before(&proxq);
        let client = Client::at(nginx.address());
        let call = || get("/x").header("Host", "public.example").header("X-Forwarded-For", "203.0.113.7");
        client.submit(call()).await;
        let queued = upstream.request().await;
        client.send(direct(call())).await.from_upstream(200);
        for received in [queued, upstream.request().await] {
            let value = |name| received.headers(name).join(", ");
            assert_eq!(value("x-forwarded-for"), "203.0.113.7, 127.0.0.1, 127.0.0.1");
            assert_eq!(value("x-real-ip"), "203.0.113.7");
            assert_eq!(value("x-forwarded-proto"), "https");
            assert_eq!(value("x-forwarded-host"), "public.example");
        }
    }

    async fn events_of_a_job_come_at_once_through_an_nginx_that_buffers(proxq: Proxq, upstream: Upstream) {
        let nginx = Nginx::start(&format!("location / {{ proxy_pass http://{}; }}", proxq.address()));
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let job = proxq.submit(get("/x")).await;
        let curl = Curl::start(&[&format!("{}{}/events", nginx.url(), job.location)]);
        curl.line(r#""status":"running""#).await;
        gate.open();
        let events = curl.to_end().await;
        assert!(events.contains(r#""status":"completed""#), "{events}");
    }

    async fn files_are_answered_as_nginx_answers(store: Store) {
        // nginx does not zip for a proxy, which it knows by `Via`, unless it is told to.
        let nginx = Nginx::start(
            "location /zipped/ { alias html/; gzip on; gzip_min_length 1; gzip_types *; gzip_proxied any; }",
        );
        nginx.serve("file.txt", "All work and no play. ".repeat(500));
        nginx.serve("empty", "");
        fs::create_dir(nginx.folder().join("html/folder")).unwrap();
        let proxq = in_front_of(&nginx, store).await;
        let web = Client::at(nginx.address());
        let file = web.send(get("/file.txt")).await;
        let (etag, modified) = (file.header("etag").unwrap(), file.header("last-modified").unwrap());
        let file = || get("/file.txt");
        for (call, status) in [
            (file(), 200),
            (head("/file.txt"), 200),
            (get("/empty"), 200),
            (get("/none"), 404),
            (get("/folder"), 301),
            (post("/file.txt").body("x"), 405),
            (file().header("Range", "bytes=100-199"), 206),
            (file().header("Range", "bytes=-1"), 206),
            (head("/file.txt").header("Range", "bytes=100-"), 206),
            (file().header("Range", "bytes=99999-"), 416),
            (file().header("If-None-Match", &etag), 304),
            (file().header("If-Modified-Since", &modified), 304),
            (head("/file.txt").header("If-None-Match", &etag), 304),
            (file().header("If-Match", "\"other\""), 412),
            (file().header("If-Range", &etag).header("Range", "bytes=0-9"), 206),
            (file().header("If-Range", "\"other\"").header("Range", "bytes=0-9"), 200),
            (get("/zipped/file.txt").header("Accept-Encoding", "gzip"), 200),
            (get("/zipped/file.txt").header("Accept-Encoding", "gzip").header("If-None-Match", format!("W/{etag}")), 304),
            (head("/zipped/file.txt").header("Accept-Encoding", "gzip"), 200),
        ] {
            let shown = format!("{call:?}");
            // nginx names itself in redirects by the host that it was asked for.
            let asked = web.send(call.clone().header("Host", nginx.address().to_string())).await;
            assert_eq!(asked.status, status, "{shown}\n{asked}");
            let passed = proxq.send(direct(call.clone())).await;
            assert_eq!(passed.header("content-length"), asked.header("content-length"), "{shown}");
            for came in [passed, proxq.through_queue(call).await] {
                assert_eq!((came.status, fields(&came)), (status, fields(&asked)), "{shown}");
                assert!(came.body == asked.body, "{shown}\n{came}");
            }
        }
        let zipped = proxq.send(direct(get("/zipped/file.txt").header("Accept-Encoding", "gzip"))).await;
        assert_eq!(zipped.header("content-encoding").as_deref(), Some("gzip"));
    }

    async fn a_large_file_comes_and_goes_whole(store: Store) {
        let nginx = Nginx::start(
            "client_max_body_size 0;
             location /upload {
                 client_body_in_file_only on;
                 proxy_pass http://$server_addr:$server_port/stored;
                 proxy_pass_request_body off;
                 proxy_set_header Content-Length '';
                 add_header X-Stored $request_body_file;
             }
             location = /stored { return 201 stored; }",
        );
        let large = Pattern::new(2, 64 << 20);
        nginx.serve("large", large.bytes());
        let proxq = in_front_of(&nginx, store).await;
        let sent = large.digest();
        assert_eq!(proxq.send(direct(get("/large"))).await.from_upstream(200).digest, sent);
        assert_eq!(proxq.through_queue(get("/large")).await.digest, sent);
        let upload = || put("/upload").pattern(large);
        for stored in [proxq.send(direct(upload())).await, proxq.through_queue(upload()).await] {
            assert_eq!((stored.status, stored.text().as_str()), (201, "stored"), "{stored}");
            let file = nginx.folder().join(Path::new(&stored.header("x-stored").unwrap()));
            assert_eq!(Digest::of(&fs::read(file).unwrap()), sent);
        }
    }
}

once! {
    async fn an_nginx_that_is_not_trusted_is_the_client(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("trustedProxies", vec!["192.0.2.1"])).await;
        let nginx = before(&proxq);
        let call = get("/x").header("X-Forwarded-For", "203.0.113.7").header("X-Real-IP", "203.0.113.7");
        Client::at(nginx.address()).send(direct(call)).await.from_upstream(200);
        let received = upstream.request().await;
        for (name, value) in [("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("x-forwarded-proto", "http")] {
            assert_eq!(received.headers(name), [value], "{name}");
        }
    }

    async fn events_come_through_nginx_one_by_one(proxq: Proxq, upstream: Upstream) {
        let nginx = before(&proxq);
        let gate = Gate::new();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let events = (0..3).fold(Answer::raw(head), |answer, event| {
            answer.wait(&gate).then(format!("9\r\ndata: {event}\n\n\r\n"))
        });
        upstream.always(events.wait(&gate).then("0\r\n\r\n"));
        let curl = Curl::start(&["-H", "Accept: text/event-stream", &format!("{}/events", nginx.url())]);
        for event in 0..3 {
            gate.let_through(1);
            curl.line(&format!("data: {event}")).await;
        }
        gate.open();
        assert_eq!(curl.to_end().await, "data: 0\n\ndata: 1\n\ndata: 2\n");
    }

    /// Both sides close what they keep, nginx after a second and proxq for POST after half of one: in every burst there
    /// are connections that are just being closed.
    async fn no_request_fails_when_nginx_closes_what_it_kept(store: Store) {
        const PAUSES_MS: [u64; 6] = [0, 500, 965, 975, 985, 995];
        let nginx = Nginx::start("keepalive_timeout 1s; location / { return 200 $request_method; }");
        let proxq = in_front_of(&nginx, store).await;
        for pause_ms in PAUSES_MS {
            keep_pace(Duration::from_millis(pause_ms)).await;
            let mut burst = JoinSet::new();
            for number in 0..50 {
                let client = (*proxq).clone();
                let (method, call) = if number % 2 == 0 { ("GET", get("/")) } else { ("POST", post("/").body("body")) };
                burst.spawn(async move { (method, client.send(direct(call)).await.from_upstream(200)) });
            }
            for (method, reply) in burst.join_all().await {
                assert_eq!(reply.text(), method, "after {pause_ms} ms");
            }
        }
    }
}
