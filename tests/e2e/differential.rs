//! The same request on every way to the same upstream: replayed from the queue, as the answer that waited, straight
//! through, and without proxq. What comes back is the same, and so is what the upstream saw.
//!
//! Requests and answers are made from a seed, which a failure prints with the case. `PROXQ_TEST_CASES` asks for more of
//! them, `PROXQ_TEST_SEED` for others: case `n` is made from the seed plus `n`, so one alone can be tried again.

mod case;
mod random;

use std::str::FromStr;

use harness::{Client, Head, Proxq, Received, Reply, Store, Upstream, on_every_store, request};
use proxq_protocol::header;

use self::case::{Case, Field, INLINE_BYTES, lines};

/// Fields of one connection, and of the framing of one message.
const HOP_AND_FRAMING: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

/// What proxq tells an upstream of the way that a request came.
const OF_THE_WAY: [&str; 7] =
    ["host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"];

fn from_environment<T: FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Tells which case it was that failed, however it failed.
struct Announced<'a> {
    seed: u64,
    case: &'a Case,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PROXQ_TEST_SEED={} PROXQ_TEST_CASES=1 tries it again:\n{}", self.seed, self.case.shown());
        }
    }
}

/// The fields of a message for whoever is at the other end, sorted by name, a name's values in their order.
fn end_to_end(head: &Head, without: &[&str]) -> Vec<Field> {
    let named = head.values("connection").join(",").to_ascii_lowercase();
    let of_connection = |name: &str| named.split(',').any(|option| option.trim() == name);
    let lower = |(name, value): &Field| (name.to_ascii_lowercase(), value.clone());
    let mut fields: Vec<_> = head.fields().iter().map(lower).collect();
    fields.retain(|(name, _)| {
        let name = name.as_str();
        !HOP_AND_FRAMING.contains(&name) && !of_connection(name) && !without.contains(&name)
    });
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

#[track_caller]
fn same_fields(one: &[Field], other: &[Field], what: &str) {
    assert!(one == other, "{what}:\n{}---- but\n{}", lines(one), lines(other));
}

/// Compares an answer that came through proxq with the upstream's own.
fn compare(case: &Case, way: &str, through: &Reply, plain: &Reply) {
    assert_eq!(through.status, plain.status, "{way}: {through}");
    assert_eq!(through.digest, plain.digest, "{way}: the bodies");
    let all = through.head.fields().iter().map(|(name, _)| name.to_ascii_lowercase());
    let own: Vec<_> = all.filter(|name| name.starts_with(header::PREFIX)).collect();
    let expected: &[&str] = if way == "held" { &[header::JOB_ID] } else { &[] };
    assert_eq!(own, expected, "{way}: {through}");
    // The only fields of proxq's that the upstream says.
    let without = ["x-proxq-anything", header::JOB_ID, if case.answer_is_dated { "" } else { "date" }];
    same_fields(&end_to_end(&through.head, &without), &end_to_end(&plain.head, &without), way);
    assert!(through.header("date").is_some(), "{way} has a date: {through}");
    let length = plain.header("content-length");
    // A length may be told of a body that came without one, unless nothing follows: then it says what a GET would bring.
    let is_told = case.method == "HEAD" || (length.is_some() && through.status != 304);
    if is_told && through.status != 204 {
        assert_eq!(through.header("content-length"), length, "{way}: {through}");
    }
}

/// Compares what the upstream saw of a request that was queued, of one that went straight through, and of the request
/// without proxq.
fn compare_requests(queued: &Received, direct: &Received, plain: &Received) {
    let line = |received: &Received| format!("{} {}", received.method(), received.target());
    assert_eq!((line(queued), line(direct)), (line(plain), line(plain)));
    assert_eq!((&queued.digest, &direct.digest), (&plain.digest, &plain.digest), "the bodies");
    let length = |received: &Received| received.header("content-length");
    assert_eq!((length(queued), length(direct)), (length(plain), length(plain)));
    let of_attempt = [header::JOB_ID, header::ATTEMPT];
    for received in [queued, direct] {
        let theirs = end_to_end(&received.head, &[&OF_THE_WAY[..], &of_attempt].concat());
        same_fields(&theirs, &end_to_end(&plain.head, &OF_THE_WAY), "what the upstream saw");
    }
    // Where there is none, or one that cannot be used, one is made: another each time.
    let is_usable = |id: &String| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let ids = plain.headers(header::REQUEST_ID);
    let is_made = ids.is_empty() || !ids.iter().all(is_usable);
    let made = if is_made { header::REQUEST_ID } else { "" };
    let without = [header::JOB_ID, header::ATTEMPT, made];
    same_fields(&end_to_end(&queued.head, &without), &end_to_end(&direct.head, &without), "queued and direct");
}

async fn try_case(proxq: &Proxq, upstream: &Upstream, case: &Case) {
    upstream.always(case.answer());
    let held = proxq.send(case.request().header("X-Proxq-Wait", "30s")).await;
    let id = held.header(header::JOB_ID).unwrap_or_else(|| panic!("no job: {held}"));
    let asking = if case.method == "HEAD" { "HEAD" } else { "GET" };
    let content = proxq.send(request(asking, &format!("/__jobs/{id}/content"))).await;
    let direct = proxq.send(case.request().header("X-Proxq-Mode", "direct")).await;
    let plain = Client::at(upstream.address()).send(case.request()).await;
    compare(case, "content", &content, &plain);
    compare(case, "held", &held, &plain);
    compare(case, "direct", &direct, &plain);
    let [as_job, straight, bare] = [upstream.request().await, upstream.request().await, upstream.request().await];
    compare_requests(&as_job, &straight, &bare);
}

on_every_store! {
    async fn every_way_to_an_upstream_gives_the_same(store: Store) {
        let seed: u64 = from_environment("PROXQ_TEST_SEED", 1);
        let cases: u64 = from_environment("PROXQ_TEST_CASES", 150);
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("inlineBodyLimit", INLINE_BYTES)).await;
        for seed in (seed..).take(usize::try_from(cases).expect("not that many")) {
            let case = Case::new(seed);
            let _announced = Announced { seed, case: &case };
            try_case(&proxq, &upstream, &case).await;
        }
    }
}
