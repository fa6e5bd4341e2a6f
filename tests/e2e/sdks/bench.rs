//! The calls of one language's clients, made directly and on each way through proxq, and compared.

use futures_util::future::join_all;
use harness::{Gate, Store, within};
use serde_json::{Value, json};

use super::calls::{Call, Must};
use super::driver::{Driver, Given};
use super::scripted::Scripted;
use super::seen::Seen;
use super::way::Way;

/// An upstream to call directly, and others behind a proxq each.
pub(super) struct Bench {
    direct: Scripted,
    ways: Vec<Way>,
    /// Keeps back everything but the first event of each stream.
    stream: Gate,
}

/// A call as it is made.
struct Made<'a> {
    /// The number of the way; `None` for a direct call.
    way: Option<usize>,
    call: &'a Call,
    base_url: String,
}

impl Bench {
    pub(super) async fn start() -> Self {
        let stream = Gate::new();
        let direct = Scripted::start(&stream).await;
        direct.slow.open();
        let ways = [Way::start(Store::Embedded, &stream).await, Way::start_below_prefix(Store::Redis, &stream).await];
        Self { direct, ways: ways.into(), stream }
    }

    /// Has a program make the calls on every way at the same time, and compares.
    pub(super) async fn make(&self, program: &str, script: &str, calls: &[Call]) {
        let made = self.all(calls);
        let driver = Driver::start(program, script, &made.iter().map(Made::to_json).collect());
        let lead_streams = async {
            for (number, _) in made.iter().enumerate().filter(|(_, made)| made.call.is_stream()) {
                driver.first_event(number).await;
            }
            self.stream.open();
        };
        let lead_jobs = join_all(self.ways.iter().map(|way| way.lead(calls)));
        tokio::select! {
            _led = async { tokio::join!(lead_streams, lead_jobs) } => {}
            () = driver.ended() => panic!("{script} ends too early"),
        }
        within("all calls end", driver.ended()).await;
        let given = driver.given();
        let given_by = |way: Option<usize>, call: &Call| {
            let number = made.iter().position(|made| made.way == way && made.call.path() == call.path());
            number.and_then(|number| given.get(&number)).cloned().unwrap_or_default()
        };
        let mut mistakes = Vec::new();
        for (number, way) in self.ways.iter().enumerate() {
            for call in calls {
                let queued = given_by(Some(number), call);
                let mut wrong = way.mistakes(call, &queued).await;
                if let Must::BeAsDirect { end, requests } = call.must {
                    let direct = given_by(None, call);
                    if !direct.is(end) {
                        wrong.push(format!("the direct call gives {direct:?}"));
                    }
                    wrong.extend(self.differences(call, requests, &direct, way, &queued));
                }
                mistakes.extend(wrong.iter().map(|wrong| format!("{}, {}: {wrong}", call.path(), way.name)));
            }
            mistakes.extend(way.without_credential().await);
        }
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    }

    /// Each call as it is made: directly where that is to be compared, and on every way.
    fn all<'a>(&self, calls: &'a [Call]) -> Vec<Made<'a>> {
        let compared = calls.iter().filter(|call| matches!(call.must, Must::BeAsDirect { .. }));
        let direct = compared.map(|call| Made { way: None, call, base_url: self.direct.upstream.url() });
        let queued = self.ways.iter().enumerate().flat_map(|(number, way)| {
            calls.iter().map(move |call| Made { way: Some(number), call, base_url: way.url.clone() })
        });
        direct.chain(queued).collect()
    }

    /// How a call through proxq differs from the direct one: in what it gives, and in what the upstream sees.
    fn differences(&self, call: &Call, requests: usize, direct: &Given, way: &Way, queued: &Given) -> Vec<String> {
        let mut wrong = Vec::new();
        let streams = direct.events.len() > 1;
        if queued != direct || streams != call.is_stream() {
            wrong.push(format!("it gives {queued:?}, directly {direct:?}"));
        }
        let seen = |upstream: &Scripted| upstream.requests_of(call).iter().map(Seen::of).collect::<Vec<_>>();
        let (seen_direct, seen_queued) = (seen(&self.direct), seen(&way.upstream));
        if seen_queued != seen_direct || seen_direct.len() != requests {
            wrong.push(format!("the upstream sees {seen_queued:?}, not {requests} times {seen_direct:?}"));
        }
        wrong
    }
}

impl Made<'_> {
    /// The call as the programs in `tests/clients` take it.
    fn to_json(&self) -> Value {
        let Self { call, base_url, .. } = self;
        let url = format!("{base_url}{}", call.path());
        json!({"client": call.client, "how": call.how, "url": url, "retries": call.retries})
    }
}
