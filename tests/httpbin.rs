//! httpbin under gunicorn, asked directly and through the queue: the answers are the same, byte for byte.
//!
//! Needs `tests/.venv`, which `make dep` makes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{Client, Launch, Pattern, Proxq, Reply, Request, Route, Store, delete, get, head, post, put, request};
use proxq_protocol::{JobStatus, header};

/// httpbin on a free port. Stopped when dropped.
struct Httpbin {
    server: Child,
    address: SocketAddr,
}

impl Httpbin {
    async fn start() -> Self {
        let gunicorn = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/gunicorn");
        assert!(gunicorn.exists(), "{} is missing: run `make dep` first", gunicorn.display());
        let mut command = Command::new(gunicorn);
        command.args(["--bind", "127.0.0.1:0", "--threads", "8", "--keep-alive", "2", "httpbin:app"]);
        let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("gunicorn starts");
        let log = harness::Log::follow(server.stderr.take().expect("standard error is a pipe"));
        let line = harness::within("gunicorn listens", log.line("Listening at: ")).await.expect("gunicorn says where");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let address = address.parse().unwrap_or_else(|_| panic!("no address in {line:?}"));
        Self { server, address }
    }
}

impl Drop for Httpbin {
    fn drop(&mut self) {
        Launch::stop(&mut self.server);
    }
}

/// What the two answers may not agree in: the connection's own headers, and what changes from call to call.
const NOT_COMPARED: [&str; 7] =
    ["connection", "keep-alive", "transfer-encoding", "date", "last-modified", "etag", "content-length"];

fn headers(reply: &Reply) -> Vec<(String, Vec<u8>)> {
    let fields = reply.head.fields().iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    let mut fields: Vec<_> = fields.filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str())).collect();
    fields.sort();
    fields
}

/// The body, without the time that gzip writes into its header.
fn body(reply: &Reply) -> Vec<u8> {
    let mut body = reply.body.clone();
    if let [0x1f, 0x8b, _, _, time @ .., _, _] = body.as_mut_slice() {
        time.iter_mut().take(4).for_each(|byte| *byte = 0);
    }
    body
}

/// Every kind of answer that httpbin has, unless it is random or depends on the clock.
fn requests() -> Vec<Request> {
    let json = r#"{"year": 2026, "name": "Zoë"}"#;
    let form = "a=1&b=2&a=3";
    let mut requests = vec![
        get("/get?a=1&b=%20&a=2"),
        head("/get"),
        post("/post").header("Content-Type", "application/json").body(json),
        post("/post").header("Content-Type", "application/x-www-form-urlencoded").body(form),
        post("/post").header("Content-Type", "application/octet-stream").body((0..=255).collect::<Vec<u8>>()),
        put("/put").body("put"),
        request("PATCH", "/patch").body("patch"),
        delete("/delete"),
        request("OPTIONS", "/get"),
        get("/anything/a%20b//c?x=y%26z").header("X-Custom", "1").header("Accept", "*/*"),
        request("PURGE", "/anything"),
        get("/headers").header("X-A", "1").header("X-B", "\u{fc}"),
        get("/ip"),
        get("/user-agent").header("User-Agent", "tests/1"),
        get("/gzip"),
        get("/deflate"),
        get("/brotli"),
        get("/stream-bytes/5000?seed=7&chunk_size=100"),
        get("/stream/3"),
        get("/drip?duration=0.2&numbytes=5&delay=0"),
        get("/delay/0.1"),
        get("/redirect/2"),
        get("/absolute-redirect/1"),
        get("/redirect-to?url=http%3A%2F%2Fexample.com%2F&status_code=307"),
        get("/cookies").header("Cookie", "a=1; b=2"),
        get("/cookies/set?a=1&b=2"),
        get("/cookies/delete?a"),
        get("/response-headers?X-Twice=1&X-Twice=2&Content-Type=text%2Fplain"),
        get("/image/png"),
        get("/image/svg"),
        get("/encoding/utf8"),
        get("/html"),
        get("/xml"),
        get("/json"),
        get("/robots.txt"),
        get("/deny"),
        get("/range/1000"),
        get("/range/1000").header("Range", "bytes=10-99"),
        get("/cache"),
        get("/cache").header("If-None-Match", "\"x\""),
        get("/cache/60"),
        get("/etag/abc"),
        get("/etag/abc").header("If-None-Match", "abc"),
        get("/etag/abc").header("If-Match", "other"),
        get("/basic-auth/user/pass"),
        get("/basic-auth/user/pass").header("Authorization", "Basic dXNlcjpwYXNz"),
        get("/bearer").header("Authorization", "Bearer token"),
        get("/links/3/0"),
        get("/nothing/here"),
        post("/get"),
        get("/base64/aGVsbG8="),
    ];
    requests.extend(
        [200, 201, 204, 206, 301, 304, 401, 404, 406, 418, 429, 500, 503]
            .map(|status| get(&format!("/status/{status}"))),
    );
    requests.extend(["POST", "PUT", "DELETE", "PATCH"].map(|method| request(method, "/status/202")));
    requests
}

/// Under gunicorn, `/bytes` promises a body and breaks off: what fails directly fails in the queue.
#[test]
fn a_response_that_httpbin_breaks_off_fails() {
    harness::run(async {
        let httpbin = Httpbin::start().await;
        let route = Route::new("/", &format!("http://{}", httpbin.address));
        let proxq = Proxq::start(Store::Embedded.config().route(route)).await;
        assert!(Client::at(httpbin.address).try_send(get("/bytes/1000")).await.is_err());
        let job = proxq.submit(get("/bytes/1000")).await;
        assert_eq!(proxq.settled(&job).await.status, JobStatus::Failed);
    });
}

/// httpbin, and a proxq in front of it.
async fn fronted() -> (Httpbin, Proxq) {
    let httpbin = Httpbin::start().await;
    let route = Route::new("/", &format!("http://{}", httpbin.address));
    let proxq = Proxq::start(Store::Embedded.config().set("viaName", "edge").route(route)).await;
    (httpbin, proxq)
}

/// The request as proxq forwards it: httpbin tells what it received, so a call without proxq bears what proxq adds, in
/// its order.
fn as_forwarded(request: Request, httpbin: &Httpbin, proxq: &Proxq) -> Request {
    request
        .header("Host", httpbin.address.to_string())
        .header("Via", "1.1 edge")
        .header("X-Forwarded-For", "127.0.0.1")
        .header("X-Forwarded-Host", proxq.address().to_string())
        .header("X-Forwarded-Proto", "http")
        .header("X-Real-Ip", "127.0.0.1")
        .header("X-Request-Id", "r")
}

#[track_caller]
fn assert_same(request: &str, through_proxq: &Reply, without: &Reply) {
    let shown = format!("{request}\n--- through proxq\n{through_proxq}\n--- without\n{without}");
    assert_eq!(through_proxq.status, without.status, "{shown}");
    assert!(body(through_proxq) == body(without), "{shown}");
    assert!(headers(through_proxq) == headers(without), "{shown}");
}

#[test]
fn the_queue_answers_as_httpbin_does() {
    harness::run(async {
        let (httpbin, proxq) = fronted().await;
        let without_proxq = Client::at(httpbin.address);
        for request in requests() {
            let shown = format!("{request:?}");
            let job = proxq.submit(request.clone().header("X-Request-ID", "r")).await;
            let queued = proxq.response(&job).await;
            let same = as_forwarded(request, &httpbin, &proxq);
            let same = same.header(header::JOB_ID, job.id.to_string()).header(header::ATTEMPT, "1");
            let without = without_proxq.send(same).await;
            assert_same(&shown, &queued, &without);
            if without.head.has("content-length") && !shown.contains("HEAD") {
                assert_eq!(queued.header("content-length"), without.header("content-length"), "{shown}");
            }
        }
    });
}

#[test]
fn the_direct_path_answers_as_httpbin_does() {
    harness::run(async {
        let (httpbin, proxq) = fronted().await;
        let without_proxq = Client::at(httpbin.address);
        let uploads = ["POST", "PUT", "PATCH", "DELETE"].map(|method| request(method, "/anything"));
        let in_chunks = uploads.into_iter().flat_map(|upload| {
            let text = upload.clone().header("Content-Type", "text/plain").body("chunks");
            [text, upload.clone().body(""), upload.pattern(Pattern::new(1, 200_000))].map(Request::in_chunks)
        });
        for request in requests().into_iter().chain(in_chunks) {
            let shown = format!("{request:?}");
            let passed = request.clone().header("X-Request-ID", "r").header(header::MODE, "direct");
            let passed = proxq.send(passed).await;
            assert!(!passed.head.has(header::SOURCE), "{shown}\n{passed}");
            let without = without_proxq.send(as_forwarded(request, &httpbin, &proxq)).await;
            assert_same(&shown, &passed, &without);
            // The HTTP library leaves out the length that a 304 may have.
            if passed.status != 304 {
                assert_eq!(passed.header("content-length"), without.header("content-length"), "{shown}");
            }
            assert_eq!(passed.head.has("transfer-encoding"), without.head.has("transfer-encoding"), "{shown}");
        }
    });
}
