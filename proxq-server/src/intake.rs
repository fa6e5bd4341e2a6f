//! What happens to a request that is for an upstream: route → admit → queue, or direct.

mod body;
mod control;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body as ReplyBody;
use backon::{ExponentialBuilder, Retryable};
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use self::body::{DISCARD_LIMIT_BYTES, ReceiveError, ReceivedBody, discard, receive};
use self::control::Controls;
use crate::admit::{Admission, admit};
use crate::clock::Clock;
use crate::config::{Config, HostHeader};
use crate::credential::credential_hash;
use crate::failure::chain;
use crate::forward::headers::{self, Hop, Outgoing};
use crate::forward::target::target;
use crate::job::{JobId, JobRequest};
use crate::reply::{self, Problem};
use crate::route::{Route, route};
use crate::store::{Deployment, JobStore, NewJob, StoreError, Submitted};
use crate::tasks::Tasks;

/// How long a submission is tried again under the same id while it is unknown whether it was stored.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(5);
/// Methods that mean something to an upstream; what `TRACE` is told.
const UPSTREAM_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// A request on arrival.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) head: Parts,
    pub(crate) body: Incoming,
    pub(crate) peer: SocketAddr,
    pub(crate) request_id: HeaderValue,
}

/// Takes requests in.
#[derive(Debug)]
pub(crate) struct Intake {
    config: Arc<Config>,
    store: Arc<dyn JobStore>,
    clock: Clock,
    deployment: Deployment,
    tasks: Tasks,
    warned_of_untrusted_peer: AtomicBool,
}

impl Intake {
    pub(crate) fn new(
        config: Arc<Config>,
        store: Arc<dyn JobStore>,
        clock: Clock,
        deployment: Deployment,
        tasks: Tasks,
    ) -> Self {
        Self { config, store, clock, deployment, tasks, warned_of_untrusted_peer: AtomicBool::new(false) }
    }

    /// Answers a request that is for an upstream. `None` where the client broke off: there is nobody to answer.
    pub(crate) async fn handle(&self, arrival: Arrival) -> Option<Response<ReplyBody>> {
        let Arrival { head, body, peer, request_id } = arrival;
        let plan = match self.plan(&head, peer, &request_id) {
            Ok(plan) => plan,
            Err(problem) => {
                return Some(self.answer_unread(&head.headers, body, problem.into_response()));
            }
        };
        let received = match receive(body, plan.length, &self.config, &*self.store).await {
            Ok(received) => received,
            Err(ReceiveError::Client(error)) => {
                tracing::info!(%error, "client broke off before its body was complete");
                return None;
            }
            Err(ReceiveError::Store { error, unread }) => {
                tracing::error!(error = chain(&error), "store a request's body");
                return Some(self.answer_unread(&head.headers, unread, Problem::store(&error).into_response()));
            }
        };
        Some(match self.submit(plan, received).await {
            Ok(id) => reply::accepted(self.config.jobs_path.as_str(), id),
            Err(problem) => problem.into_response(),
        })
    }

    /// Decides everything that the head alone decides.
    fn plan(&self, head: &Parts, peer: SocketAddr, request_id: &HeaderValue) -> Result<Plan, Problem> {
        match head.method {
            Method::CONNECT => return Err(Problem::not_implemented("CONNECT is not offered; proxq is no tunnel")),
            Method::TRACE => return Err(Problem::method_not_allowed(&head.method, UPSTREAM_METHODS)),
            Method::OPTIONS if head.uri.path() == "*" => {
                return Err(Problem::not_found("OPTIONS * has no upstream; name a path"));
            }
            _ => {}
        }
        let path = head.uri.path();
        let route = route(&self.config.upstreams, path).ok_or_else(|| Problem::no_upstream(path))?;
        let via_name = self.config.via_name.as_deref().unwrap_or(&self.deployment.via_name);
        if headers::hops(&head.headers, via_name) > self.config.max_hops as usize {
            return Err(Problem::loop_detected(via_name));
        }
        let length = match admit(head, route.upstream) {
            Admission::Enqueue { length } => length,
            Admission::Direct(bypass) => {
                tracing::Span::current().record("bypass", bypass.as_str());
                let reason = bypass.as_str();
                let detail = format!("this request goes direct ({reason}), which this version does not offer yet");
                return Err(Problem::not_implemented(detail));
            }
        };
        let controls = Controls::read(&head.headers, route.upstream)?;
        if length > route.upstream.max_body_size {
            return Err(Problem::body_too_large(length, route.upstream.max_body_size));
        }
        let hop = Hop {
            peer: peer.ip(),
            scheme: "http",
            version: head.version,
            trusted: &self.config.trusted_proxies,
            via_name,
            request_id,
        };
        let outgoing = headers::outgoing(head.headers.clone(), &hop);
        if outgoing.distrusted && !self.warned_of_untrusted_peer.swap(true, Ordering::Relaxed) {
            tracing::warn!(%peer, "dropped forwarding headers of a peer that is not listed in trustedProxies");
        }
        self.job_request(head, &route, controls, outgoing, request_id).map(|request| Plan { request, length })
    }

    fn job_request(
        &self,
        head: &Parts,
        route: &Route<'_>,
        controls: Controls,
        outgoing: Outgoing,
        request_id: &HeaderValue,
    ) -> Result<JobRequest, Problem> {
        let upstream = route.upstream;
        let Outgoing { from_client: mut headers, added: added_headers, client, .. } = outgoing;
        if let (HostHeader::Client, Some(host)) = (upstream.host_header, head.headers.get(header::HOST)) {
            headers.insert(header::HOST, host.clone());
        }
        let target = target(&upstream.url, route.stripped_path, head.uri.query()).ok_or_else(Problem::internal)?;
        let idempotent = upstream.is_repeatable(&head.method, &headers);
        Ok(JobRequest {
            id: controls.job_id.unwrap_or_else(JobId::new),
            upstream: upstream.prefix.as_str().to_owned(),
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            target,
            credential: credential_hash(
                &self.deployment.credential_key,
                None,
                &head.headers,
                &self.config.secret_headers,
            ),
            idempotency_key: headers.get("idempotency-key").map(|key| key.as_bytes().to_vec()),
            headers,
            added_headers,
            created_at: self.clock.wall(),
            timeout: controls.timeout.unwrap_or(upstream.timeout),
            delivery: upstream.delivery,
            idempotent,
            owner: None,
            client,
            request_id: String::from_utf8_lossy(request_id.as_bytes()).into_owned(),
            retention: self.config.task_retention,
        })
    }

    /// Stores the job. Where it is unknown whether that was done, asks again under the same id.
    async fn submit(&self, plan: Plan, received: ReceivedBody) -> Result<JobId, Problem> {
        let id = plan.request.id;
        tracing::Span::current().record("job.id", tracing::field::display(id));
        let (body, blob) = received.into_parts();
        let job = NewJob { queue: self.config.queue.clone(), request: plan.request, body, delay: None };
        let deadline = Instant::now() + SUBMIT_PATIENCE;
        let attempts = (|| async { self.store.submit(job.clone()).await })
            .retry(
                ExponentialBuilder::default()
                    .with_min_delay(Duration::from_millis(50))
                    .with_jitter()
                    .without_max_times(),
            )
            .when(|error| outcome_unknown(error) && Instant::now() < deadline);
        let result = tokio::time::timeout_at(deadline, attempts).await;
        // Only a body whose job is in the store, or may be, is left to it.
        let keep = match &result {
            Ok(Ok(submitted)) => *submitted == Submitted::New,
            Ok(Err(error)) => outcome_unknown(error),
            Err(_elapsed) => true,
        };
        if let (true, Some(blob)) = (keep, blob) {
            blob.keep();
        }
        match result {
            Ok(Ok(Submitted::New)) => Ok(id),
            Ok(Ok(Submitted::Existing(first))) => Ok(first),
            Ok(Ok(Submitted::Taken)) => Err(Problem::job_id_taken(id)),
            Ok(Ok(Submitted::Mismatch)) => Err(Problem::internal()),
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "store a job");
                Err(if outcome_unknown(&error) { Problem::may_be_accepted(id) } else { Problem::store(&error) })
            }
            Err(_elapsed) => {
                tracing::error!(patience = ?SUBMIT_PATIENCE, "the store did not say whether it took a job");
                Err(Problem::may_be_accepted(id))
            }
        }
    }

    /// Lets a client that is still sending see the answer, within bounds (RFC 9112 §9.6).
    ///
    /// Not one that waits for a `100 Continue`: reading would send it. Where the rest of the body will not be read, the
    /// connection cannot be used again, and the answer says so.
    pub(crate) fn answer_unread(
        &self,
        headers: &HeaderMap,
        body: Incoming,
        mut answer: Response<ReplyBody>,
    ) -> Response<ReplyBody> {
        let waits = headers.contains_key(header::EXPECT);
        if (waits && !body.is_end_stream()) || body.size_hint().lower() > DISCARD_LIMIT_BYTES {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if !waits {
            self.tasks.spawn(discard(body));
        }
        answer
    }
}

/// A submission before its body was received.
#[derive(Debug)]
struct Plan {
    request: JobRequest,
    length: u64,
}

fn outcome_unknown(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable { may_be_done, .. } => *may_be_done,
        StoreError::LeaseLost { .. }
        | StoreError::CorruptJob { .. }
        | StoreError::CorruptBlob { .. }
        | StoreError::NewerRecord { .. }
        | StoreError::Full { .. }
        | StoreError::Closed => false,
    }
}
