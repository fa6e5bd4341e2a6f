//! A submission's controls: the `X-Proxq-*` headers that ask something of proxq.

mod bounds;
mod call_terms;

use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN};
use proxq_protocol::{GoDuration, JobId, header as proxq};

pub(crate) use self::call_terms::CallTerms;
use super::prefer;
use crate::admit::Mode;
use crate::config::{AnswerMode, ClientMode, Config, ResultUrls, Upstream};
use crate::ended::wait_span;
use crate::job::{Priority, TimeBounds};
use crate::redirects::KnownRedirects;
use crate::reply::Problem;
use crate::result_url::LONGEST;
use crate::spelling::canonical;

/// What a submission asks of proxq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Controls {
    /// The limit for each attempt; `None` for the upstream's own.
    pub(crate) timeout: Option<Duration>,
    /// The id that the job is to have.
    pub(crate) job_id: Option<JobId>,
    /// Not before this span from now has passed.
    pub(crate) delay: Option<Duration>,
    /// How much time the job has from now on.
    pub(crate) bounds: TimeBounds,
    /// How urgent the job is.
    pub(crate) priority: Priority,
    /// How the submission is answered.
    pub(crate) answering: Answering,
    /// The answer is to be held until the job has ended.
    pub(crate) hold: Option<Hold>,
    /// `Some`: redirects are reported, except those listed, which the client knows.
    pub(crate) redirects: Option<KnownRedirects>,
    /// The client wants a URL of its result that is valid for so long.
    pub(crate) result_url: Option<Duration>,
    /// `Some`: it matters that the client goes away before its final answer.
    pub(crate) call: Option<CallTerms>,
}

/// How a submission is answered if there is no response once the time is over for which its answer is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answering {
    /// With a `202`, also if the job has failed: the client knows of jobs.
    #[default]
    Queue,
    /// With a `202` while the job goes on; with an error if it has failed.
    Wait,
    /// With a redirect to where the response will be.
    Follow,
    /// With a `202` and a status monitor.
    Monitor,
}

impl Answering {
    /// What the client asks for, else what its upstream's configuration says.
    fn of(headers: &HeaderMap, mode: Option<Mode>, upstream: &Upstream) -> Self {
        let mode = match mode {
            Some(Mode::Queue(mode)) => mode,
            Some(Mode::Direct) | None if prefer::responds_async(headers) => return Self::Monitor,
            Some(Mode::Direct) | None if headers.contains_key(proxq::JOB_ID) => AnswerMode::Queue,
            Some(Mode::Direct) | None => upstream.answer_mode,
        };
        match mode {
            AnswerMode::Queue => Self::Queue,
            // A browser's permission to read an answer of another origin does not survive a redirect.
            AnswerMode::Follow if headers.contains_key(ORIGIN) => Self::Wait,
            AnswerMode::Follow => Self::Follow,
            AnswerMode::Wait => Self::Wait,
        }
    }
}

/// How long an answer is held for a client that wants its response in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    /// At most so long; `maxWait` at most.
    pub(crate) span: Duration,
    /// In seconds as it was asked for, if that was by `Prefer`.
    pub(crate) preferred: Option<u64>,
}

impl Controls {
    /// Reads the controls of a submission to this upstream. `mode` is what its client says of the mode.
    pub(crate) fn read(
        headers: &HeaderMap,
        mode: Option<Mode>,
        upstream: &Upstream,
        config: &Config,
    ) -> Result<Self, Problem> {
        let preferred = prefer::wait_seconds(headers);
        let mut span = preferred.map(Duration::from_secs);
        let mut controls = Self::default();
        for name in headers.keys().filter(|name| name.as_str().starts_with(proxq::PREFIX)) {
            match name.as_str() {
                proxq::TIMEOUT => controls.timeout = read_timeout(only_value(headers, name)?, upstream)?,
                proxq::JOB_ID => controls.job_id = Some(read_job_id(only_value(headers, name)?)?),
                proxq::DELAY => controls.delay = read_delay(only_value(headers, name)?, config.max_delay)?,
                proxq::PRIORITY => controls.priority = read_priority(only_value(headers, name)?)?,
                proxq::WAIT => span = Some(read_wait(only_value(headers, name)?)?),
                proxq::RESULT_URL => controls.result_url = Some(read_result_url(only_value(headers, name)?, config)?),
                proxq::REDIRECTS => controls.redirects = KnownRedirects::read(headers)?,
                // How a request travels and who sends it are decided before, the bounds are read below; the others are what
                // another proxq in front sends along.
                proxq::MODE | proxq::START_WITHIN | proxq::DEADLINE | proxq::ATTEMPT | proxq::SOURCE | proxq::TOKEN => {
                }
                _ => return Err(Problem::unsupported_header(&canonical(name))),
            }
        }
        controls.bounds = bounds::read(headers, controls.delay, config.max_delay)?;
        check_idempotency_key(headers)?;
        let preferred = preferred.filter(|_| !headers.contains_key(proxq::WAIT));
        controls.answering = Answering::of(headers, mode, upstream);
        let (longest, usual) = match controls.answering {
            Answering::Queue | Answering::Monitor => (config.max_wait, None),
            Answering::Wait => (config.max_wait, Some(config.max_wait)),
            Answering::Follow => (upstream.follow_wait, Some(upstream.follow_wait)),
        };
        let waits = span.is_some();
        let span = span.or(usual).filter(|span| !span.is_zero());
        controls.hold = span.map(|span| Hold { span: span.min(longest), preferred });
        controls.call = CallTerms::of(headers, controls.answering, waits, upstream);
        Ok(controls)
    }

    /// Whether the client knows of the redirect behind which this job is.
    pub(crate) fn knows_redirect_to(&self, behind: JobId) -> bool {
        self.redirects.as_ref().is_some_and(|known| known.lead_to(behind))
    }
}

/// A key names one request, so there is one, and it has a name.
fn check_idempotency_key(headers: &HeaderMap) -> Result<(), Problem> {
    let mut keys = headers.get_all(proxq::IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(()),
        (Some(key), None) if !key.is_empty() => Ok(()),
        (Some(_), None) => {
            Err(Problem::bad_header("Idempotency-Key", "", "it is empty; a random one such as a UUID is good"))
        }
        (Some(key), Some(_)) => {
            let shown = String::from_utf8_lossy(key.as_bytes());
            Err(Problem::bad_header("Idempotency-Key", &shown, "it stands more than once; send it once"))
        }
    }
}

/// Reads how the client wants its request to travel.
pub(crate) fn read_mode(headers: &HeaderMap, upstream: &Upstream) -> Result<Option<Mode>, Problem> {
    let name = HeaderName::from_static(proxq::MODE);
    if upstream.client_mode == ClientMode::Ignored || !headers.contains_key(&name) {
        return Ok(None);
    }
    match only_value(headers, &name)? {
        "direct" => Ok(Some(Mode::Direct)),
        other => match AnswerMode::of_word(other) {
            Some(mode) => Ok(Some(Mode::Queue(mode))),
            None => Err(Problem::bad_header("X-Proxq-Mode", other, "it must be direct, queue, wait or follow")),
        },
    }
}

/// Reads the limit that the client sets for its request; the upstream's own where it sets none.
pub(crate) fn timeout_or_own(headers: &HeaderMap, upstream: &Upstream) -> Result<Duration, Problem> {
    let name = HeaderName::from_static(proxq::TIMEOUT);
    let asked = if headers.contains_key(&name) { read_timeout(only_value(headers, &name)?, upstream)? } else { None };
    Ok(asked.unwrap_or(upstream.timeout))
}

/// The value of a header that may stand once.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Problem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(http::HeaderValue::as_bytes).unwrap_or_default();
    let shown = || String::from_utf8_lossy(value);
    if values.next().is_some() {
        return Err(Problem::bad_header(&canonical(name), &shown(), "it stands more than once; send it once"));
    }
    std::str::from_utf8(value).map_err(|_| Problem::bad_header(&canonical(name), &shown(), "it must be ASCII"))
}

fn read_wait(value: &str) -> Result<Duration, Problem> {
    wait_span(value).map_err(|why| Problem::bad_header("X-Proxq-Wait", value, &why))
}

fn read_delay(value: &str, max_delay: Duration) -> Result<Option<Duration>, Problem> {
    read_span("X-Proxq-Delay", value, "10m", (max_delay, "maxDelay"))
}

fn read_priority(value: &str) -> Result<Priority, Problem> {
    let wrong = || Problem::bad_header("X-Proxq-Priority", value, "it must be high, normal or low");
    Priority::of_word(value).ok_or_else(wrong)
}

fn read_result_url(value: &str, config: &Config) -> Result<Duration, Problem> {
    let bad = |expected: &str| Problem::bad_header("X-Proxq-Result-Url", value, expected);
    if config.auth.result_urls == ResultUrls::Off {
        return Err(bad("this server gives no such URLs (auth.resultUrls); leave it out"));
    }
    let span = read_span("X-Proxq-Result-Url", value, "1h", (LONGEST, "24 hours for every server"))?;
    span.ok_or_else(|| bad("it must be more than zero, such as 1h"))
}

fn read_timeout(value: &str, upstream: &Upstream) -> Result<Option<Duration>, Problem> {
    read_span("X-Proxq-Timeout", value, "30s", (upstream.max_timeout, "maxTimeout"))
}

/// A Go duration up to the `longest` that a setting allows; none where it is zero. `example` is one that would be right.
fn read_span(
    name: &str,
    value: &str,
    example: &str,
    (longest, setting): (Duration, &str),
) -> Result<Option<Duration>, Problem> {
    let bad = |expected: &str| Problem::bad_header(name, value, expected);
    let span: GoDuration = value.parse().map_err(|error: proxq_protocol::DurationError| bad(&error.to_string()))?;
    let negative = || bad(&format!("it must not be negative; write a duration like {example}"));
    let span = span.to_std().ok_or_else(negative)?;
    if span > longest {
        let longest = GoDuration::from(longest);
        return Err(bad(&format!("the longest that is allowed here is {longest} ({setting})")));
    }
    Ok(Some(span).filter(|span| !span.is_zero()))
}

fn read_job_id(value: &str) -> Result<JobId, Problem> {
    value.parse().map_err(|error: proxq_protocol::ParseJobIdError| {
        Problem::bad_header("X-Proxq-Job-Id", value, &error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Prefix, UpstreamUrl};

    fn upstream() -> Upstream {
        Upstream::new(Prefix::root(), UpstreamUrl::new("http://upstream").unwrap())
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), http::HeaderValue::from_static(value));
        }
        headers
    }

    fn read(fields: &[(&'static str, &'static str)]) -> Result<Controls, String> {
        let config = Config::for_upstream(UpstreamUrl::new("http://upstream").unwrap());
        Controls::read(&map(fields), None, &upstream(), &config).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn the_mode_is_one_of_four_words_and_may_be_ignored() {
        let mode = |fields: &[(&'static str, &'static str)]| read_mode(&map(fields), &upstream());
        assert_eq!(mode(&[]).unwrap(), None);
        assert_eq!(mode(&[("x-proxq-mode", "direct")]).unwrap(), Some(Mode::Direct));
        for (word, answer) in [("queue", AnswerMode::Queue), ("wait", AnswerMode::Wait), ("follow", AnswerMode::Follow)]
        {
            assert_eq!(mode(&[("x-proxq-mode", word)]).unwrap(), Some(Mode::Queue(answer)));
        }
        for bad in [&[("x-proxq-mode", "Queue")][..], &[("x-proxq-mode", "queue"), ("x-proxq-mode", "queue")]] {
            assert!(format!("{:?}", mode(bad).unwrap_err()).contains("BadHeader"), "{bad:?}");
            let ignoring = Upstream { client_mode: ClientMode::Ignored, ..upstream() };
            assert_eq!(read_mode(&map(bad), &ignoring).unwrap(), None);
        }
    }

    #[test]
    fn a_direct_request_has_its_clients_limit_or_its_upstreams() {
        let limit = |fields: &[(&'static str, &'static str)]| timeout_or_own(&map(fields), &upstream());
        assert_eq!(limit(&[]).unwrap(), upstream().timeout);
        assert_eq!(limit(&[("x-proxq-timeout", "0")]).unwrap(), upstream().timeout);
        assert_eq!(limit(&[("x-proxq-timeout", "7s")]).unwrap(), Duration::from_secs(7));
        assert!(limit(&[("x-proxq-timeout", "2h")]).is_err());
        assert!(limit(&[("x-proxq-delay", "nonsense")]).is_ok(), "of no matter to a request that is not queued");
    }

    #[test]
    fn a_timeout_of_zero_is_the_upstreams_own() {
        assert_eq!(read(&[("x-proxq-timeout", "30s")]).unwrap().timeout, Some(Duration::from_secs(30)));
        assert_eq!(read(&[("x-proxq-timeout", "0")]).unwrap(), Controls::default());
        assert_eq!(read(&[("x-proxq-timeout", "1h")]).unwrap().timeout, Some(Duration::from_hours(1)));
    }

    #[test]
    fn a_hold_is_asked_for_or_preferred_and_capped() {
        let hold = |fields: &[(&'static str, &'static str)]| read(fields).unwrap().hold;
        let span = Duration::from_secs(20);
        assert_eq!(hold(&[]), None);
        assert_eq!(hold(&[("x-proxq-wait", "20s")]), Some(Hold { span, preferred: None }));
        assert_eq!(hold(&[("x-proxq-wait", "20")]), Some(Hold { span, preferred: None }));
        assert_eq!(hold(&[("prefer", "wait=20")]), Some(Hold { span, preferred: Some(20) }));
        assert_eq!(hold(&[("prefer", "wait=30"), ("x-proxq-wait", "20s")]), Some(Hold { span, preferred: None }));
        assert_eq!(hold(&[("prefer", "wait=30"), ("x-proxq-wait", "0")]), None);
        assert_eq!(hold(&[("prefer", "wait=soon")]), None);
        let longest = Duration::from_mins(1);
        assert_eq!(hold(&[("prefer", "wait=3600")]), Some(Hold { span: longest, preferred: Some(3600) }));
    }

    #[test]
    fn the_client_comes_before_the_upstream_in_how_it_is_answered() {
        let config = Config::for_upstream(UpstreamUrl::new("http://upstream").unwrap());
        let follows = Upstream { answer_mode: AnswerMode::Follow, ..upstream() };
        let read = |fields: &[(&'static str, &'static str)], mode| {
            let controls = Controls::read(&map(fields), mode, &follows, &config).unwrap();
            (controls.answering, controls.hold.map(|hold| hold.span.as_secs()))
        };
        let id = ("x-proxq-job-id", "550e8400-e29b-41d4-a716-446655440000");
        assert_eq!(read(&[], None), (Answering::Follow, Some(50)));
        assert_eq!(read(&[("x-proxq-wait", "7s")], None), (Answering::Follow, Some(7)));
        assert_eq!(read(&[("prefer", "wait=3600")], None), (Answering::Follow, Some(50)));
        assert_eq!(read(&[("x-proxq-wait", "0")], None), (Answering::Follow, None));
        assert_eq!(read(&[("origin", "https://page")], None), (Answering::Wait, Some(60)));
        assert_eq!(read(&[id], None), (Answering::Queue, None));
        assert_eq!(read(&[id], Some(Mode::Queue(AnswerMode::Wait))), (Answering::Wait, Some(60)));
        assert_eq!(read(&[("prefer", "respond-async")], None), (Answering::Monitor, None));
        assert_eq!(read(&[("prefer", "respond-async, wait=5"), id], None), (Answering::Monitor, Some(5)));
        let queue = Some(Mode::Queue(AnswerMode::Queue));
        assert_eq!(read(&[("prefer", "respond-async")], queue), (Answering::Queue, None));
    }

    #[test]
    fn a_delay_of_zero_is_none() {
        assert_eq!(read(&[("x-proxq-delay", "10m")]).unwrap().delay, Some(Duration::from_mins(10)));
        assert_eq!(read(&[("x-proxq-delay", "0")]).unwrap().delay, None);
    }

    #[test]
    fn a_priority_is_one_of_three_words() {
        assert_eq!(read(&[]).unwrap().priority, Priority::Normal);
        for (word, priority) in [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)] {
            assert_eq!(read(&[("x-proxq-priority", word)]).unwrap().priority, priority);
        }
    }

    #[test]
    fn a_bad_control_is_refused_with_its_name_its_value_and_what_would_be_right() {
        for (name, value, expected) in [
            ("x-proxq-timeout", "30", "has no unit"),
            ("x-proxq-timeout", "-1s", "negative"),
            ("x-proxq-timeout", "1h1ns", "maxTimeout"),
            ("x-proxq-timeout", "", "duration is missing"),
            ("x-proxq-job-id", "1", "version 4 UUID"),
            ("x-proxq-delay", "1", "has no unit"),
            ("x-proxq-delay", "-1s", "negative"),
            ("x-proxq-delay", "720h1ns", "maxDelay"),
            ("x-proxq-priority", "High", "it must be high, normal or low"),
            ("x-proxq-priority", "", "it must be high, normal or low"),
            ("x-proxq-wait", "soon", "X-Proxq-Wait"),
            ("x-proxq-wait", "-1s", "negative"),
            ("x-proxq-callback", "https://example.com", "not supported yet"),
            ("idempotency-key", "", "Idempotency-Key"),
            ("x-proxq-anything", "1", "X-Proxq-Anything is not supported yet"),
        ] {
            let problem = read(&[(name, value)]).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("BadHeader"), "{problem}");
        }
        let once = [
            "x-proxq-timeout",
            "x-proxq-job-id",
            "x-proxq-delay",
            "x-proxq-priority",
            "x-proxq-wait",
            "idempotency-key",
        ];
        for name in once {
            let twice = read(&[(name, "1s"), (name, "1s")]).unwrap_err();
            assert!(twice.contains("more than once"), "{twice}");
        }
    }

    #[test]
    fn what_a_proxq_in_front_sends_along_is_no_control() {
        assert_eq!(
            read(&[("x-proxq-attempt", "2"), ("x-proxq-source", "x"), ("x-other", "y")]),
            Ok(Controls::default())
        );
    }
}
