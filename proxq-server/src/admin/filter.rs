//! A filter: which jobs an operator wants to see, or to do something with.

use std::time::Duration;

use proxq_protocol::{GoDuration, Outcome};

use super::model::JobFilter;
use crate::clock::Timestamp;
use crate::job::{Job, QueueName, State};
use crate::reply::Problem;

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

    /// Those of all queues whose jobs can pass.
    pub(crate) fn queues<'a>(&'a self, all: &'a [QueueName]) -> impl Iterator<Item = &'a QueueName> {
        all.iter().filter(|queue| self.queue.as_ref().is_none_or(|wanted| wanted == *queue))
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
        self.upstream.as_ref().is_none_or(|upstream| request.upstream == *upstream)
            && self.method.as_ref().is_none_or(|method| request.method.as_str().eq_ignore_ascii_case(method))
            && self.path.as_ref().is_none_or(|path| request.path.starts_with(path.as_str()))
            && self.status.is_none_or(|filter| status.is_some_and(|status| filter.passes(status)))
            && self.outcome.is_none_or(|outcome| progress.outcome == Some(outcome))
            && self.error.as_ref().is_none_or(|error| {
                progress
                    .last_error
                    .as_deref()
                    .is_some_and(|own| own.contains(error.as_str()) || without_numbers(own).contains(error.as_str()))
            })
            && self.older_than.is_none_or(|span| age >= span)
            && self.newer_than.is_none_or(|span| age <= span)
            && self.ended_before.is_none_or(|instant| progress.ended_at.is_none_or(|ended| ended < instant))
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
pub(super) fn shown(text: &str) -> String {
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

#[cfg(test)]
mod tests {
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
}
