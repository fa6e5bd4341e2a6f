//! Jobs as operators see them.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use http::{HeaderName, Uri};

use super::desk::Desk;
use super::filter::{Filter, state_word, without_numbers};
use super::model::{Attempt, FailureGroup, Failures, JobDetail, JobSummary, Message};
use super::search::{Found, PAGE_MAX, search};
use crate::job::{Body, Delivery, Job, JobId, QueueName, Reach, State};
use crate::store::{Content, JobOrder, StoreError};

/// How much of a body is shown.
const PREVIEW_BYTES: usize = 16 * 1024;
/// How many failed jobs are looked at to group them: the latest.
pub(crate) const GROUPED_MAX: usize = 1000;
/// How many groups there are at most; the rest are the rarest.
const GROUPS_MAX: usize = 50;
/// What stands in the place of what is secret.
const SECRET: &str = "(secret)";

impl Desk {
    /// A job in a list.
    pub(crate) fn summary(&self, queue: &QueueName, job: &Job) -> JobSummary {
        let Job { request, state, progress } = job;
        let ended = state.status().is_final();
        JobSummary {
            id: request.id,
            state: state_word(*state).to_owned(),
            queue: queue.to_string(),
            upstream: request.upstream.clone(),
            method: request.method.to_string(),
            path: request.path.clone(),
            created_at: request.created_at.to_string(),
            started_at: progress.started_at.map(|at| at.to_string()),
            ended_at: progress.ended_at.filter(|_| ended).map(|at| at.to_string()),
            due_at: progress.due_at.map(|at| at.to_string()),
            attempts: progress.attempts,
            waiting: self.gates.why_waits(job),
            outcome: progress.outcome.filter(|_| ended),
            status: progress.history.back().and_then(|attempt| attempt.status),
            error: progress.last_error.clone(),
        }
    }

    /// Everything about a job; `None` if there is none.
    pub(crate) async fn detail(&self, id: JobId) -> Result<Option<JobDetail>, StoreError> {
        let Some(submitted) = self.store.submitted(id).await? else { return Ok(None) };
        let Some(job) = self.store.get(id).await? else { return Ok(None) };
        let response = match job.state {
            State::Completed => match self.store.response(id).await? {
                Content::Ready(response) => Some(response),
                Content::Unknown | Content::NotReady | Content::Failed { .. } => None,
            },
            State::Pending | State::Scheduled | State::Active | State::Retry | State::Archived => None,
        };
        let request = &job.request;
        let shown = self.preview(&request.headers, &submitted.body).await?;
        let mut headers = fields(&request.headers);
        headers.extend(fields(&request.added_headers));
        headers.extend(request.secret_names.iter().map(|name| (name.to_string(), SECRET.to_owned())));
        let url = Some(without_query_values(&request.target));
        let request_message = Message { url, headers, ..shown };
        let response = match response {
            Some(response) => {
                let shown = self.preview(&response.head.headers, &response.body).await?;
                let secret = |name: &HeaderName| self.config.secret_headers.contains(name);
                let headers = response.head.headers.iter().map(|(name, value)| {
                    let value = if secret(name) { SECRET.to_owned() } else { text(value.as_bytes()) };
                    (name.to_string(), value)
                });
                let (status, headers) = (Some(response.head.status.as_u16()), headers.collect());
                Some(Message { status, headers, ..shown })
            }
            None => None,
        };
        let history = job.progress.history.iter().map(|attempt| Attempt {
            number: attempt.number,
            started_at: attempt.started_at.to_string(),
            ended_at: attempt.ended_at.to_string(),
            reach: reach_word(attempt.reach).to_owned(),
            status: attempt.status,
            instance: attempt.instance.clone(),
        });
        Ok(Some(JobDetail {
            summary: self.summary(&self.queue_of(&job), &job),
            priority: request.priority.word().to_owned(),
            delivery: delivery_word(request.delivery).to_owned(),
            timeout_seconds: request.timeout.as_secs_f64(),
            retention_seconds: request.retention.as_secs_f64(),
            client: request.client.to_string(),
            submitted_by: request.owner.clone(),
            request_id: request.request_id.clone(),
            resubmit_of: request.resubmit_of,
            retried: job.progress.retried,
            lease_losses: job.progress.lease_losses,
            request: request_message,
            response,
            history: history.collect(),
        }))
    }

    /// What can be shown of a body.
    async fn preview(&self, headers: &HeaderMap, body: &Body) -> Result<Message, StoreError> {
        let body_bytes = Some(body.length());
        if !is_text(headers) || body.length() == 0 {
            return Ok(Message { body_bytes, ..Message::default() });
        }
        let beginning = self.beginning(body).await?;
        let is_cut = body.length() > beginning.len() as u64;
        let preview = readable(&beginning, is_cut);
        Ok(Message { body_bytes, preview_is_cut: is_cut && preview.is_some(), preview, ..Message::default() })
    }

    async fn beginning(&self, body: &Body) -> Result<Bytes, StoreError> {
        match body {
            Body::Inline(bytes) => Ok(bytes.slice(..bytes.len().min(PREVIEW_BYTES))),
            Body::Blob(blob) => {
                let mut pieces = self.store.open_blob(blob).await?;
                let mut beginning = BytesMut::new();
                while beginning.len() < PREVIEW_BYTES
                    && let Some(piece) = pieces.try_next().await?
                {
                    beginning.extend_from_slice(&piece[..piece.len().min(PREVIEW_BYTES - beginning.len())]);
                }
                Ok(beginning.freeze())
            }
        }
    }

    /// The latest failed jobs by their errors; looks at so many at most.
    pub(crate) async fn failures(&self, most: usize) -> Result<Failures, StoreError> {
        let filter = Filter::of_state(State::Archived);
        let (queues, now) = (self.queue_names(), self.clock.wall());
        let mut failures = Failures { failed: self.counted(&filter).await?, ..Failures::default() };
        let mut place = None;
        loop {
            let Found { jobs, next, looked_at } =
                search(&*self.store as _, &filter, &queues, JobOrder::NewestFirst, place, (PAGE_MAX, now)).await?;
            failures.looked_at += looked_at as u64;
            for (_, job) in &jobs {
                group(&mut failures.groups, job);
            }
            place = next.filter(|_| failures.looked_at < most as u64);
            if place.is_none() {
                break;
            }
        }
        failures.groups.sort_by_key(|group| std::cmp::Reverse(group.jobs));
        failures.groups.truncate(GROUPS_MAX);
        Ok(failures)
    }
}

/// Adds a failed job to its group.
fn group(groups: &mut Vec<FailureGroup>, job: &Job) {
    let error = without_numbers(job.progress.last_error.as_deref().unwrap_or_default());
    let (upstream, outcome) = (&job.request.upstream, job.progress.outcome);
    let latest = job.progress.ended_at.map(|at| at.to_string());
    let known =
        groups.iter_mut().find(|group| group.error == error && group.upstream == *upstream && group.outcome == outcome);
    match known {
        Some(group) => {
            group.jobs += 1;
            if latest > group.latest {
                (group.latest, group.example) = (latest, job.request.id);
            }
        }
        None => groups.push(FailureGroup {
            error,
            upstream: upstream.clone(),
            outcome,
            jobs: 1,
            latest,
            example: job.request.id,
        }),
    }
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A URL whose query names its parameters only: their values may be keys.
pub(crate) fn without_query_values(target: &Uri) -> String {
    let whole = target.to_string();
    let Some((before, query)) = whole.split_once('?') else { return whole };
    let names: Vec<_> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) => format!("{name}=…"),
            None if parameter.is_empty() => String::new(),
            None => "…".to_owned(),
        })
        .collect();
    format!("{before}?{}", names.join("&"))
}

/// Whether a body is text as it is sent.
fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(CONTENT_ENCODING) {
        return false;
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || [
            "application/json",
            "application/xml",
            "application/x-www-form-urlencoded",
            "application/javascript",
            "application/x-ndjson",
            "application/yaml",
            "application/graphql",
        ]
        .contains(&media_type.as_str())
}

/// The text of a beginning, unless it is none. A character that the cut has split is left out.
fn readable(beginning: &[u8], is_cut: bool) -> Option<String> {
    match std::str::from_utf8(beginning) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if is_cut && error.error_len().is_none() => Some(text(&beginning[..error.valid_up_to()])),
        Err(_) => None,
    }
}

fn reach_word(reach: Reach) -> &'static str {
    match reach {
        Reach::NotSent => "not_sent",
        Reach::Unknown => "unknown",
        Reach::Responded => "responded",
    }
}

fn delivery_word(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Auto => "auto",
        Delivery::AtLeastOnce => "at-least-once",
        Delivery::AtMostOnce => "at-most-once",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobRequest;
    use crate::job::Progress;

    #[test]
    fn a_query_shows_its_names_alone() {
        for (target, shown) in [
            ("http://h/p", "http://h/p"),
            ("http://h/p?key=hush&x=1", "http://h/p?key=…&x=…"),
            ("http://h/p?hush", "http://h/p?…"),
            ("http://h/p?a=1&&b=2", "http://h/p?a=…&&b=…"),
        ] {
            assert_eq!(without_query_values(&target.parse().unwrap()), shown);
        }
    }

    #[test]
    fn only_text_is_shown_and_no_split_character() {
        let headers = |pairs: &[(&str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
        };
        assert!(is_text(&headers(&[("content-type", "application/problem+json; charset=utf-8")])));
        assert!(is_text(&headers(&[("content-type", "text/html")])));
        assert!(!is_text(&headers(&[("content-type", "image/png")])));
        assert!(!is_text(&headers(&[("content-type", "text/plain"), ("content-encoding", "gzip")])));
        assert_eq!(readable("aé".as_bytes(), false).as_deref(), Some("aé"));
        assert_eq!(readable(&"aé".as_bytes()[..2], true).as_deref(), Some("a"));
        assert_eq!(readable(&"aé".as_bytes()[..2], false), None);
        assert_eq!(readable(b"\xff", true), None);
    }

    #[test]
    fn jobs_with_the_same_error_but_for_its_numbers_are_one_group() {
        let mut groups = Vec::new();
        for (port, error) in [(1, "call 1000001: refused"), (2, "call 1000002: refused"), (3, "no answer")] {
            let progress = Progress {
                last_error: Some(error.to_owned()),
                ended_at: Some(crate::clock::Timestamp::from_millis(port)),
                ..Progress::default()
            };
            group(&mut groups, &Job { request: JobRequest::sample(), state: State::Archived, progress });
        }
        let found: Vec<_> = groups.iter().map(|group| (group.error.as_str(), group.jobs)).collect();
        assert_eq!(found, [("call #: refused", 2), ("no answer", 1)]);
    }
}
