//! Finds jobs: reads a filter, and looks for the jobs that it lets through, page by page.
//!
//! A page looks at a bounded number of jobs, so that a filter which few jobs pass holds nobody up: the page then has few jobs,
//! and says where to go on.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proxq_protocol::{GoDuration, Outcome};
use tokio::time::Instant;

use super::model::JobFilter;
use crate::clock::Timestamp;
use crate::job::{Job, QueueName, State};
use crate::reply::Problem;
use crate::store::{JobOrder, Oversight, StoreError};

/// The most jobs that a page looks at.
const LOOKED_AT_MAX: usize = 2000;
/// For how long a page looks on, from the beginning of its last step.
const LOOKS_FOR: Duration = Duration::from_millis(200);
/// The most jobs of a page.
pub(crate) const PAGE_MAX: usize = 100;
/// How many jobs a page has unless it is said otherwise.
pub(crate) const PAGE_USUAL: usize = 50;

/// All states in the order in which a list has them: what is going on first.
pub(crate) const STATES: [State; 6] =
    [State::Active, State::Pending, State::Retry, State::Scheduled, State::Archived, State::Completed];

/// The word of the admin API for a state.
pub(crate) fn state_word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Scheduled => "scheduled",
        State::Active => "active",
        State::Retry => "retry",
        State::Completed => "completed",
        State::Archived => "failed",
    }
}

/// The state with a word of the admin API.
pub(crate) fn state_of(word: &str) -> Option<State> {
    STATES.into_iter().find(|state| state_word(*state) == word)
}

/// A filter whose parts are valid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) state: Option<State>,
    pub(crate) queue: Option<QueueName>,
    upstream: Option<String>,
    method: Option<String>,
    path: Option<String>,
    status: Option<StatusFilter>,
    outcome: Option<Outcome>,
    error: Option<String>,
    older_than: Option<Duration>,
    newer_than: Option<Duration>,
    /// Ended before this instant, by the wall clock.
    ended_before: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusFilter {
    Class(u16),
    Code(u16),
}

impl Filter {
    /// Reads a filter. `queues` are those that there are.
    pub(crate) fn read(filter: &JobFilter, queues: &[QueueName]) -> Result<Self, Problem> {
        Ok(Self {
            state: part(filter.state.as_deref(), "state", STATE_WORDS, state_of)?,
            queue: part(
                filter.queue.as_deref(),
                "queue",
                "it is none of the queues that /api/v1/queues lists",
                |name| queues.iter().find(|queue| queue.as_str() == name).cloned(),
            )?,
            upstream: filter.upstream.clone().filter(|text| !text.is_empty()),
            method: filter.method.clone().filter(|text| !text.is_empty()),
            path: filter.path.clone().filter(|text| !text.is_empty()),
            status: part(
                filter.status.as_deref(),
                "status",
                "write 2xx, 4xx, 5xx, or a whole code such as 503",
                status,
            )?,
            outcome: part(filter.outcome.as_deref(), "outcome", "write responded, not_sent or indeterminate", outcome)?,
            error: filter.error.clone().filter(|text| !text.is_empty()),
            older_than: part(filter.older_than.as_deref(), "olderThan", SPAN, span)?,
            newer_than: part(filter.newer_than.as_deref(), "newerThan", SPAN, span)?,
            ended_before: None,
        })
    }

    /// All jobs in a state.
    pub(crate) fn of_state(state: State) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// The same filter for one state, of jobs that ended before an instant, if one is given.
    pub(crate) fn narrowed(&self, state: State, ended_before: Option<Timestamp>) -> Self {
        Self { state: Some(state), ended_before, ..self.clone() }
    }

    /// Whether a job passes, but for its state and its queue, by which it was looked for.
    pub(crate) fn passes(&self, job: &Job, now: Timestamp) -> bool {
        let (request, progress) = (&job.request, &job.progress);
        let status = progress.history.back().and_then(|attempt| attempt.status);
        let age = now.since(request.created_at);
        is_none_or(self.upstream.as_ref(), |upstream| request.upstream == *upstream)
            && is_none_or(self.method.as_ref(), |method| request.method.as_str().eq_ignore_ascii_case(method))
            && is_none_or(self.path.as_ref(), |path| request.path.starts_with(path.as_str()))
            && is_none_or(self.status, |filter| status.is_some_and(|status| filter.passes(status)))
            && is_none_or(self.outcome, |outcome| progress.outcome == Some(outcome))
            && is_none_or(self.error.as_ref(), |error| {
                progress
                    .last_error
                    .as_deref()
                    .is_some_and(|own| own.contains(error.as_str()) || without_numbers(own).contains(error.as_str()))
            })
            && is_none_or(self.older_than, |span| age >= span)
            && is_none_or(self.newer_than, |span| age <= span)
            && is_none_or(self.ended_before, |instant| progress.ended_at.is_none_or(|ended| ended < instant))
    }

    /// Whether every job of its states and queues passes, if it ended in time.
    pub(crate) fn is_open(&self) -> bool {
        let Self {
            state: _,
            queue: _,
            ended_before: _,
            upstream,
            method,
            path,
            status,
            outcome,
            error,
            older_than,
            newer_than,
        } = self;
        let texts = [upstream, method, path, error];
        texts.iter().all(|text| text.is_none())
            && status.is_none()
            && outcome.is_none()
            && older_than.is_none()
            && newer_than.is_none()
    }
}

const STATE_WORDS: &str = "write active, pending, retry, scheduled, failed or completed";
const SPAN: &str = "write a duration such as 10m or 24h";

fn is_none_or<T>(part: Option<T>, holds: impl FnOnce(T) -> bool) -> bool {
    part.is_none_or(holds)
}

/// A part of a filter; an empty one says nothing.
fn part<T>(
    text: Option<&str>,
    name: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match parse(text) {
        Some(value) => Ok(Some(value)),
        None => Err(Problem::bad_query(format!("{name}={} is not valid: {expected}", shown(text)))),
    }
}

/// A value as a message shows it.
fn shown(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn status(text: &str) -> Option<StatusFilter> {
    match text.strip_suffix("xx") {
        Some(class) => class.parse().ok().filter(|class| (1..=9).contains(class)).map(StatusFilter::Class),
        None => text.parse().ok().filter(|code| (100..=999).contains(code)).map(StatusFilter::Code),
    }
}

impl StatusFilter {
    fn passes(self, status: u16) -> bool {
        match self {
            Self::Class(class) => status / 100 == class,
            Self::Code(code) => status == code,
        }
    }
}

fn outcome(word: &str) -> Option<Outcome> {
    [Outcome::Responded, Outcome::NotSent, Outcome::Indeterminate]
        .into_iter()
        .find(|outcome| outcome.to_string() == word)
}

fn span(text: &str) -> Option<Duration> {
    text.parse::<GoDuration>().ok()?.to_std()
}

/// The shortest word with a digit that is taken for an id or a number of its own: ports, spans and codes are shorter, and tell
/// errors apart.
const ID_LENGTH: usize = 6;

/// An error with `#` in place of each long number and each id, so that equal errors look equal.
pub(crate) fn without_numbers(error: &str) -> String {
    let mut plain = String::with_capacity(error.len());
    for word in error.split_inclusive(|character: char| !character.is_ascii_alphanumeric() && character != '-') {
        let end = word.trim_end_matches(|character: char| !character.is_ascii_alphanumeric() && character != '-').len();
        let (name, rest) = word.split_at(end);
        let is_id = name.len() >= ID_LENGTH && name.bytes().any(|byte| byte.is_ascii_digit());
        plain.push_str(if is_id { "#" } else { name });
        plain.push_str(rest);
    }
    plain
}

/// Where a page begins: behind the job that `number` stands for, in a state and a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    state: State,
    queue: QueueName,
    number: Option<u64>,
}

impl Place {
    /// What a client is given, which means nothing to it.
    pub(crate) fn cursor(&self) -> String {
        let number = self.number.map_or_else(String::new, |number| number.to_string());
        BASE64_URL_SAFE_NO_PAD.encode(format!("{} {} {number}", state_word(self.state), self.queue))
    }

    /// Reads what a client was given.
    pub(crate) fn read(cursor: &str) -> Result<Self, Problem> {
        Self::parse(cursor).ok_or_else(|| {
            Problem::bad_query(format!(
                "cursor={} is not valid: take it from the `next` of a former page, or leave it out",
                shown(cursor)
            ))
        })
    }

    /// Refuses a place that is none of a filter's.
    pub(crate) fn check(&self, filter: &Filter, queues: &[QueueName]) -> Result<(), Problem> {
        let is_known = lists(filter, queues).any(|list| (list.state, &list.queue) == (self.state, &self.queue));
        if is_known {
            return Ok(());
        }
        let detail = "cursor is of another filter, or its queue is gone; begin again without it";
        Err(Problem::bad_query(detail.to_owned()))
    }

    fn parse(cursor: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let mut parts = text.split(' ');
        let (state, queue, number) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let number = if number.is_empty() { None } else { Some(number.parse().ok()?) };
        Some(Self { state: state_of(state)?, queue: QueueName::new(queue)?, number })
    }
}

/// Jobs that pass a filter.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each with its queue.
    pub(crate) jobs: Vec<(QueueName, Job)>,
    /// Where to go on; `None` after the last.
    pub(crate) next: Option<Place>,
    /// How many jobs were looked at.
    pub(crate) looked_at: usize,
}

/// Looks for up to `max` jobs that pass, from a place on.
pub(crate) async fn search(
    store: &dyn Oversight,
    filter: &Filter,
    queues: &[QueueName],
    order: JobOrder,
    from: Option<Place>,
    (max, now): (usize, Timestamp),
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let began = Instant::now();
    let mut place = match from {
        Some(place) => Some(place),
        None => first_place(filter, queues),
    };
    while let Some(at) = place {
        let room = max - found.jobs.len();
        if room == 0 || found.looked_at >= LOOKED_AT_MAX || (found.looked_at > 0 && began.elapsed() > LOOKS_FOR) {
            found.next = Some(at);
            break;
        }
        // No more than there is room for: a page never has to leave out what it has found.
        let room = if filter.is_open() { room } else { room.max(PAGE_MAX.min(max)) };
        let page = store.list(&at.queue, at.state, order, at.number, room.min(max - found.jobs.len())).await?;
        found.looked_at += page.jobs.len().max(1);
        let queue = at.queue.clone();
        found.jobs.extend(page.jobs.into_iter().filter(|job| filter.passes(job, now)).map(|job| (queue.clone(), job)));
        place = match page.next {
            Some(number) => Some(Place { number: Some(number), ..at }),
            None => next_list(filter, queues, &at),
        };
    }
    Ok(found)
}

fn lists<'a>(filter: &'a Filter, queues: &'a [QueueName]) -> impl Iterator<Item = Place> + 'a {
    let states = STATES.into_iter().filter(|state| filter.state.is_none_or(|wanted| wanted == *state));
    states.flat_map(move |state| {
        let queues = queues.iter().filter(|queue| filter.queue.as_ref().is_none_or(|wanted| wanted == *queue));
        queues.map(move |queue| Place { state, queue: queue.clone(), number: None })
    })
}

fn first_place(filter: &Filter, queues: &[QueueName]) -> Option<Place> {
    lists(filter, queues).next()
}

/// The list behind that of a place.
fn next_list(filter: &Filter, queues: &[QueueName], at: &Place) -> Option<Place> {
    lists(filter, queues).skip_while(|list| (list.state, &list.queue) != (at.state, &at.queue)).nth(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_ids_of_an_error_do_not_matter() {
        for (error, plain) in [
            ("connect to 127.0.0.1:3000: refused", "connect to 127.0.0.1:3000: refused"),
            ("no answer within 30s", "no answer within 30s"),
            ("request req_8f3a91c2d0 of 1795916623", "request req_# of #"),
            ("job 550e8400-e29b-41d4-a716-446655440000 is gone", "job # is gone"),
            ("resolve api.example.com: no such host", "resolve api.example.com: no such host"),
            ("", ""),
        ] {
            assert_eq!(without_numbers(error), plain);
        }
    }

    #[test]
    fn bad_parts_of_a_filter_are_named() {
        let detail = |filter: JobFilter| Filter::read(&filter, &[]).unwrap_err().detail().to_owned();
        for (filter, name) in [
            (
                JobFilter { state: Some("archived".to_owned()), ..JobFilter::default() },
                "state=\"archived\" is not valid",
            ),
            (JobFilter { status: Some("6".to_owned()), ..JobFilter::default() }, "status=\"6\" is not valid"),
            (JobFilter { outcome: Some("\u{0}".to_owned()), ..JobFilter::default() }, "outcome=\"\\0\" is not valid"),
            (
                JobFilter { older_than: Some("-1h".to_owned()), ..JobFilter::default() },
                "olderThan=\"-1h\" is not valid",
            ),
            (JobFilter { queue: Some("q".to_owned()), ..JobFilter::default() }, "queue=\"q\" is not valid"),
        ] {
            assert!(detail(filter.clone()).starts_with(name), "{filter:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_leads_to_its_place(number: Option<u64>, state in 0_usize..6) {
            let place = Place { state: STATES[state], queue: QueueName::new("default:api").unwrap(), number };
            prop_assert_eq!(Place::parse(&place.cursor()), Some(place));
        }

        #[test]
        fn what_is_no_cursor_is_refused(text in ".{0,40}") {
            // Whatever is read is what would have been written.
            if let Some(place) = Place::parse(&text) {
                prop_assert_eq!(place.cursor(), text);
            }
        }
    }
}
