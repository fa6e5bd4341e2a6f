//! `docs/headers.md` says what proxq does with every header. Every row of it is tried, on every way that it speaks of.

mod bench;
mod own_answers;
mod page;
mod sample;

use harness::{Answer, Gate, Head, Proxq, Store, Upstream, on_every_store, post, reply};

use self::bench::{Bench, Carried, Queued};
use self::page::{Arrival, Own, Passage, Row, State, rows};
use self::sample::{OwnValue, Sample, Values, header_name, probe, sample};

/// The names of which the protocol speaks, as its source has them.
const PROTOCOL: &str = include_str!("../../proxq-protocol/src/header.rs");

/// Compares what came of a row's header with what its cell says. `sent` is what the next hop could have got.
#[track_caller]
fn check(passage: Passage, row: &Row, sent: &[Vec<u8>], head: &Head, own: impl FnOnce() -> OwnValue) {
    let got = head.values_raw(&header_name(row));
    let shown = || {
        let sent: Vec<_> = sent.iter().map(|value| value.escape_ascii().to_string()).collect();
        format!("{row:?}: {passage:?} of {sent:?} gives\n{}", String::from_utf8_lossy(head.raw()))
    };
    let is_own = |own: &OwnValue| got.len() == 1 && own.is(got[0]);
    match passage {
        Passage::Forwarded => assert!(got == sent, "{}", shown()),
        Passage::Stripped => assert!(got.is_empty(), "{}", shown()),
        Passage::Defaulted if !sent.is_empty() => assert!(got == sent, "{}", shown()),
        Passage::Set | Passage::Defaulted => {
            let own = own();
            assert!(is_own(&own), "not {own:?}: {}", shown());
        }
        Passage::Extended => {
            let OwnValue::Is(own) = own() else { panic!("{row:?}: no list has such an item") };
            let nonempty = sent.iter().filter(|value| !value.is_empty());
            let mut list: Vec<&[u8]> = nonempty.map(Vec::as_slice).collect();
            list.push(own.as_bytes());
            let got: Vec<_> = got.into_iter().filter(|value| !value.is_empty()).collect();
            assert!(got.join(&b", "[..]) == list.join(&b", "[..]), "{}", shown());
        }
        Passage::Reduced => {
            let takes = sent.iter().any(|value| value.to_ascii_lowercase().ends_with(b"trailers"));
            let left: &[&[u8]] = if takes { &[b"trailers"] } else { &[] };
            assert!(got == left, "{}", shown());
        }
        // Only what was sent can be refused.
        Passage::Refused if sent.is_empty() => assert!(got.is_empty(), "{}", shown()),
        Passage::Refused | Passage::Bypass => panic!("it came all the same: {}", shown()),
    }
}

/// A name as it arrives over HTTP/1.1.
fn canonical(name: &str) -> String {
    let word = |word: &str| word.get(..1).map_or(String::new(), str::to_ascii_uppercase) + word.get(1..).unwrap_or("");
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

#[track_caller]
fn is_canonical(row: &Row, head: &Head) {
    let name = header_name(row);
    let spelled = head.names().into_iter().filter(|other| other.eq_ignore_ascii_case(&name));
    spelled.for_each(|spelled| assert_eq!(spelled, canonical(&name)));
}

fn if_carried(carried: bool, values: &Values) -> &[Vec<u8>] {
    if carried { values } else { &[] }
}

/// Tries a row with requests that would be queued.
async fn try_queue(bench: &Bench, row: &Row, sample: &Sample, carried: Carried) {
    let refused = row.queued == Passage::Refused && carried.by_request;
    let bypasses = row.queued == Passage::Bypass && (carried.by_request || row.held == Passage::Bypass);
    let came = match bench.queued(row, sample, carried).await {
        Err(reply) if refused => return reply.refused(400, "BAD_HEADER"),
        Err(reply) => {
            assert!(bypasses && !reply.head.has("x-proxq-source"), "{row:?} was not queued: {reply}");
            return;
        }
        Ok(came) => came,
    };
    assert!(!refused && !bypasses, "{row:?} was queued: {came:?}");
    let Queued { request, held, content } = came;
    let upstream = bench.upstream.address().to_string();
    let own = || OwnValue::of(row, carried.by_request, &upstream, &request);
    if row.queued != Passage::Bypass {
        check(row.queued, row, if_carried(carried.by_request, &sample.queued), &request, own);
        is_canonical(row, &request);
    }
    let answered = if_carried(carried.by_answer, &sample.answered);
    check(row.held, row, answered, &held.head, own);
    check(row.content, row, answered, &content.head, own);
    assert_eq!((held.text().as_str(), content.text().as_str()), ("hello", "hello"));
}

/// Tries a row with requests that go straight through.
async fn try_direct(bench: &Bench, row: &Row, sample: &Sample, carried: Carried) {
    let (request, reply) = bench.direct(row, sample, carried).await;
    let upstream = bench.upstream.address().to_string();
    let own = || OwnValue::of(row, carried.by_request, &upstream, &request);
    check(row.direct, row, if_carried(carried.by_request, &sample.direct), &request, own);
    is_canonical(row, &request);
    check(row.direct_answer, row, if_carried(carried.by_answer, &sample.answered), &reply.head, own);
}

/// Sees whether a row's header makes a difference.
async fn try_arrival(bench: &Bench, row: &Row) {
    let probe = probe(row, bench.known);
    let (without, with) = (bench.way(row, &probe, &Values::new()).await, bench.way(row, &probe, &probe.values).await);
    match row.arrival {
        Arrival::Read => assert_ne!(without, with, "{row:?} makes no difference"),
        Arrival::Nothing => assert_eq!(without, with, "{row:?} makes a difference"),
        Arrival::Owner => {
            assert!(with.starts_with("409 JOB_ID_TAKEN") && without.starts_with("202"), "{row:?}: {with}");
        }
        Arrival::Secret => {
            let [with, without] = [&with, &without].map(|way| way.contains("replayed: true"));
            assert!(without && !with, "{row:?}: an idempotency key is another one with it");
        }
    }
}

async fn try_row(bench: &Bench, row: &Row) {
    let sample = sample(row);
    for (by_request, by_answer) in [(true, false), (false, true)] {
        let by_answer = by_answer || sample.answer_needs_it;
        let carried = |needed: bool| Carried { by_request: by_request || needed, by_answer };
        try_queue(bench, row, &sample, carried(sample.queued_needs_it)).await;
        try_direct(bench, row, &sample, carried(sample.direct_needs_it)).await;
    }
    try_arrival(bench, row).await;
}

/// Whether these bytes are in what a stopped server has stored.
fn stored(proxq: &Proxq, store: Store, bytes: &str) -> bool {
    match store {
        Store::Embedded => proxq.files().into_iter().any(|(file, _)| {
            std::fs::read(file).is_ok_and(|all| all.windows(bytes.len()).any(|window| window == bytes.as_bytes()))
        }),
        Store::Redis => {
            let redis = proxq.redis();
            let jobs = redis.keys("asynq:{*}:t:*");
            assert!(!jobs.is_empty(), "there are jobs");
            jobs.iter().any(|job| redis.run(&["HGETALL", job]).texts().concat().contains(bytes))
        }
    }
}

on_every_store! {
    async fn every_row_of_the_table_is_so(store: Store) {
        let trusting = Bench::start(store, &["loopback"], "none").await;
        let doubting = Bench::start(store, &[], "none").await;
        let caching = Bench::start(store, &["loopback"], "memory").await;
        let asking = Bench::with_auth(store).await;
        for row in rows() {
            let of_state = [
                (State::OtherPeer, &doubting),
                (State::Cached, &caching),
                (State::Hit, &caching),
                (State::WithAuth, &asking),
            ];
            let bench = of_state.into_iter().find(|(state, _)| *state == row.state).map_or(&trusting, |(_, bench)| bench);
            try_row(bench, &row).await;
        }
    }

    async fn the_last_column_is_what_proxqs_own_answers_have(store: Store) {
        let (rows, replies) = (rows(), own_answers::all(store).await);
        for row in &rows {
            let count = replies.iter().filter(|reply| reply.head.has(&header_name(row))).count();
            let own = if count == 0 { Own::Never } else if count == replies.len() { Own::Always } else { Own::Sometimes };
            assert_eq!(own, row.own, "{row:?}: in {count} of {}", replies.len());
        }
        for name in replies.iter().flat_map(|reply| reply.head.names()) {
            let has_row = rows.iter().any(|row| row.name.eq_ignore_ascii_case(name));
            assert!(has_row, "docs/headers.md has no row for {name}");
        }
    }

    async fn what_is_secret_is_stored_only_until_the_job_has_ended(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let mut proxq = Proxq::start(store.config_for(&upstream).set("secretHeaders", vec!["X-Listed"])).await;
        // A token is not stored at all.
        let is_secret =
            |row: &&Row| row.state != State::WithAuth && matches!(row.arrival, Arrival::Secret | Arrival::Owner);
        let secret: Vec<_> = rows().iter().filter(is_secret).map(header_name).collect();
        assert!(secret.len() > 1, "{secret:?}");
        let value = |name: &str| format!("SECRET-OF-{name}!");
        let request = secret.iter().fold(post("/x"), |request, name| request.header(name, value(name)));
        let job = proxq.submit(request).await;
        for name in &secret {
            assert!(stored(&proxq, store, &value(name)), "{name} is kept as long as it must be sent");
        }
        gate.open();
        proxq.response(&job).await;
        proxq.stop().await;
        for name in &secret {
            assert!(!stored(&proxq, store, &value(name)), "{name} is left");
        }
    }
}

#[test]
fn every_header_that_the_code_names_has_a_row() {
    let rows = rows();
    let quoted = PROTOCOL.lines().filter(|line| line.starts_with("pub const "));
    let quoted = quoted
        .filter(|line| !["SOURCE_VALUE", "REDIRECTS_REPORT", "JOINED_RETRY"].iter().any(|value| line.contains(value)));
    let names: Vec<&str> = quoted.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(names.len() >= 16, "they were found: {names:?}");
    for name in names {
        let family = if name.ends_with('-') { format!("{name}*") } else { name.to_owned() };
        assert!(rows.iter().any(|row| row.name == family), "docs/headers.md has no row for {name}");
    }
    for row in &rows {
        let listed = reply::OWN_HEADERS.contains(&row.name.as_str());
        assert_eq!(row.own != Own::Never, listed, "the harness lets proxq's own answers have it: {listed}; {row:?}");
    }
}
