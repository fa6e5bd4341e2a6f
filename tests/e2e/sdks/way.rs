//! A way through proxq: what lies between a client and an upstream.

use harness::{Gate, Nginx, Proxq, Received, Refusing, Route, Store, Tap, delete};
use proxq_protocol::JobId;
use serde_json::Value;

use super::calls::{Call, Failure, Must};
use super::driver::Given;
use super::scripted::{RESPONSE_BYTES_MAX, Scripted};

/// The credential of all calls, as the programs in `tests/clients` send it.
const CREDENTIAL: &str = "Bearer test-secret";
/// Another, which some of them send as well.
const API_KEY: &str = "x-api-key";
/// How far calls that take long are followed. With `followWait: 2s` they take more than 6 s.
const HOPS: usize = 3;

/// A proxq in front of a scripted upstream, with a tap in front of it.
pub(super) struct Way {
    pub(super) name: &'static str,
    /// Where clients call.
    pub(super) url: String,
    pub(super) upstream: Scripted,
    proxq: Proxq,
    tap: Tap,
    _gateway: Option<Nginx>,
    _down: Refusing,
}

impl Way {
    pub(super) async fn start(store: Store, stream: &Gate) -> Self {
        let (upstream, down) = (Scripted::start(stream).await, Refusing::new());
        let url = upstream.upstream.url();
        let follow = |prefix: &str, url: &str| Route::new(prefix, url).set("mode", "follow").set("followWait", "2s");
        let config = store.config().set("routing", "longest-prefix").set("maxResponseSize", RESPONSE_BYTES_MAX);
        // All calls are made at the same time, and those that take long wait for each other.
        let config = config.set("concurrency", 100);
        let config = config.route(follow("/", &url)).route(follow("/refused", &down.url()));
        let config = config.route(Route::new("/wait", &format!("{url}/wait")).set("mode", "wait"));
        let proxq = Proxq::start(config).await;
        let tap = Tap::to(proxq.address()).await;
        Self { name: store.name(), url: tap.url(), upstream, proxq, tap, _gateway: None, _down: down }
    }

    /// The same behind a gateway that strips a prefix.
    pub(super) async fn start_below_prefix(store: Store, stream: &Gate) -> Self {
        let way = Self::start(store, stream).await;
        let gateway = Nginx::start(&format!(
            "proxy_buffering off;
             proxy_http_version 1.1;
             proxy_set_header Connection '';
             proxy_set_header Host $http_host;
             location /llm/ {{ proxy_pass {}/; }}",
            way.tap.url()
        ));
        Self { url: format!("{}/llm", gateway.url()), _gateway: Some(gateway), ..way }
    }

    /// Cancels the jobs that are to be cancelled once they are followed, and lets those that take long end once they have
    /// been followed far.
    pub(super) async fn lead(&self, calls: &[Call]) {
        let (mut cancelled, mut far) = (Vec::new(), Vec::new());
        let led: Vec<_> = calls.iter().filter(|call| call.is_cancelled() || call.is_followed_far()).collect();
        while cancelled.len() + far.len() < led.len() {
            let request = self.upstream.upstream.request().await;
            let Some(call) = led.iter().find(|call| call.has(request.target())) else { continue };
            let jobs = if call.is_cancelled() { &mut cancelled } else { &mut far };
            jobs.push(request.job_id().expect("it is the attempt of a job"));
        }
        for id in cancelled {
            self.tap.sees(&hop(id, 1)).await;
            let job = delete(&format!("/__jobs/{id}")).header("Authorization", CREDENTIAL);
            assert_eq!(self.proxq.send(job).await.status, 200);
        }
        for id in far {
            self.tap.sees(&hop(id, HOPS)).await;
        }
        self.upstream.slow.open();
    }

    /// What is wrong with a call, whatever the direct one gives.
    pub(super) async fn mistakes(&self, call: &Call, given: &Given) -> Vec<String> {
        let mut wrong = Vec::new();
        let requests = self.upstream.requests_of(call);
        let sent = self.tap.requests().await;
        let submissions = sent.iter().filter(|head| call.has(head.word(1))).count();
        if call.is_followed_far() {
            let id = requests.first().and_then(Received::job_id).expect("it is the attempt of a job");
            let api_key = requests.first().and_then(|request| request.header(API_KEY));
            let hops = sent.iter().filter(|head| head.word(1).contains(&id.to_string()));
            let mut hops: Vec<_> = hops.map(|head| (head.word(1).to_owned(), head.value(API_KEY))).collect();
            // A client may use another connection for each.
            hops.sort();
            let expected: Vec<_> = (1..=hops.len()).map(|number| (hop(id, number), api_key.clone())).collect();
            if hops.len() < HOPS || hops != expected {
                wrong.push(format!("it follows {hops:?}"));
            }
        }
        let expected = match call.must {
            Must::BeAsDirect { requests, .. } => (requests, requests),
            Must::BeSentOn => {
                wrong.extend(no_redirect(given));
                (1, 1)
            }
            Must::Fail(failure) => {
                wrong.extend(another_failure(given, failure));
                (failure.submissions, failure.requests)
            }
        };
        if (submissions, requests.len()) != expected {
            wrong.push(format!("it is submitted {submissions} times, the upstream sees {} requests", requests.len()));
        }
        wrong
    }

    /// The requests, hops among them, that come without the caller's credential.
    pub(super) async fn without_credential(&self) -> Vec<String> {
        let sent = self.tap.requests().await;
        let without = sent.iter().filter(|head| head.value("authorization").as_deref() != Some(CREDENTIAL));
        without.map(|head| format!("no credential: {}", head.line())).collect()
    }
}

fn hop(id: JobId, number: usize) -> String {
    format!("/__jobs/{id}/content?hop={number}")
}

/// What is wrong with an answer that must be the first redirect of a follower.
fn no_redirect(given: &Given) -> Option<String> {
    let answer = given.value.clone().unwrap_or_default();
    let location = answer["headers"]["Location"].as_str().unwrap_or_default();
    let right = answer["status"] == 303 && location.ends_with("/content?hop=1");
    (!right).then(|| format!("it gives {given:?}, which is no hop"))
}

/// What is wrong with the error that a client shows for a failed job: its status, its code or its message.
fn another_failure(given: &Given, failure: Failure) -> Option<String> {
    let Failure { status, code, says, .. } = failure;
    // A plain client gives an error as it gives any answer.
    let (shown, member) = given.error.as_ref().map_or((given.value.as_ref(), "body"), |error| (Some(error), "message"));
    let right = shown.is_some_and(|shown| {
        let message = shown[member].as_str().unwrap_or_default();
        let has_code = shown["code"] == code || message.contains(code);
        shown["status"] == status && has_code && says.iter().all(|text| message.contains(text))
    });
    (!right).then(|| format!("it gives {}, expected {failure:?}", shown.unwrap_or(&Value::Null)))
}
