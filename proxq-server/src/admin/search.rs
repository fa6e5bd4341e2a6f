//! Finds jobs: reads a filter, and looks for the jobs that it lets through, page by page.
//!
//! A page looks at a bounded number of jobs, so that a filter which few jobs pass holds nobody up: the page then has few jobs,
//! and says where to go on.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::time::Instant;

use super::filter::{Filter, STATES, shown, state_of, state_word};
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
        // A filter that few jobs pass would look at fewer and fewer of them in a step to find the last ones of a full page.
        let is_full = if filter.is_open() { room == 0 } else { room <= max / 4 };
        if is_full || found.looked_at >= LOOKED_AT_MAX || began.elapsed() > LOOKS_FOR {
            found.next = Some(at);
            break;
        }
        // No more than there is room for: a page never has to leave out what it has found.
        let page = store.list(&at.queue, at.state, order, at.number, room).await?;
        found.looked_at += page.jobs.len();
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
        filter.queues(queues).map(move |queue| Place { state, queue: queue.clone(), number: None })
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
