//! The admin API: each answer as JSON. `/openapi.json` is made from what is said here.

use std::sync::Arc;

use http::{Response, StatusCode};

use super::desk::Desk;
use super::filter::Filter;
use super::jobs::GROUPED_MAX;
use super::model::{
    Bulk, BulkCount, BulkOrder, Bulks, Done, Failure, Failures, History, JobDetail, JobPage, Overview, Paused, Queue,
    Queues, RetryOrder, Settings, Upstreams, read_json,
};
use super::query::JobsQuery;
use super::queues::Standing;
use super::search::search;
use crate::failure::chain;
use crate::job::{JobId, QueueName};
use crate::reply::body::Body;
use crate::reply::{self, Problem};
use crate::store::{Requeued, StoreError};
use crate::tasks::Tasks;

/// An answer, or why there is none.
pub(super) type Answer = Result<Response<Body>, Problem>;

fn json(value: &impl reply::Json) -> Response<Body> {
    reply::json(StatusCode::OK, value)
}

/// Reads what an order says, which may be nothing.
pub(super) fn retry_order(body: &[u8]) -> Result<RetryOrder, Problem> {
    if body.trim_ascii().is_empty() { Ok(RetryOrder::default()) } else { read(read_json(body)) }
}

/// Reads what an order for many jobs says.
pub(super) fn bulk_order(body: &[u8]) -> Result<BulkOrder, Problem> {
    read(read_json(body))
}

fn read<T>(read: Result<T, String>) -> Result<T, Problem> {
    read.map_err(|problem| Problem::bad_body(format!("the body is not what is expected: {problem}")))
}

/// What an operator is told of a store that does not answer.
pub(super) fn store_problem(error: &StoreError) -> Problem {
    tracing::warn!(error = chain(error), "answer an operator");
    Problem::store(error)
}

#[utoipa::path(get, path = "/api/v1/overview", tag = "state", responses((status = 200, description = "How the server is doing", body = Overview)))]
pub(super) async fn overview(desk: &Desk) -> Response<Body> {
    json(&desk.overview().await)
}

#[utoipa::path(get, path = "/api/v1/history", tag = "state", responses((status = 200, description = "The last hour of this instance", body = History)))]
pub(super) fn history(desk: &Desk) -> Response<Body> {
    json(&desk.memory.history())
}

/// How the queues stand, if the store says so.
async fn standing(desk: &Desk) -> Result<Standing, Problem> {
    let standing = desk.standing().await;
    match &standing.problem {
        None => Ok(standing),
        Some(problem) => Err(Problem::store_away(problem)),
    }
}

#[utoipa::path(get, path = "/api/v1/queues", tag = "state", responses(
    (status = 200, description = "All queues", body = Queues),
    (status = 503, description = "The store does not answer", body = Failure, content_type = "application/problem+json")))]
pub(super) async fn queues(desk: &Desk) -> Answer {
    let standing = standing(desk).await?;
    Ok(json(&Queues { queues: standing.queues }))
}

#[utoipa::path(get, path = "/api/v1/queues/{name}", tag = "state",
    params(("name" = String, Path, description = "The queue's name", example = "default")),
    responses((status = 200, description = "One queue; `oldestAgeSeconds` is a number that autoscalers can read", body = Queue),
    (status = 404, description = "There is no such queue", body = Failure, content_type = "application/problem+json")))]
pub(super) async fn queue(desk: &Desk, name: &QueueName) -> Answer {
    let queue = desk.one_queue(name).await.map_err(|error| store_problem(&error))?;
    Ok(json(&queue.ok_or_else(|| no_queue(name))?))
}

#[utoipa::path(post, path = "/api/v1/queues/{name}/pause", tag = "orders",
    params(("name" = String, Path, description = "The queue's name", example = "default")),
    request_body(content = Object, description = "An empty object", example = json!({})),
    responses((status = 200, description = "No job of the queue begins any more; those that run go on", body = Paused)))]
pub(super) async fn pause(desk: &Desk, name: &QueueName) -> Answer {
    known(desk, name)?;
    let changed = desk.store.pause_queue(name).await.map_err(|error| store_problem(&error))?;
    tracing::info!(queue = %name, changed, "queue paused by an operator");
    Ok(json(&Paused { paused: true, changed }))
}

#[utoipa::path(post, path = "/api/v1/queues/{name}/resume", tag = "orders",
    params(("name" = String, Path, description = "The queue's name", example = "default")),
    request_body(content = Object, description = "An empty object", example = json!({})),
    responses((status = 200, description = "Jobs of the queue begin again", body = Paused)))]
pub(super) async fn resume(desk: &Desk, name: &QueueName) -> Answer {
    known(desk, name)?;
    let changed = desk.store.resume_queue(name).await.map_err(|error| store_problem(&error))?;
    tracing::info!(queue = %name, changed, "queue resumed by an operator");
    Ok(json(&Paused { paused: false, changed }))
}

fn known(desk: &Desk, name: &QueueName) -> Result<(), Problem> {
    if desk.queue_names().contains(name) { Ok(()) } else { Err(no_queue(name)) }
}

fn no_queue(name: &QueueName) -> Problem {
    Problem::not_found(format!("there is no queue {name}; /api/v1/queues lists them"))
}

#[utoipa::path(get, path = "/api/v1/upstreams", tag = "state", responses((status = 200, description = "All upstreams", body = Upstreams)))]
pub(super) async fn upstreams(desk: &Desk) -> Answer {
    let standing = standing(desk).await?;
    Ok(json(&Upstreams { upstreams: desk.upstreams(&standing) }))
}

#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(
    ("state" = Option<String>, Query, description = "pending, scheduled, active, retry, completed or failed", example = "failed"),
    ("queue" = Option<String>, Query, description = "The queue's name", example = "default"),
    ("upstream" = Option<String>, Query, description = "The upstream's prefix", example = "/"),
    ("method" = Option<String>, Query, description = "The request's method", example = "POST"),
    ("path" = Option<String>, Query, description = "What the request's path begins with", example = "/api"),
    ("status" = Option<String>, Query, description = "The class of the last response's status code, or a whole code", example = "2xx"),
    ("outcome" = Option<String>, Query, description = "responded, not_sent or indeterminate", example = "responded"),
    ("error" = Option<String>, Query, description = "What the error has in it; # stands for any id", example = "refused"),
    ("olderThan" = Option<String>, Query, description = "Taken in at least so long ago", example = "1ms"),
    ("newerThan" = Option<String>, Query, description = "Taken in at most so long ago", example = "24h"),
    ("id" = Option<String>, Query, description = "The one job with this id", example = "550e8400-e29b-41d4-a716-446655440000"),
    ("order" = Option<String>, Query, description = "newest (the default) or oldest first, within each state", example = "newest"),
    ("limit" = Option<u32>, Query, description = "The most jobs of the page, 1 to 100 [default: 50]", example = 10),
    ("cursor" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, description = "A page of jobs, by their states", body = JobPage),
    (status = 400, description = "A parameter is not valid", body = Failure, content_type = "application/problem+json")))]
pub(super) async fn jobs(desk: &Desk, query: &str) -> Answer {
    Ok(json(&desk.job_page(&JobsQuery::read(query)?).await?))
}

#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", example = "550e8400-e29b-41d4-a716-446655440000")),
    responses((status = 200, description = "Everything about a job", body = JobDetail),
    (status = 404, description = "There is no such job", body = Failure, content_type = "application/problem+json")))]
pub(super) async fn job(desk: &Desk, id: JobId) -> Answer {
    let detail = desk.detail(id).await.map_err(|error| store_problem(&error))?;
    Ok(json(&detail.ok_or_else(|| Problem::no_job(id))?))
}

#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "orders",
    params(("id" = String, Path, description = "The job's id", example = "550e8400-e29b-41d4-a716-446655440000")),
    request_body(content = RetryOrder, example = json!({"mayDuplicate": true})),
    responses((status = 200, description = "The failed job is pending again", body = Done),
    (status = 404, description = "There is no such job", body = Failure, content_type = "application/problem+json"),
    (status = 409, description = "The job has not failed, or may have reached its upstream", body = Failure, content_type = "application/problem+json")))]
pub(super) async fn retry(desk: &Desk, id: JobId, order: RetryOrder) -> Answer {
    match desk.store.retry_failed(id, order.may_duplicate).await.map_err(|error| store_problem(&error))? {
        Requeued::Queued => {
            tracing::info!(job.id = %id, "job retried by an operator");
            Ok(json(&Done { id, status: "queued".to_owned() }))
        }
        Requeued::NotFailed => Err(Problem::not_failed()),
        Requeued::MayDuplicate => Err(Problem::may_duplicate_for_operators()),
        Requeued::Unknown => Err(Problem::no_job(id)),
    }
}

#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "orders",
    params(("id" = String, Path, description = "The job's id", example = "550e8400-e29b-41d4-a716-446655440000")),
    request_body(content = Object, description = "An empty object", example = json!({})),
    responses((status = 200, description = "The job and all that was stored of it is removed", body = Done),
    (status = 404, description = "There is no such job", body = Failure, content_type = "application/problem+json")))]
pub(super) async fn cancel(desk: &Desk, id: JobId) -> Answer {
    if !desk.store.cancel(id).await.map_err(|error| store_problem(&error))? {
        return Err(Problem::no_job(id));
    }
    tracing::info!(job.id = %id, "job cancelled by an operator");
    Ok(json(&Done { id, status: "cancelled".to_owned() }))
}

#[utoipa::path(post, path = "/api/v1/jobs/{id}/resubmit", tag = "orders",
    params(("id" = String, Path, description = "The job's id", example = "550e8400-e29b-41d4-a716-446655440000")),
    request_body(content = Object, description = "An empty object", example = json!({})),
    responses((status = 200, description = "The request of the ended job is a new job, whose id is given", body = Done),
    (status = 404, description = "There is no such job", body = Failure, content_type = "application/problem+json"),
    (status = 409, description = "The job has not ended, or its secret headers are gone", body = Failure, content_type = "application/problem+json")))]
pub(super) async fn resubmit(desk: &Desk, id: JobId) -> Answer {
    let new = desk.resubmit(id).await?;
    tracing::info!(job.id = %id, resubmitted.id = %new, "job resubmitted by an operator");
    Ok(json(&Done { id: new, status: "queued".to_owned() }))
}

#[utoipa::path(get, path = "/api/v1/failures", tag = "jobs", responses((status = 200, description = "The latest failed jobs by their errors", body = Failures)))]
pub(super) async fn failures(desk: &Desk) -> Answer {
    Ok(json(&desk.failures(GROUPED_MAX).await.map_err(|error| store_problem(&error))?))
}

#[utoipa::path(get, path = "/api/v1/bulk", tag = "orders", responses((status = 200, description = "The orders that this instance remembers", body = Bulks)))]
pub(super) fn bulks(desk: &Desk) -> Response<Body> {
    json(&Bulks { bulks: desk.orders.all() })
}

#[utoipa::path(post, path = "/api/v1/bulk", tag = "orders",
    request_body(content = BulkOrder, example = json!({"action": "retry", "filter": {"upstream": "/", "error": "refused"}, "dryRun": true})),
    responses((status = 200, description = "With `dryRun`: how many jobs it would be", body = BulkCount),
    (status = 202, description = "The order runs in the background", body = Bulk),
    (status = 400, description = "The order is not valid", body = Failure, content_type = "application/problem+json"),
    (status = 409, description = "Another order runs", body = Failure, content_type = "application/problem+json")))]
pub(super) async fn begin_bulk(desk: &Arc<Desk>, order: BulkOrder, tasks: &Tasks) -> Answer {
    if order.dry_run {
        return Ok(json(&desk.count(&order).await?));
    }
    Ok(reply::json(StatusCode::ACCEPTED, &desk.begin_bulk(order, tasks)?))
}

#[utoipa::path(get, path = "/api/v1/bulk/{number}", tag = "orders",
    params(("number" = u64, Path, description = "The order's number", example = 1)),
    responses((status = 200, description = "An order and how far it is", body = Bulk),
    (status = 404, description = "There is no such order", body = Failure, content_type = "application/problem+json")))]
pub(super) fn bulk(desk: &Desk, number: u64) -> Answer {
    Ok(json(&desk.orders.get(number).ok_or_else(|| no_bulk(number))?))
}

#[utoipa::path(delete, path = "/api/v1/bulk/{number}", tag = "orders",
    params(("number" = u64, Path, description = "The order's number", example = 1)),
    responses((status = 200, description = "The order ends after the jobs that it is at", body = Bulk),
    (status = 404, description = "There is no such order", body = Failure, content_type = "application/problem+json")))]
pub(super) fn stop_bulk(desk: &Desk, number: u64) -> Answer {
    Ok(json(&desk.orders.stop(number).ok_or_else(|| no_bulk(number))?))
}

fn no_bulk(number: u64) -> Problem {
    Problem::not_found(format!("there is no bulk action {number}; /api/v1/bulk lists them"))
}

#[utoipa::path(get, path = "/api/v1/settings", tag = "state", responses((status = 200, description = "The effective configuration", body = Settings)))]
pub(super) fn settings(desk: &Desk) -> Response<Body> {
    json(&Settings { yaml: desk.settings() })
}

impl Desk {
    /// A page of jobs.
    pub(super) async fn job_page(&self, query: &JobsQuery) -> Result<JobPage, Problem> {
        let queues = self.queue_names();
        let filter = Filter::read(&query.filter, &queues)?;
        if let Some(id) = query.id {
            let job = self.store.get(id).await.map_err(|error| store_problem(&error))?;
            let jobs: Vec<_> = job.iter().map(|job| self.summary(&self.queue_of(job), job)).collect();
            return Ok(JobPage { next: None, looked_at: jobs.len() as u64, jobs });
        }
        if let Some(place) = &query.cursor {
            place.check(&filter, &queues)?;
        }
        let bounds = (query.limit, self.clock.wall());
        let found = search(&*self.store as _, &filter, &queues, query.order, query.cursor.clone(), bounds);
        let found = found.await.map_err(|error| store_problem(&error))?;
        Ok(JobPage {
            jobs: found.jobs.iter().map(|(queue, job)| self.summary(queue, job)).collect(),
            next: found.next.map(|place| place.cursor()),
            looked_at: found.looked_at as u64,
        })
    }

    /// The effective configuration as YAML, secrets masked.
    pub(super) fn settings(&self) -> String {
        crate::config::effective(&self.config)
    }
}
