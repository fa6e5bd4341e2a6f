//! A redirect that is a job's response is followed as reqwest follows it without the middleware: what the upstreams get and
//! what the caller gets are compared.

use harness::{Answer, Head, Proxq, Received, Store, Upstream, on_every_store};
use proxq_client::Proxq as Middleware;
use reqwest::Method;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

use super::{plain, url, with};

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Where a redirect leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    SameOrigin,
    AnotherOrigin,
    Relative,
}

const PLACES: [Place; 3] = [Place::SameOrigin, Place::AnotherOrigin, Place::Relative];

impl Place {
    fn location(self, host: &str, elsewhere: &str) -> String {
        match self {
            Self::SameOrigin => format!("http://{host}/end?same=1"),
            Self::AnotherOrigin => format!("{elsewhere}/end?other=1"),
            Self::Relative => "../end?relative=1".to_owned(),
        }
    }
}

/// Two upstreams, of which the first redirects to where the path says.
struct Bench {
    upstream: Upstream,
    elsewhere: Upstream,
}

/// What the upstreams and the caller saw of one call.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    upstream: Vec<String>,
    elsewhere: Vec<String>,
    caller: String,
}

impl Bench {
    async fn start() -> Self {
        let (upstream, elsewhere) = (Upstream::start().await, Upstream::start().await);
        let other = elsewhere.url();
        upstream.plan(move |head| begin(head, &other));
        elsewhere.always(Answer::status(200).header("X-End", "elsewhere").body("elsewhere"));
        Self { upstream, elsewhere }
    }

    /// Makes the call through this client. `front` is the server that it is made to.
    async fn call(&self, http: &ClientWithMiddleware, front: &str, method: Method, path: &str) -> Seen {
        let before = [&self.upstream, &self.elsewhere].map(|upstream| upstream.received().len());
        let mut request = http
            .request(method.clone(), format!("{front}{path}"))
            .header("Accept", "application/x-answer")
            .header("X-Own", "kept")
            .header("Cookie", "own=1")
            .bearer_auth("secret");
        if method != Method::HEAD {
            request = request.header("Content-Type", "application/x-question").body("the body");
        }
        let response = request.send().await.unwrap();
        let neutral = |text: &str| text.replace(front, "http://front");
        let head = (response.status(), response.headers().get("x-end").cloned());
        let caller = format!("{head:?} from {}", neutral(response.url().as_str()));
        let caller = format!("{caller}: {}", response.text().await.unwrap());
        let [upstream, elsewhere] = [(&self.upstream, before[0]), (&self.elsewhere, before[1])]
            .map(|(upstream, before)| upstream.received()[before..].iter().map(|one| neutral(&shown(one))).collect());
        Seen { upstream, elsewhere, caller }
    }
}

fn begin(head: &Head, elsewhere: &str) -> Answer {
    let words: Vec<_> = head.word(1).split('/').collect();
    let [_, "begin", status, place] = words[..] else {
        return Answer::status(200).header("X-End", "here").body("the end");
    };
    let place = PLACES.into_iter().find(|known| format!("{known:?}") == place).expect("one of them");
    let host = head.value("host").expect("HTTP/1.1");
    Answer::status(status.parse().unwrap()).header("Location", place.location(&host, elsewhere)).body("this way")
}

/// A request as an upstream received it, but for what proxq adds to every request.
fn shown(received: &Received) -> String {
    let added = |name: &str| {
        ["host", "via", "x-request-id", "x-real-ip"].contains(&name)
            || name.starts_with("x-forwarded-")
            || name.starts_with("x-proxq-")
    };
    let mut fields: Vec<_> = received
        .head
        .fields()
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(value)))
        .filter(|(name, _)| !added(name))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    fields.sort();
    format!("{} {} {fields:?} {:?}", received.method(), received.target(), received.text())
}

on_every_store! {
    async fn every_method_and_status_to_every_place(store: Store) {
        let bench = Bench::start().await;
        let proxq = Proxq::start(store.config_for(&bench.upstream).upstream("preserveHost", true)).await;
        let (upstream, front) = (bench.upstream.url(), url(&proxq, ""));
        let without = ClientBuilder::new(plain()).build();
        let clients = [
            // What is looked for first and known then, and what never holds an answer.
            with(Middleware::builder()),
            with(Middleware::builder().proxq_url(&front).wait(None)),
        ];
        for (status, method, place) in STATUSES.into_iter().flat_map(|status| {
            METHODS.into_iter().flat_map(move |method| PLACES.map(|place| (status, method.clone(), place)))
        }) {
            let path = format!("/begin/{status}/{place:?}");
            let expected = bench.call(&without, &upstream, method.clone(), &path).await;
            assert_eq!(expected.upstream.len() + expected.elsewhere.len(), 2, "it is followed: {expected:#?}");
            for http in &clients {
                let seen = bench.call(http, &front, method.clone(), &path).await;
                assert_eq!(seen, expected, "{method} {path}");
            }
        }
    }
}
